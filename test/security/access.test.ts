import { createAccess } from '../../src/security/access';
import type { AccessOptions, AccessRemote } from '../../src/security/access';
import type { Caller } from '../../src/security/explain';
import { RefusedCallers } from '../../src/security/refused-callers';
import type { AccessDecision, AssociateRequest } from '../../src/net/types';
import { parseConfig } from '../../src/config/load';

const remote = (
  name: string,
  aeTitle: string,
  hosts: string | string[],
  rest: Partial<AccessRemote> = {},
): AccessRemote => ({
  name,
  aeTitle,
  hosts: [hosts].flat(),
  allow: ['echo'],
  unknownSyntaxes: true,
  ...rest,
});

const options = (remotes: AccessRemote[], rest: Partial<AccessOptions> = {}): AccessOptions => ({
  aeTitles: ['NODE', 'ARCHIVE'],
  unknownCallers: 'refuse',
  calledAeTitle: 'check',
  remotes,
  file: 'config/isocenter.yaml',
  ...rest,
});

const caller = (callingAETitle: string, remoteAddress: string, rest: Partial<Caller> = {}): Caller => ({
  callingAETitle,
  calledAETitle: 'NODE',
  remoteAddress,
  contexts: [],
  ...rest,
});

/** The name of the remote, or the reason of the rejection. */
function outcome(access: AccessOptions, from: Caller): string | number {
  const decision = createAccess(access).decide(from);
  if (decision.accepted) return decision.peer.name;
  expect(decision.rejection).toMatchObject({ result: 1, source: 1 });
  return decision.rejection.reason;
}

function why(access: AccessOptions, from: Caller): string {
  const decision = createAccess(access).decide(from);
  return decision.accepted ? 'accepted' : decision.why;
}

describe('the caller', () => {
  it.each<[string, AccessRemote, Caller, string | number]>([
    ['title and address fit', remote('a', 'CT', '10.0.4.21'), caller('CT', '10.0.4.21'), 'a'],
    ['another title', remote('a', 'CT', '10.0.4.21'), caller('MR', '10.0.4.21'), 3],
    ['title in other case', remote('a', 'CT', '10.0.4.21'), caller('ct', '10.0.4.21'), 3],
    ['another address', remote('a', 'CT', '10.0.4.21'), caller('CT', '10.0.4.22'), 3],
    ['a range', remote('a', 'CT', '10.0.4.0/24'), caller('CT', '10.0.4.255'), 'a'],
    ['outside of a range', remote('a', 'CT', '10.0.4.0/24'), caller('CT', '10.0.5.0'), 3],
    ['a range with host bits', remote('a', 'CT', '10.0.4.9/24'), caller('CT', '10.0.4.1'), 'a'],
    ['one of a list', remote('a', 'CT', ['10.0.4.1', '10.0.5.0/24']), caller('CT', '10.0.5.9'), 'a'],
    ['any IPv4', remote('a', 'CT', '0.0.0.0/0'), caller('CT', '192.0.2.1'), 'a'],
    ['any IPv4 is no IPv6', remote('a', 'CT', '0.0.0.0/0'), caller('CT', '2001:db8::1'), 3],
    ['any IPv6 is no IPv4', remote('a', 'CT', '::/0'), caller('CT', '192.0.2.1'), 3],
    [
      'an IPv4 caller on an IPv6 socket',
      remote('a', 'CT', '10.0.4.21'),
      caller('CT', '::ffff:10.0.4.21'),
      'a',
    ],
    ['the same, any IPv6', remote('a', 'CT', '::/0'), caller('CT', '::ffff:10.0.4.21'), 3],
    ['the same in hexadecimal', remote('a', 'CT', '10.0.4.0/24'), caller('CT', '::ffff:a00:415'), 'a'],
    ['a mapped address in the file', remote('a', 'CT', '::ffff:10.0.4.0/120'), caller('CT', '10.0.4.9'), 'a'],
    ['IPv6 in another spelling', remote('a', 'CT', '2001:DB8:0:0::0001'), caller('CT', '2001:db8::1'), 'a'],
    ['an IPv6 range', remote('a', 'CT', '2001:db8::/32'), caller('CT', '2001:db8:ffff::1'), 'a'],
    ['outside of an IPv6 range', remote('a', 'CT', '2001:db8::/32'), caller('CT', '2001:db9::1'), 3],
    ['an address with a zone', remote('a', 'CT', 'fe80::/10'), caller('CT', 'fe80::1%eth0'), 'a'],
    ['* is any title', remote('a', '*', '10.0.0.0/8'), caller('X Y', '10.1.1.1'), 'a'],
    ['* at the end', remote('a', 'MR_*', '10.0.0.0/8'), caller('MR_', '10.1.1.1'), 'a'],
    ['* in the middle', remote('a', 'A*B*C', '10.0.0.0/8'), caller('AxBxBxC', '10.1.1.1'), 'a'],
    ['* does not swallow the rest', remote('a', 'A*C', '10.0.0.0/8'), caller('AxCx', '10.1.1.1'), 3],
    ['? is one character', remote('a', 'CT?', '10.0.0.0/8'), caller('CT1', '10.1.1.1'), 'a'],
    ['? is not none', remote('a', 'CT?', '10.0.0.0/8'), caller('CT', '10.1.1.1'), 3],
    [
      'characters of regular expressions are characters',
      remote('a', 'A.C', '10.0.0.0/8'),
      caller('ABC', '10.1.1.1'),
      3,
    ],
    ['no title at all', remote('a', '*', '10.0.0.0/8'), caller('', '10.1.1.1'), 3],
    [
      'the called title fits',
      remote('a', 'CT', '10.0.0.1', { calledAeTitle: 'NODE' }),
      caller('CT', '10.0.0.1'),
      'a',
    ],
    [
      'another called title',
      remote('a', 'CT', '10.0.0.1', { calledAeTitle: 'ARCHIVE' }),
      caller('CT', '10.0.0.1'),
      3,
    ],
    ['a name never found', remote('a', 'CT', 'ct.example'), caller('CT', '10.0.0.1'), 3],
    ['not an address', remote('a', 'CT', '0.0.0.0/0'), caller('CT', 'undefined'), 3],
  ])('%s', (_what, rule, from, expected) => {
    expect(outcome(options([rule]), from)).toBe(expected);
  });

  it('is found by a name that was resolved', () => {
    const access = options([remote('a', 'CT', 'ct.example')], {
      addressesOf: () => ['10.0.0.1', '2001:db8::1'],
    });
    expect(outcome(access, caller('CT', '::ffff:10.0.0.1'))).toBe('a');
    expect(outcome(access, caller('CT', '2001:db8::1'))).toBe('a');
    expect(outcome(access, caller('CT', '10.0.0.2'))).toBe(3);
  });

  const any = '0.0.0.0/0';
  it.each<[string, AccessRemote[], string]>([
    ['an exact title before a wildcard', [remote('w', 'CT_ROOM*', any), remote('x', 'CT_ROOM1', any)], 'x'],
    [
      'a longer prefix before a shorter one',
      [remote('s', 'CT*', any), remote('l', 'CT_R*', any), remote('n', '*', any)],
      'l',
    ],
    [
      'the order of the file between equals',
      [remote('first', 'CT?R*', any), remote('second', 'CT*', any)],
      'first',
    ],
    [
      'the order of the file, also against a narrower host',
      [remote('wide', 'CT_ROOM1', any), remote('narrow', 'CT_ROOM1', '10.0.0.1')],
      'wide',
    ],
    [
      'the next rule where the host of the best does not fit',
      [remote('x', 'CT_ROOM1', '10.9.9.9'), remote('w', 'CT*', any)],
      'w',
    ],
    [
      'the next rule where the called title of the best does not fit',
      [remote('x', 'CT_ROOM1', any, { calledAeTitle: 'ARCHIVE' }), remote('w', 'CT*', any)],
      'w',
    ],
  ])('of several is %s', (_what, remotes, expected) => {
    expect(outcome(options(remotes), caller('CT_ROOM1', '10.0.0.1'))).toBe(expected);
  });

  it('has the rights of that one remote, not the sum', () => {
    const decision = createAccess(
      options([
        remote('exact', 'CT', any, {
          allow: ['store'],
          duplicates: 'replace',
          defaultCharset: 'ISO_IR 100',
          unknownSyntaxes: false,
        }),
        remote('all', '*', any, { allow: ['echo', 'find'] }),
      ]),
    ).decide(caller('CT', '10.0.0.1'));
    expect(decision).toEqual({
      accepted: true,
      peer: {
        name: 'exact',
        allow: new Set(['store']),
        duplicates: 'replace',
        defaultCharset: 'ISO_IR 100',
        unknownSyntaxes: false,
      },
    });
  });

  it('without a remote may echo and store where unknown callers are accepted', () => {
    const access = createAccess(options([], { unknownCallers: 'accept' }));
    expect(access.decide(caller('X', '10.0.0.1'))).toEqual({
      accepted: true,
      peer: { name: 'unknown', allow: new Set(['echo', 'store']), unknownSyntaxes: true },
    });
    expect(access.decide(caller('', '10.0.0.1')).accepted).toBe(false);
  });
});

describe('the called title', () => {
  const rules = [remote('a', 'CT', '10.0.0.1')];
  it('is looked at first: an unknown caller of an unknown title gets 1/1/7', () => {
    expect(outcome(options(rules), caller('NOBODY', '10.9.9.9', { calledAETitle: 'WRONG' }))).toBe(7);
    expect(outcome(options(rules), caller('CT', '10.0.0.1', { calledAETitle: 'node' }))).toBe(7);
    expect(outcome(options(rules), caller('CT', '10.0.0.1', { calledAETitle: 'ARCHIVE' }))).toBe('a');
  });

  it('may be ignored, but not by a remote that has its own', () => {
    const ignoring = options([...rules, remote('b', 'MR', '10.0.0.1', { calledAeTitle: 'NODE' })], {
      calledAeTitle: 'ignore',
    });
    expect(outcome(ignoring, caller('CT', '10.0.0.1', { calledAETitle: 'WRONG' }))).toBe('a');
    expect(outcome(ignoring, caller('MR', '10.0.0.1', { calledAETitle: 'WRONG' }))).toBe(3);
    expect(outcome(ignoring, caller('NOBODY', '10.0.0.1', { calledAETitle: 'WRONG' }))).toBe(3);
  });
});

describe('the explanation', () => {
  const ct1 = remote('ct1', 'CT_ROOM1', '10.0.4.21');
  it.each<[string, Caller, string]>([
    [
      'of a stranger is the line that admits it, with the rights it asked for',
      caller('CT9', '::ffff:10.0.4.9', {
        contexts: [
          '1.2.840.10008.1.1',
          '1.2.840.10008.5.1.4.1.1.2',
          '1.2.840.10008.5.1.4.1.2.2.1',
          '1.2.840.10008.1.20.1',
          '1.3.46.670589',
        ].map((abstractSyntax) => ({ abstractSyntax })),
      }),
      '"CT9" at 10.0.4.9 is not among the remotes: to admit it add under remotes: in config/isocenter.yaml the line   ' +
        'ct9: { aeTitle: CT9, host: 10.0.4.9, allow: [echo, store, find, commit] }',
    ],
    [
      'of a known title from elsewhere names its host',
      caller('CT_ROOM1', '10.0.4.22'),
      '"CT_ROOM1" at 10.0.4.22 has the title of remotes.ct1, whose host is 10.0.4.21: if it is that device, ' +
        'write host: [10.0.4.21, 10.0.4.22] there in config/isocenter.yaml',
    ],
    [
      'of another case says that case counts',
      caller('CT_ROOM1', '10.0.4.21', { calledAETitle: 'Node' }),
      '"CT_ROOM1" at 10.0.4.21 called "Node", and this node answers to "NODE", "ARCHIVE" (AE titles are case-sensitive: "NODE" would do): ' +
        'correct the called AE title on that device, or add it to aeTitles in config/isocenter.yaml',
    ],
    [
      'of a title that would be a pattern suggests no line',
      caller('*', '10.0.4.9'),
      '"*" at 10.0.4.9 is not among the remotes: give that device an AE title of letters, digits, _ and - first',
    ],
    [
      'holds no control characters',
      caller('A\x1b[2J\r\nB', '10.0.4.9'),
      '"A\\x1b[2J\\x0d\\x0aB" at 10.0.4.9 is not among the remotes: give that device an AE title of letters, digits, _ and - first',
    ],
  ])('%s', (_what, from, expected) => {
    expect(why(options([ct1]), from)).toBe(expected);
  });

  it('names a called title that a remote has to call', () => {
    const rule = remote('ct1', 'CT_ROOM1', '10.0.4.21', { calledAeTitle: 'ARCHIVE' });
    expect(why(options([rule]), caller('CT_ROOM1', '10.0.4.21'))).toBe(
      '"CT_ROOM1" at 10.0.4.21 called "NODE", and remotes.ct1.calledAeTitle in config/isocenter.yaml allows only "ARCHIVE"',
    );
  });

  it('tells of host names without an address', () => {
    expect(
      why(options([remote('ct1', 'CT_ROOM1', 'ct.example')]), caller('CT_ROOM1', '10.0.4.21')),
    ).toContain('whose host is ct.example (no address was found yet for ct.example)');
  });

  it.each(['CT9', '00123', 'true', 'A B', 'a:b', '#x', '{', "'", '"', '-', 'ct1', '_', 'é'])(
    'suggests a line that admits exactly the caller %p',
    (title) => {
      for (const address of ['10.0.4.9', '2001:db8::9', '::1']) {
        const sentence = why(options([ct1]), caller(title, address));
        const line = / the line {3}(.*)$/.exec(sentence)?.[1];
        if (title === 'é') expect(line).toBeUndefined();
        if (line === undefined) continue;
        const { config } = parseConfig(
          'f.yaml',
          `version: 1\naeTitles: [NODE]\nremotes:\n  ct1: {aeTitle: Z, host: h}\n  ${line}`,
          {},
        );
        const access = createAccess({ ...config.access, ...config });
        expect(access.decide(caller(title, address)).accepted).toBe(true);
        expect(access.decide(caller(title, '10.0.4.10')).accepted).toBe(false);
        expect(access.decide(caller(`${title}X`, address)).accepted).toBe(false);
      }
    },
  );
});

it('fits the contract of the upper layer and the configuration', () => {
  const { config } = parseConfig('f.yaml', 'version: 1', {});
  const access = createAccess({ ...config, ...config.access });
  const contract: (request: AssociateRequest) => AccessDecision = (request) => access.decide(request);
  expect(typeof contract).toBe('function');
});

describe('callers that were refused', () => {
  it('are counted, the last one first', () => {
    const table = new RefusedCallers();
    const first = caller('A', '::ffff:10.0.0.1', {
      contexts: [{ abstractSyntax: '1.2' }, { abstractSyntax: '1.2' }],
    });
    table.record(first, 1000);
    table.record(caller('B', '10.0.0.1'), 2000);
    table.record(first, 3000);
    expect(table.list()).toEqual([
      {
        callingAETitle: 'A',
        calledAETitle: 'NODE',
        address: '10.0.0.1',
        abstractSyntaxes: ['1.2'],
        count: 2,
        firstSeen: 1000,
        lastSeen: 3000,
      },
      expect.objectContaining({ callingAETitle: 'B', count: 1 }),
    ]);
  });

  it('are bounded, whoever calls: the one longest unseen goes', () => {
    const table = new RefusedCallers();
    const contexts = Array.from({ length: 128 }, (_, i) => ({ abstractSyntax: `${i}.${'9'.repeat(100)}` }));
    for (let i = 0; i < 1000; i++) {
      table.record(caller(`T${i}`, '10.0.0.1', { contexts }), i);
      table.record(caller('FAITHFUL', '10.0.0.2'), i);
    }
    const list = table.list();
    expect(list).toHaveLength(256);
    expect(list[0]).toMatchObject({ callingAETitle: 'FAITHFUL', count: 1000 });
    expect(list.at(-1)?.callingAETitle).toBe('T745');
    expect(list[1]?.abstractSyntaxes).toHaveLength(32);
    expect(list[1]?.abstractSyntaxes[0]).toHaveLength(64);
  });
});
