import fc from 'fast-check';
import {
  acceptRequest,
  answerAsyncWindow,
  describeRequest,
  readAnswer,
  refuseRequest,
  sendLimitOf,
} from '../../src/net/negotiation';
import { decodePdu } from '../../src/net/pdu';
import type { AssociateRequestPdu } from '../../src/net/pdu';
import type { AcceptorPolicy, ContextResult } from '../../src/net/types';
import { roleItem } from '../support/raw-peer';
import { OPEN_POLICY, PEER } from '../support/upper-layer';
import { associateRq, item } from '../support/wire';
import type { AssociateRequestFields } from '../support/wire';

function request(fields: AssociateRequestFields = {}): AssociateRequestPdu {
  const pdu = decodePdu(1, associateRq(fields).subarray(6));
  if (pdu.type !== 'associate-rq') throw new Error(pdu.type);
  return pdu;
}

const REMOTE = { address: '10.0.0.1', port: 104 };
const OWN = { implementation: { classUID: '2.25.42', versionName: 'TEST_1' }, maximumLength: 131072 };
const describe_ = (pdu: AssociateRequestPdu) => describeRequest(pdu, REMOTE);

function accept(pdu: AssociateRequestPdu, policy: Partial<AcceptorPolicy> = {}) {
  return acceptRequest(pdu, describe_(pdu), { peer: PEER }, { ...OPEN_POLICY, ...policy }, OWN);
}

describe('refusing a request', () => {
  it('finds nothing wrong with a good one', () => {
    expect(refuseRequest(request())).toBeUndefined();
    expect(refuseRequest(request({ maximumLength: 0 }))).toBeUndefined();
    expect(refuseRequest(request({ maximumLength: 8 }))).toBeUndefined();
  });

  it('wants at least one presentation context', () => {
    expect(refuseRequest(request({ contexts: [] }))?.rejection).toEqual({ result: 1, source: 2, reason: 1 });
  });

  it('speaks of the protocol before anything else', () => {
    const all = request({ protocolVersion: 2, applicationContext: '1.2', called: ' ', maximumLength: 3 });
    expect(refuseRequest(all)?.rejection).toEqual({ result: 1, source: 2, reason: 2 });
  });
});

describe('the asynchronous window (UL-28)', () => {
  it.each([
    [1, 1, 1],
    [5, 5, 5],
    [16, 1, 16],
    [17, 1, 16],
    [0, 0, 16],
    [65535, 65535, 16],
  ])('%i/%i is answered %i/1', (invoked, performed, answered) => {
    expect(answerAsyncWindow({ invoked, performed })).toEqual({ invoked: answered, performed: 1 });
  });

  it('is answered to nobody who did not propose it', () => {
    expect(answerAsyncWindow(undefined)).toBeUndefined();
    expect(accept(request()).agreement.asyncWindow).toEqual({ invoked: 1, performed: 1 });
  });
});

describe('the send limit (UL-23)', () => {
  it.each([
    [0, 131072],
    [8, 8],
    [16384, 16384],
    [131072, 131072],
    [0xffffffff, 131072],
    [undefined, 16384],
  ])('%p announced: %i', (announced, limit) => {
    expect(sendLimitOf(announced)).toBe(limit);
  });
});

describe('presentation contexts', () => {
  it('shows the policy only UIDs, and refuses the rest without asking', () => {
    const pdu = request({
      contexts: [
        { id: 1, abstractSyntax: 'DROP TABLE', transferSyntaxes: ['1.2'] },
        { id: 3, abstractSyntax: '1.2.3', transferSyntaxes: ['\x1b[2J', '1.2', ''] },
        { id: 5, abstractSyntax: '', transferSyntaxes: ['1.2'] },
      ],
    });
    expect(describe_(pdu).contexts).toEqual([{ id: 3, abstractSyntax: '1.2.3', transferSyntaxes: ['1.2'] }]);
    const { answer, agreement } = accept(pdu);
    expect(answer.contexts.map(({ id, result }) => [id, result])).toEqual([
      [1, 3],
      [3, 0],
      [5, 3],
    ]);
    expect([...agreement.contexts.keys()]).toEqual([3]);
  });

  it('answers each proposed context once, whatever the policy says', () => {
    const proposals = fc.uniqueArray(
      fc.record({
        id: fc.nat({ max: 127 }).map((n) => 2 * n + 1),
        abstractSyntax: fc.constantFrom('1.2.3', '1.2.4', 'x'),
        transferSyntaxes: fc.array(fc.constantFrom('1.2', '1.3', '1.4', '?'), { maxLength: 3 }),
      }),
      { selector: ({ id }) => id, minLength: 1, maxLength: 30 },
    );
    const results: fc.Arbitrary<ContextResult[]> = fc.array(
      fc.record({
        id: fc.nat({ max: 255 }),
        result: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const, 4 as const),
        transferSyntax: fc.constantFrom('1.2', '1.3', '9.9', ''),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(proposals, results, (contexts, decided) => {
        const { answer, agreement } = accept(request({ contexts }), { negotiateContexts: () => decided });
        expect(answer.contexts.map(({ id }) => id)).toEqual(contexts.map(({ id }) => id));
        for (const [index, { id, result, transferSyntax }] of answer.contexts.entries()) {
          expect(transferSyntax).not.toBe('');
          expect(agreement.contexts.has(id)).toBe(result === 0);
          if (result === 0) expect(contexts[index]!.transferSyntaxes).toContain(transferSyntax);
        }
      }),
    );
  });

  it('refuses what the policy forgot with 2', () => {
    expect(accept(request(), { negotiateContexts: () => [] }).answer.contexts).toEqual([
      { id: 1, result: 2, transferSyntax: '1.2.840.10008.1.2' },
    ]);
  });
});

describe('roles and extended negotiation', () => {
  it('asks the policy only where something was offered', () => {
    const never = (): never => {
      throw new Error('asked');
    };
    const { answer } = accept(request(), { negotiateRoles: never, negotiateExtended: never });
    expect(answer.userInformation).toMatchObject({
      roles: [],
      extendedNegotiation: [],
      asyncWindow: undefined,
    });
  });

  it('never answers more than was offered, one item a class (UL-29, UL-30)', () => {
    const pdu = request({
      userItems: [
        roleItem('1.2.3', 1, 0),
        roleItem('1.2.4', 0, 1),
        item(0x56, Buffer.from([0, 3, 0x31, 0x2e, 0x32, 7])),
      ],
    });
    const both = (sopClass: string) => ({ sopClass, scu: true, scp: true });
    const { answer } = accept(pdu, {
      negotiateRoles: () => [both('1.2.4'), both('1.2.3'), both('1.2.3'), both('1.2.5')],
      negotiateExtended: () => [
        { sopClass: '1.2', information: Buffer.from([1]) },
        { sopClass: '1.2', information: Buffer.from([2]) },
        { sopClass: '1.9', information: Buffer.from([1]) },
      ],
    });
    expect(answer.userInformation.roles).toEqual([
      { sopClass: '1.2.4', scu: false, scp: true },
      { sopClass: '1.2.3', scu: true, scp: false },
    ]);
    expect(answer.userInformation.extendedNegotiation).toEqual([
      { sopClass: '1.2', information: Buffer.from([1]) },
    ]);
  });
});

it('shows no control byte of the peer to anybody', () => {
  const pdu = request({ userItems: [item(0x55, 'EVIL\x1b[2J\n')] });
  expect(describe_(pdu).implementationVersionName).toBe('EVIL?[2J?');
  expect(describe_(pdu)).toMatchObject({
    remoteAddress: '10.0.0.1',
    remotePort: 104,
    callingAETitle: 'TESTER',
  });
});

it('a window that the acceptor raised is not believed', () => {
  const answer = { ...accept(request()).answer, contexts: [] };
  const agreed = (proposed: number, answered: number): number => {
    const pdu = {
      ...answer,
      userInformation: { ...answer.userInformation, asyncWindow: { invoked: answered, performed: 1 } },
    };
    const read = readAnswer({ contexts: [], asyncWindow: { invoked: proposed, performed: 1 } }, pdu);
    return 'agreement' in read ? read.agreement.asyncWindow.invoked : NaN;
  };
  expect([agreed(4, 2), agreed(4, 9), agreed(4, 0), agreed(0, 9), agreed(0, 0)]).toEqual([2, 4, 4, 9, 0]);
});
