import type { AssociateRequest, Association, ContextResult } from '../../src/net/types';
import type { Peer } from '../../src/peer';
import {
  isStored,
  negotiateContexts,
  negotiateExtended,
  negotiateRoles,
  receivingContexts,
} from '../../src/services/negotiation';
import { SOP, TS } from '../support/data-sets';

const open: Peer = { name: 'ct1', allow: new Set(['store']), unknownSyntaxes: true };
const strict: Peer = { ...open, unknownSyntaxes: false };
const JPIP = '1.2.840.10008.1.2.4.94';
const UNKNOWN = '1.2.840.10008.1.2.4.999';
const FIND = '1.2.840.10008.5.1.4.1.2.2.1';
const COMMIT = '1.2.840.10008.1.20.1';
/** A class of the standard that nobody serves. */
const UNSERVED = '1.2.840.10008.5.1.4.1.2.9.1';

function request(more: Partial<AssociateRequest>): AssociateRequest {
  return { contexts: [], roles: [], extendedNegotiation: [], ...more } as unknown as AssociateRequest;
}

function context(abstractSyntax: string, syntaxes: readonly string[], peer = open): ContextResult {
  const [result] = negotiateContexts(
    request({ contexts: [{ id: 1, abstractSyntax, transferSyntaxes: syntaxes }] }),
    peer,
  );
  return result!;
}

describe('presentation contexts', () => {
  it.each<[string, string, readonly string[], Peer, number, string | undefined]>([
    [
      'Verification takes Explicit before Implicit',
      SOP.verification,
      [TS.implicit, TS.explicit],
      open,
      0,
      TS.explicit,
    ],
    ['Verification takes Implicit alone', SOP.verification, [TS.implicit], open, 0, TS.implicit],
    [
      'storage commitment takes Explicit before Implicit',
      COMMIT,
      [TS.implicit, TS.explicit],
      open,
      0,
      TS.explicit,
    ],
    ['storage commitment takes nothing else', COMMIT, [TS.big], open, 4, undefined],
    ['Verification takes nothing else', SOP.verification, [TS.rle], open, 4, undefined],
    ['storage takes the first known syntax', SOP.ct, [TS.rle, TS.explicit], open, 0, TS.rle],
    ['storage takes big endian', SOP.ct, [TS.big, TS.explicit], open, 0, TS.big],
    ['storage takes a known one before an unknown one', SOP.ct, [UNKNOWN, TS.implicit], open, 0, TS.implicit],
    ['storage takes an unknown one alone', SOP.ct, [UNKNOWN], open, 0, UNKNOWN],
    ['but not from a remote held to the known ones', SOP.ct, [UNKNOWN], strict, 4, undefined],
    ['storage never takes a JPIP reference', SOP.ct, [JPIP], open, 4, undefined],
    ['storage takes what stands beside one', SOP.ct, [JPIP, TS.explicit], open, 0, TS.explicit],
    ['a private class is storage', '1.2.3.99', [TS.explicit], open, 0, TS.explicit],
    ['but not from a remote held to the known ones', '1.2.3.99', [TS.explicit], strict, 3, undefined],
    [
      'an unknown class of the standard is not',
      '1.2.840.10008.5.1.4.1.1.999',
      [TS.explicit],
      open,
      3,
      undefined,
    ],
    [
      'a query takes Explicit before all others',
      FIND,
      [TS.big, TS.implicit, TS.explicit],
      open,
      0,
      TS.explicit,
    ],
    ['a query takes Implicit before the rest', FIND, [TS.deflated, TS.implicit], open, 0, TS.implicit],
    ['a query takes big endian', FIND, [TS.deflated, TS.big], strict, 0, TS.big],
    ['a query takes deflated', FIND, [TS.rle, TS.deflated], open, 0, TS.deflated],
    ['a query takes no pixels', FIND, [TS.rle], open, 4, undefined],
    ['Patient Root', '1.2.840.10008.5.1.4.1.2.1.1', [TS.explicit], open, 0, TS.explicit],
    ['Patient/Study Only', '1.2.840.10008.5.1.4.1.2.3.1', [TS.explicit], open, 0, TS.explicit],
    ['no other query', UNSERVED, [TS.explicit], open, 3, undefined],
    ['no syntax at all', SOP.ct, [], open, 4, undefined],
  ])('%s', (_what, abstractSyntax, syntaxes, peer, result, chosen) => {
    const answer = context(abstractSyntax, syntaxes, peer);
    expect(answer.result).toBe(result);
    if (chosen !== undefined) expect(answer.transferSyntax).toBe(chosen);
  });

  it('are answered each, in their order, decided alone', () => {
    const contexts = Array.from({ length: 128 }, (_, index) => ({
      id: 2 * index + 1,
      abstractSyntax: index % 2 === 0 ? SOP.ct : UNSERVED,
      transferSyntaxes: [TS.explicit],
    }));
    const answers = negotiateContexts(request({ contexts }), open);
    expect(answers.map(({ id }) => id)).toEqual(contexts.map(({ id }) => id));
    expect(answers.map(({ result }) => result)).toEqual(
      contexts.map((_, index) => (index % 2 === 0 ? 0 : 3)),
    );
  });
});

describe('roles', () => {
  const getter: Peer = { ...strict, allow: new Set(['get']) };
  const roles = [
    { sopClass: SOP.ct, scu: true, scp: true },
    { sopClass: SOP.mr, scu: false, scp: true },
    { sopClass: SOP.cr, scu: true, scp: false },
    { sopClass: FIND, scu: true, scp: true },
    { sopClass: '1.2.3', scu: true, scp: true },
  ];

  it('are SCU only of who may not retrieve', () => {
    expect(negotiateRoles(request({ roles }), open)).toEqual(roles.map((role) => ({ ...role, scp: false })));
  });

  it('are SCP as well of who may, for classes of storage, never more than offered', () => {
    const scp = negotiateRoles(request({ roles }), getter).map((role) => role.scp);
    expect(scp).toEqual([true, true, false, false, false]);
    expect(negotiateRoles(request({ roles }), { ...getter, unknownSyntaxes: true })[4]?.scp).toBe(true);
  });

  it('are SCP of storage commitment, to report it, for who may commit', () => {
    const both = [{ sopClass: COMMIT, scu: false, scp: true }];
    expect(negotiateRoles(request({ roles: both }), { ...open, allow: new Set(['commit']) })).toEqual(both);
    expect(negotiateRoles(request({ roles: both }), getter)).toEqual([{ ...both[0], scp: false }]);
  });

  it('say on which contexts instances may be sent', () => {
    const contexts = [
      { id: 1, abstractSyntax: SOP.ct, transferSyntax: TS.rle },
      { id: 3, abstractSyntax: SOP.ct, transferSyntax: TS.explicit },
      { id: 5, abstractSyntax: SOP.mr, transferSyntax: TS.explicit },
      { id: 7, abstractSyntax: SOP.cr, transferSyntax: TS.explicit },
    ];
    const association = {
      contexts: new Map(contexts.map((one) => [one.id, one])),
      roles,
    } as unknown as Association;
    expect(receivingContexts(association).map(({ id }) => id)).toEqual([1, 3, 5]);
  });
});

it('answers extended negotiation of storage: level 2, never longer than asked, and nobody else', () => {
  const offer = (sopClass: string, length: number): { sopClass: string; information: Buffer } => ({
    sopClass,
    information: Buffer.alloc(length, 1),
  });
  const extendedNegotiation = [offer(SOP.ct, 6), offer(SOP.mr, 1), offer(SOP.cr, 20), offer(UNSERVED, 5)];
  expect(negotiateExtended(request({ extendedNegotiation }), open)).toEqual([
    { sopClass: SOP.ct, information: Buffer.from([2, 0, 3, 0, 0, 0]) },
    { sopClass: SOP.mr, information: Buffer.from([2]) },
    { sopClass: SOP.cr, information: Buffer.from([2, 0, 3, 0, 0, 0]) },
  ]);
});

it('answers extended negotiation of queries: what was offered and is built, never longer than asked', () => {
  const answers = (...information: number[]): number[] => {
    const extendedNegotiation = [{ sopClass: FIND, information: Buffer.from(information) }];
    return [...negotiateExtended(request({ extendedNegotiation }), open)[0]!.information];
  };
  expect(answers(1, 1, 1, 1, 1, 1, 1)).toEqual([1, 1, 1, 1, 0, 1, 1]);
  expect(answers(1)).toEqual([1]);
  expect(answers(0, 1, 0)).toEqual([0, 1, 0]);
  expect(answers(1, 1, 1, 1, 1, 1, 1, 1, 1)).toEqual([1, 1, 1, 1, 0, 1, 1]);
  expect(answers(2, 255, 1)).toEqual([0, 0, 1]);
  expect(answers()).toEqual([]);
});

it.each(['1.2', '1.3', '2.2', '2.3', '3.2', '3.3'])('agrees to relational retrieval for %s', (model) => {
  const sopClass = `1.2.840.10008.5.1.4.1.2.${model}`;
  expect(context(sopClass, [TS.implicit]).result).toBe(0);
  const extendedNegotiation = [{ sopClass, information: Buffer.from([1, 1, 1]) }];
  expect([...negotiateExtended(request({ extendedNegotiation }), open)[0]!.information]).toEqual([1, 0]);
});

it('knows what is storage', () => {
  expect(isStored(SOP.ct, strict)).toBe(true);
  expect(isStored(SOP.verification, open)).toBe(false);
  expect(isStored('1.2.3', open)).toBe(true);
  expect(isStored('1.2.3', strict)).toBe(false);
});
