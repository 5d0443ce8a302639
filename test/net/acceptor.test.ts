import { readdirSync } from 'node:fs';
import fc from 'fast-check';
import type { AccessDecision } from '../../src/net/types';
import { counted, roleItem, slices } from '../support/raw-peer';
import { Acceptance, OPEN_POLICY, PEER, TIMEOUTS, eventually, settle } from '../support/upper-layer';
import {
  PDU,
  Wire,
  abort,
  associateRq,
  echoRq,
  item,
  pData,
  parseAssociateAc,
  pdu,
  pdv,
  releaseRq,
} from '../support/wire';
import type { AssociateRequestFields } from '../support/wire';

let node: Acceptance;
const wires: Wire[] = [];

beforeEach(async () => {
  node = await Acceptance.start();
});

afterEach(async () => {
  for (const wire of wires.splice(0)) wire.destroy();
  await node.close();
  expect(node.listener.sockets).toBe(0);
  // A timer left behind would hold the association that it belongs to.
  expect(node.clock.pending).toBe(0);
});

async function connect(): Promise<Wire> {
  const wire = await Wire.connect(node.port);
  wires.push(wire);
  return wire;
}

async function associate(fields: AssociateRequestFields = {}) {
  const index = node.users.length;
  const { wire, ac } = await Wire.associate(node.port, fields);
  wires.push(wire);
  return { wire, ac, user: await node.user(index) };
}

async function answerTo(...bytes: Buffer[]): Promise<{ wire: Wire; answer: number[] }> {
  const wire = await connect();
  await wire.send(Buffer.concat(bytes));
  const { type, body } = await wire.nextPdu();
  return { wire, answer: [type, ...body.subarray(1)] };
}

async function nextOf(wire: Wire): Promise<number[]> {
  const { type, body } = await wire.nextPdu();
  return [type, ...body.subarray(1)];
}

const RJ = PDU.associateRj;
const AB = PDU.abort;
const echo = (contextId = 1): Buffer => pData(pdv(contextId, true, true, echoRq(1)));

describe('awaiting a request (Sta2)', () => {
  it('T09: closes a silent connection when ARTIM expires, without a word', async () => {
    const wire = await connect();
    await eventually(() => node.listener.sockets === 1);
    node.clock.advance(TIMEOUTS.association - 1);
    await settle();
    expect(wire.closed).toBe(false);
    node.clock.advance(1);
    expect(await wire.untilClosed()).toHaveLength(0);
    await node.gone();
    expect(node.violations).toEqual([]);
  });

  it('is not kept alive by a request that comes byte by byte', async () => {
    const wire = await connect();
    const bytes = associateRq();
    for (let at = 0; at < 20; at++) {
      await wire.send(bytes.subarray(at, at + 1));
      await settle(5);
      node.clock.advance(TIMEOUTS.association / 20);
    }
    expect(await wire.untilClosed()).toHaveLength(0);
    await node.gone();
    expect(node.violations).toMatchObject([
      { what: expect.stringMatching(/20 bytes came/), abort: undefined },
    ]);
  });

  it.each([
    ['P-DATA-TF', echo(), undefined],
    ['A-RELEASE-RQ', releaseRq(), undefined],
    ['A-ASSOCIATE-AC', pdu(2, associateRq().subarray(6)), undefined],
    ['100 bytes 55', Buffer.alloc(100, 0x55), undefined],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 'HTTP'],
    ['TLS', Buffer.from('1603010200010001fc0303', 'hex'), 'TLS'],
  ])('T10: aborts with source 0 on %s, and closes', async (_, bytes, looksLike) => {
    const { wire, answer } = await answerTo(bytes);
    expect(answer).toEqual([AB, 0, 0, 0]);
    await wire.send(Buffer.concat([associateRq(), echo()]));
    await settle();
    node.clock.advance(TIMEOUTS.abortGrace);
    await wire.untilClosed();
    await node.gone();
    expect(node.users).toHaveLength(0);
    expect(node.violations).toMatchObject([{ looksLike, abort: { source: 0, reason: 0 } }]);
  });

  it('closes on A-ABORT and on the close of the connection, without an answer', async () => {
    const wire = await connect();
    await wire.send(abort());
    expect(await wire.untilClosed()).toHaveLength(0);
    (await connect()).destroy();
    (await connect()).reset();
    await node.gone();
  });

  it.each([
    ['an item longer than the PDU', associateRq({ items: [Buffer.from([0x7f, 0, 0xff, 0xff])] })],
    [
      'an even context id',
      associateRq({ contexts: [{ id: 2, abstractSyntax: '1.2', transferSyntaxes: ['1.2'] }] }),
    ],
    [
      'a context id twice',
      associateRq({
        contexts: [1, 1].map((id) => ({ id, abstractSyntax: '1.2', transferSyntaxes: ['1.2'] })),
      }),
    ],
    ['a request of 4 GiB', pdu(1, Buffer.alloc(10), 0xffffffff)],
  ])('UL-11, UL-20: aborts 2/6 on %s', async (_, bytes) => {
    const { answer } = await answerTo(bytes);
    expect(answer).toEqual([AB, 0, 2, 6]);
    expect(node.users).toHaveLength(0);
  });

  it('takes no memory for lengths that are only announced', async () => {
    const before = process.memoryUsage().rss;
    for (const head of [pdu(1, Buffer.alloc(10), 0xffffffff), pdu(4, Buffer.alloc(10), 0xffffffff)]) {
      for (let i = 0; i < 20; i++) await answerTo(head);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(50 * 1024 * 1024);
  });
});

describe('refusals', () => {
  it('T04: another application context is 1/1/2; the connection closes by ARTIM', async () => {
    const { wire, answer } = await answerTo(associateRq({ applicationContext: '1.2.3' }));
    expect(answer).toEqual([RJ, 1, 1, 2]);
    node.clock.advance(TIMEOUTS.association - 1);
    await settle();
    expect(wire.closed).toBe(false);
    node.clock.advance(1);
    await wire.untilClosed();
    expect(node.rejected).toMatchObject([
      { callingAETitle: 'TESTER', calledAETitle: 'NODE', rejection: { result: 1, source: 1, reason: 2 } },
    ]);
  });

  it('T05: protocol version without bit 0 is 1/2/2; other bits are not tested', async () => {
    expect((await answerTo(associateRq({ protocolVersion: 2 }))).answer).toEqual([RJ, 1, 2, 2]);
    await associate({ protocolVersion: 3 });
    await associate({ protocolVersion: 0xffff });
  });

  it.each([1, 2, 3, 4, 5, 6, 7])('UL-23: maximum length %i is 1/2/1', async (maximumLength) => {
    expect((await answerTo(associateRq({ maximumLength }))).answer).toEqual([RJ, 1, 2, 1]);
    expect(node.rejected[0]?.why).toContain(String(maximumLength));
  });

  it('UL-26: titles that are none are 1/1/7 and 1/1/3, and their bytes reach no log', async () => {
    for (const called of [' ', 'A\\B', 'A\nB', 'A\x1b[2J', 'Ü']) {
      expect((await answerTo(associateRq({ called }))).answer).toEqual([RJ, 1, 1, 7]);
    }
    for (const calling of [' ', 'A\\B', '\x07BELL', '\x9b2J']) {
      expect((await answerTo(associateRq({ calling }))).answer).toEqual([RJ, 1, 1, 3]);
    }
    expect(JSON.stringify(node.rejected)).not.toMatch(/\\u00|\\n|[\x7f-\x9f]/);
  });

  it('gives the triple of the policy, with its reason for the log', async () => {
    node.policy = {
      ...OPEN_POLICY,
      decideAccess: () => ({
        accepted: false,
        rejection: { result: 1, source: 1, reason: 3 },
        why: 'add it',
      }),
    };
    expect((await answerTo(associateRq())).answer).toEqual([RJ, 1, 1, 3]);
    expect(node.rejected).toMatchObject([{ why: 'add it', remoteAddress: '127.0.0.1' }]);
  });

  it('UL-17: is 2/3/1 while the node is unavailable or drains; what is in goes on', async () => {
    node.unavailable = 'recovering';
    expect((await answerTo(associateRq())).answer).toEqual([RJ, 2, 3, 1]);
    expect(node.rejected.at(-1)?.why).toBe('recovering');
    node.unavailable = undefined;
    const { wire, user } = await associate();
    node.listener.drain();
    expect((await answerTo(associateRq())).answer).toEqual([RJ, 2, 3, 1]);
    await wire.send(echo());
    await eventually(() => user.parts.length === 1);
    await wire.release();
  });

  it('UL-05: executes nothing that comes behind a refusal, and aborts on a second request', async () => {
    let asked = 0;
    node.policy = {
      ...OPEN_POLICY,
      decideAccess: () => {
        asked += 1;
        return { accepted: false, rejection: { result: 1, source: 1, reason: 3 }, why: '' };
      },
    };
    const { wire } = await answerTo(associateRq(), echo(), echo(), releaseRq());
    await settle();
    expect(wire.closed).toBe(false);
    for (let i = 0; i < 5; i++) await wire.send(associateRq());
    expect(await nextOf(wire)).toEqual([AB, 0, 2, 2]);
    await wire.send(abort());
    expect(await wire.untilClosed()).toHaveLength(0);
    expect(asked).toBe(1);
    expect(node.users).toHaveLength(0);
  });
});

describe('negotiation on the wire', () => {
  it('T22, T26: answers with 51H, 52H and 55H alone where nothing else was proposed', async () => {
    const { ac } = await associate({
      reserved: 0xff,
      items: [item(0x7f, 'x')],
      userItems: [item(0x5f, 'y')],
    });
    expect(ac.itemTypes).toEqual([0x10, 0x21, 0x50]);
    expect(ac.userItems.map(({ type, content }) => [type, content.toString('latin1')])).toEqual([
      [0x51, '\0\x02\0\0'],
      [0x52, '2.25.42'],
      [0x55, 'TEST_1'],
    ]);
  });

  it('T23: returns the titles byte for byte', async () => {
    const { ac, user } = await associate({ called: ' NODE', calling: '  TESTER ' });
    expect(ac.called.toString('latin1')).toBe(' NODE'.padEnd(16));
    expect(ac.calling.toString('latin1')).toBe('  TESTER '.padEnd(16));
    expect(user.association).toMatchObject({ calledAETitle: 'NODE', callingAETitle: 'TESTER' });
  });

  it('UL-20, UL-21: answers 128 contexts, out of order, each alone', async () => {
    const contexts = Array.from({ length: 128 }, (_, index) => ({
      id: 255 - 2 * index,
      abstractSyntax: '1.2.840.10008.1.1',
      transferSyntaxes: index % 3 === 0 ? [] : ['1.2.840.10008.1.2', '1.2.840.10008.1.2.1'],
    }));
    const { ac, user } = await associate({ contexts });
    expect([...ac.contexts.keys()]).toEqual(contexts.map(({ id }) => id));
    for (const [index, { result, transferSyntaxes }] of [...ac.contexts.values()].entries()) {
      expect([result, transferSyntaxes]).toEqual([index % 3 === 0 ? 4 : 0, ['1.2.840.10008.1.2']]);
    }
    expect(user.association.contexts.size).toBe(85);
  });

  it('T25: lowers window and roles to what was proposed', async () => {
    node.policy = {
      ...OPEN_POLICY,
      negotiateRoles: () => [
        { sopClass: '1.2.3', scu: true, scp: true },
        { sopClass: '1.2.9', scu: true, scp: true },
      ],
    };
    const { ac, user } = await associate({
      userItems: [item(0x53, Buffer.from([0, 5, 0, 5])), roleItem('1.2.3', 0, 1)],
    });
    const items = ac.userItems.filter(({ type }) => type === 0x53 || type === 0x54);
    expect(items.map(({ content }) => content)).toEqual([
      Buffer.from([0, 5, 0, 1]),
      Buffer.concat([counted('1.2.3'), Buffer.from([0, 1])]),
    ]);
    expect(user.association.asyncWindow).toEqual({ invoked: 5, performed: 1 });
    expect(user.association.roles).toEqual([{ sopClass: '1.2.3', scu: false, scp: true }]);
  });

  it('UL-31: returns 59H only where a response was asked for', async () => {
    const decision: AccessDecision = { accepted: true, peer: PEER, userIdentityResponse: Buffer.from('ok') };
    node.policy = { ...OPEN_POLICY, decideAccess: () => decision };
    const identity = (asked: number): Buffer =>
      item(0x58, Buffer.concat([Buffer.from([1, asked]), counted('user'), counted('')]));
    const asked = await associate({ userItems: [identity(1)] });
    expect(asked.ac.userItems.find(({ type }) => type === 0x59)?.content).toEqual(counted('ok'));
    const silent = await associate({ userItems: [identity(0)] });
    expect(silent.ac.userItems.some(({ type }) => type === 0x59)).toBe(false);
    const without = await associate();
    expect(without.ac.userItems.some(({ type }) => type === 0x59)).toBe(false);
  });

  it('T17: sends to a peer without a limit in PDUs of 131072, to one with 8 in twos', async () => {
    const unlimited = await associate({ maximumLength: 0 });
    expect(unlimited.user.association.sendLimit).toBe(131072);
    const { wire, user } = await associate({ maximumLength: 8 });
    void user.association.sendFragment(1, false, Buffer.from('abcdefg'), true);
    for (const [part, control] of [
      ['ab', 0],
      ['cd', 0],
      ['ef', 0],
      ['g', 2],
    ] as const) {
      const { type, body } = await wire.nextPdu();
      expect([type, body.length <= 8, body[5], body.toString('latin1', 6)]).toEqual([4, true, control, part]);
    }
  });
});

describe('a decision that takes its time (Sta3)', () => {
  let decide: (decision: AccessDecision) => void;
  let fail: (error: Error) => void;
  beforeEach(() => {
    node.policy = {
      ...OPEN_POLICY,
      decideAccess: () =>
        new Promise((resolve, reject) => {
          decide = resolve;
          fail = reject;
        }),
    };
  });
  async function waiting(): Promise<Wire> {
    const wire = await connect();
    await wire.send(associateRq());
    await eventually(() => node.listener.sockets === 1);
    await settle();
    return wire;
  }

  it('is answered when it is there', async () => {
    const wire = await waiting();
    decide({ accepted: true, peer: PEER });
    expect((await wire.nextPdu()).type).toBe(PDU.associateAc);
    const user = await node.user(0);
    expect(user.association.peer).toBe(PEER);
    await wire.send(echo());
    await eventually(() => user.parts.length === 1);
  });

  it('executes nothing that comes before it: P-DATA is a violation', async () => {
    const wire = await waiting();
    await wire.send(echo());
    expect(await nextOf(wire)).toEqual([AB, 0, 2, 2]);
    decide({ accepted: true, peer: PEER });
    await settle();
    expect(node.users).toHaveLength(0);
  });

  it('is void when the peer aborts or leaves meanwhile, and frees the slot', async () => {
    node.limits.associations = 1;
    for (const resets of [false, true]) {
      const wire = await waiting();
      if (resets) wire.reset();
      else await wire.send(abort());
      await node.gone();
      decide({ accepted: true, peer: PEER });
      await settle();
    }
    expect(node.users).toHaveLength(0);
    node.policy = OPEN_POLICY;
    await associate();
  });

  it('holds its slot: decisions under way count', async () => {
    node.limits.associations = 1;
    const wire = await waiting();
    expect((await answerTo(associateRq())).answer).toEqual([RJ, 2, 3, 2]);
    decide({ accepted: false, rejection: { result: 1, source: 1, reason: 3 }, why: '' });
    expect(await nextOf(wire)).toEqual([RJ, 1, 1, 3]);
    node.policy = OPEN_POLICY;
    await associate();
  });

  it('is refused 2/3/1 when it is overdue, and 2/2/1 when it fails', async () => {
    const late = await waiting();
    node.clock.advance(TIMEOUTS.association);
    expect(await nextOf(late)).toEqual([RJ, 2, 3, 1]);
    late.destroy();
    await node.gone();
    const failing = await waiting();
    fail(new Error('no directory'));
    expect(await nextOf(failing)).toEqual([RJ, 2, 2, 1]);
    expect(node.faults).toMatchObject([{ message: 'no directory' }]);
  });

  it('survives a policy that throws at any of its questions', async () => {
    const broken = (): never => {
      throw new Error('broken policy');
    };
    const userItems = [roleItem('1.2', 1, 1), item(0x56, counted('1.2'))];
    for (const key of ['decideAccess', 'negotiateContexts', 'negotiateRoles', 'negotiateExtended']) {
      node.policy = { ...OPEN_POLICY, [key]: broken };
      expect((await answerTo(associateRq({ userItems }))).answer).toEqual([RJ, 2, 2, 1]);
    }
    expect(node.faults).toHaveLength(4);
    node.policy = OPEN_POLICY;
    await associate({ userItems });
  });
});

describe('established (Sta6)', () => {
  it('T18: takes a command byte by byte, in three PDVs over two PDUs, one of them empty', async () => {
    const { wire, user } = await associate();
    const command = echoRq(7);
    const bytes = Buffer.concat([
      pData(pdv(1, true, false, command.subarray(0, 11)), pdv(1, true, false, Buffer.alloc(0))),
      pData(pdv(1, true, true, command.subarray(11))),
    ]);
    for (const byte of slices(bytes, 1)) {
      await wire.send(byte);
      await settle(1);
    }
    await eventually(() => user.parts.length === 1);
    expect(user.parts[0]).toEqual({ contextId: 1, command: true, data: command });
    expect(user.fragments).toEqual(['command 1', 'command 1', 'command 1 last']);
  });

  it('takes command and data in one PDU, and tests no reserved bit of the control header', async () => {
    const { wire, user } = await associate();
    const part = pdv(1, false, true, Buffer.from('data'));
    part[5] = 0xfe;
    await wire.send(pData(pdv(1, true, true, Buffer.from('cmd')), part));
    await eventually(() => user.parts.length === 2);
    expect(user.parts.map(({ command, data }) => [command, data.toString()])).toEqual([
      [true, 'cmd'],
      [false, 'data'],
    ]);
  });

  it('T11: aborts 2/1 on a PDU type that does not exist', async () => {
    const { wire, user } = await associate();
    await wire.send(pdu(9, Buffer.alloc(4)));
    expect(await nextOf(wire)).toEqual([AB, 0, 2, 1]);
    expect(user.ends).toMatchObject([{ kind: 'aborted-by-us', reason: expect.stringMatching(/09H/) }]);
  });

  it.each([
    ['A-ASSOCIATE-RQ', associateRq()],
    ['A-ASSOCIATE-AC', pdu(2, associateRq().subarray(6))],
    ['A-ASSOCIATE-RJ', pdu(3, Buffer.from([0, 1, 1, 1]))],
    ['A-RELEASE-RP', pdu(6, Buffer.alloc(4))],
  ])('UL-04: aborts 2/2 on %s', async (name, bytes) => {
    const { wire, user } = await associate();
    await wire.send(bytes);
    expect(await nextOf(wire)).toEqual([AB, 0, 2, 2]);
    await wire.send(echo());
    node.clock.advance(TIMEOUTS.abortGrace);
    await wire.untilClosed();
    expect(user.ends).toEqual([{ kind: 'aborted-by-us', reason: `unexpected ${name} in Sta6` }]);
    expect(user.parts).toEqual([]);
    expect(node.violations).toMatchObject([{ callingAETitle: 'TESTER', abort: { source: 2, reason: 2 } }]);
  });

  it.each([
    ['T15: more than we announced', pdu(4, Buffer.alloc(0), 131074), 6],
    ['UL-11: 4 GiB', pdu(4, Buffer.alloc(0), 0xffffffff), 6],
    ['a PDV that overruns its PDU', pdu(4, Buffer.from([0, 0, 0, 9, 1, 3])), 6],
    ['T20: context 99', echo(99), 6],
  ])('aborts with source 2 on %s', async (_, bytes, reason) => {
    const { wire, user } = await associate();
    await wire.send(bytes);
    expect(await nextOf(wire)).toEqual([AB, 0, 2, reason]);
    expect(user.ends).toHaveLength(1);
    expect(user.fragments).toEqual([]);
  });

  it('T20: aborts on a context that was refused', async () => {
    const { wire } = await associate({
      contexts: [
        { id: 1, abstractSyntax: '1.2', transferSyntaxes: ['1.2'] },
        { id: 3, abstractSyntax: '1.2', transferSyntaxes: [] },
      ],
    });
    await wire.send(echo(3));
    expect(await nextOf(wire)).toEqual([AB, 0, 2, 6]);
  });

  it('UL-08: never answers A-ABORT, and drops what came with it', async () => {
    const { wire, user } = await associate();
    await wire.send(Buffer.concat([abort(2, 1), echo()]));
    expect(await wire.untilClosed()).toHaveLength(0);
    expect(user.ends).toMatchObject([
      { kind: 'aborted-by-peer', reason: expect.stringMatching(/unrecognized PDU/) },
    ]);
    expect(user.parts).toEqual([]);
  });

  it('tells a lost connection, closed or reset', async () => {
    const closed = await associate();
    closed.wire.destroy();
    await eventually(() => closed.user.ends.length === 1);
    expect(closed.user.ends).toEqual([{ kind: 'connection-lost', reason: 'connection closed by the peer' }]);
    const reset = await associate();
    reset.wire.reset();
    await eventually(() => reset.user.ends.length === 1);
    expect(reset.user.ends).toEqual([{ kind: 'connection-lost', reason: 'ECONNRESET' }]);
    await expect(reset.user.association.sendFragment(1, true, Buffer.from('x'), true)).rejects.toMatchObject({
      code: 'ASSOCIATION_ENDED',
    });
  });

  it('survives a user that throws, in any of its calls', async () => {
    for (const method of ['fragmentStart', 'fragmentData', 'fragmentEnd', 'releaseRequested'] as const) {
      const { wire, user } = await associate();
      user[method] = () => {
        throw new Error(method);
      };
      await wire.send(Buffer.concat([echo(), releaseRq()]));
      expect(await nextOf(wire)).toEqual([AB, 0, 2, 0]);
      await wire.send(abort());
      await wire.untilClosed();
    }
    const { wire, user } = await associate();
    user.ended = () => {
      throw new Error('ended');
    };
    wire.destroy();
    await user.association.closed;
    expect(node.faults.map((fault) => (fault as Error).message)).toEqual([
      'fragmentStart',
      'fragmentData',
      'fragmentEnd',
      'releaseRequested',
      'ended',
    ]);
  });
});

describe('release (UL-06)', () => {
  it('T13: answers, frees the slot, and closes at ARTIM where the peer does not', async () => {
    node.limits.associations = 1;
    const { wire, user } = await associate();
    await wire.send(releaseRq());
    expect((await wire.nextPdu()).type).toBe(PDU.releaseRp);
    expect(user.ends).toEqual([{ kind: 'released', reason: 'released' }]);
    await associate();
    node.clock.advance(TIMEOUTS.association - 1);
    await settle();
    expect(wire.closed).toBe(false);
    node.clock.advance(1);
    await wire.untilClosed();
  });

  it('may still send until it answers (AR-7)', async () => {
    const { wire, user } = await associate();
    user.answersRelease = false;
    await wire.send(releaseRq());
    await eventually(() => user.releases === 1);
    await user.association.sendFragment(1, true, Buffer.from('last words'), true);
    user.association.answerRelease();
    expect((await wire.nextPdu()).body.toString('latin1', 6)).toBe('last words');
    expect((await wire.nextPdu()).type).toBe(PDU.releaseRp);
  });

  it.each([
    ['P-DATA-TF', echo()],
    ['A-RELEASE-RQ', releaseRq()],
  ])('aborts 2/2 on %s behind the request', async (_, bytes) => {
    const { wire, user } = await associate();
    user.answersRelease = false;
    await wire.send(Buffer.concat([releaseRq(), bytes]));
    expect(await nextOf(wire)).toEqual([AB, 0, 2, 2]);
    expect(user.parts).toEqual([]);
  });

  it('ignores what comes behind its answer (Sta13)', async () => {
    const { wire, user } = await associate();
    await wire.send(Buffer.concat([releaseRq(), echo(), releaseRq()]));
    expect((await wire.nextPdu()).type).toBe(PDU.releaseRp);
    await settle();
    expect(user.parts).toEqual([]);
    expect(wire.closed).toBe(false);
  });
});

it('aborts where nobody takes the association over', async () => {
  node.onUser = () => {
    throw new Error('no user');
  };
  const wire = await connect();
  await wire.send(associateRq());
  expect((await wire.nextPdu()).type).toBe(PDU.associateAc);
  expect(await nextOf(wire)).toEqual([AB, 0, 2, 0]);
  expect(node.faults).toMatchObject([{ message: 'no user' }]);
  expect(node.listener.associations()).toEqual([]);
});

it('serves on whatever bytes come', async () => {
  const session = Buffer.concat([
    associateRq({ userItems: [roleItem('1.2.3', 1, 1)] }),
    echo(),
    pData(pdv(1, false, false, Buffer.alloc(20)), pdv(1, false, true, Buffer.alloc(3))),
    releaseRq(),
  ]);
  const change = fc.record({ at: fc.nat({ max: session.length - 1 }), value: fc.nat({ max: 255 }) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { minLength: 1, maxLength: 5 }),
      fc.boolean(),
      async (changes, reset) => {
        const bytes = Buffer.from(session);
        for (const { at, value } of changes) bytes[at] = value;
        const wire = await Wire.connect(node.port);
        await wire.send(bytes);
        await settle(2);
        if (reset) wire.reset();
        else wire.destroy();
      },
    ),
    { numRuns: 150 },
  );
  await node.gone();
  expect(node.faults).toEqual([]);
  expect(node.users.every(({ ends }) => ends.length === 1)).toBe(true);
  await associate();
});

it('T27: 500 aborted associations leave nothing behind', async () => {
  const handles = (): number => readdirSync('/proc/self/fd').length;
  await associate().then(({ wire }) => wire.destroy());
  await node.gone();
  const before = handles();
  for (let round = 0; round < 50; round++) {
    await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        const { wire } = await Wire.associate(node.port);
        await wire.send(index % 2 === 0 ? abort() : Buffer.concat([echo(), abort(2, 0)]));
        await wire.untilClosed();
        wire.destroy();
      }),
    );
  }
  await node.gone();
  expect(node.users).toHaveLength(501);
  expect(node.users.every(({ ends }) => ends.length === 1)).toBe(true);
  await eventually(() => handles() <= before + 1, 'the close of every handle');
  await associate();
});

it('parses its own answer', async () => {
  const wire = await connect();
  await wire.send(associateRq());
  const { body } = await wire.nextPdu();
  expect(parseAssociateAc(body).maximumLength).toBe(131072);
});
