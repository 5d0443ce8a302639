import { SOP, TS } from '../support/data-sets';
import { goodObject } from '../support/hostile-data-sets';
import { PlainScu } from '../support/ledger-scu';
import { removeFolder, startNode } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import {
  abort,
  associateRq,
  commandSet,
  echoRq,
  item,
  parseAssociateAc,
  pData,
  PDU,
  pdu,
  pdv,
  releaseRq,
  storeRq,
  verification,
  Wire,
} from '../support/wire';
import type { AssociateRequestFields } from '../support/wire';

/** Conformance cases of the upper layer and of DIMSE that need a scripted peer, on the real node. */
let node: NodeProcess;

beforeAll(async () => {
  node = await startNode({
    config: { timeouts: { association: '1s', idle: '30s', response: '30s', writeStall: '10s' } },
  });
});

afterAll(async () => {
  const { code } = await node.stop();
  await removeFolder(node.folder);
  expect(code).toBe(0);
});

const connect = (): Promise<Wire> => Wire.connect(node.port);
const associate = (fields?: AssociateRequestFields) => Wire.associate(node.port, fields);

/** Asks for an association that must be refused, and returns result, source and reason. */
async function rejection(fields: AssociateRequestFields): Promise<number[]> {
  const wire = await connect();
  await wire.send(associateRq(fields));
  const answer = await wire.nextPdu();
  expect(answer.type).toBe(PDU.associateRj);
  expect(answer.body).toHaveLength(4);
  wire.destroy();
  return [...answer.body.subarray(1)];
}

/** The A-ABORT that has to come next; then the node closes. */
async function abortOf(wire: Wire): Promise<{ source: number; reason: number }> {
  const answer = await wire.nextPdu();
  expect(answer.type).toBe(PDU.abort);
  expect(answer.body).toHaveLength(4);
  return { source: answer.body[2]!, reason: answer.body[3]! };
}

afterEach(async () => {
  // Whatever a case did to its own connection, the next caller is served.
  const { wire } = await associate();
  expect(await wire.echo()).toBe(0);
  await wire.release();
});

describe('association requests', () => {
  it('T04: refuses another application context with 1/1/2 and closes by ARTIM', async () => {
    const wire = await connect();
    await wire.send(associateRq({ applicationContext: '1.2.3' }));
    const answer = await wire.nextPdu();
    expect([answer.type, ...answer.body.subarray(1)]).toEqual([PDU.associateRj, 1, 1, 2]);
    await wire.untilClosed(4000);
  });

  it('T05: tests bit 0 of the protocol version alone', async () => {
    expect(await rejection({ protocolVersion: 2 })).toEqual([1, 2, 2]);
    const { wire } = await associate({ protocolVersion: 3 });
    expect(await wire.echo()).toBe(0);
    await wire.release();
  });

  it('T02, T03: refuses unknown called and calling titles, each with its own reason', async () => {
    expect(await rejection({ called: 'WRONG' })).toEqual([1, 1, 7]);
    expect(await rejection({ calling: 'STRANGER' })).toEqual([1, 1, 3]);
    // The line says what would admit it.
    await node.logged(/STRANGER.*is not among the remotes.*aeTitle: STRANGER.*allow/);
  });

  it('T08: answers an unknown syntax with 4 and a private abstract syntax with 3', async () => {
    const { wire, ac } = await associate({
      calling: 'STRICT',
      contexts: [
        { id: 1, abstractSyntax: SOP.verification, transferSyntaxes: ['1.2.3.4'] },
        { id: 3, abstractSyntax: '1.2.3.5', transferSyntaxes: [TS.implicit] },
        verification(5),
      ],
    });
    expect([...ac.contexts].map(([id, { result }]) => [id, result])).toEqual([
      [1, 4],
      [3, 3],
      [5, 0],
    ]);
    expect(await wire.echo(1, 5)).toBe(0);
    await wire.release();
  });

  it('answers 128 contexts one by one, each with one transfer syntax', async () => {
    const contexts = Array.from({ length: 128 }, (_, index) => verification(index * 2 + 1));
    const { wire, ac } = await associate({ contexts });
    expect(ac.contexts.size).toBe(128);
    for (const { result, transferSyntaxes } of ac.contexts.values()) {
      expect(result).toBe(0);
      expect(transferSyntaxes).toEqual([TS.implicit]);
    }
    expect(await wire.echo(1, 255)).toBe(0);
    await wire.release();
  });

  it('T22: skips unknown items and never tests reserved fields', async () => {
    const { wire, ac } = await associate({
      reserved: 0xff,
      items: [item(0x7f, 'unknown')],
      userItems: [item(0x5f, 'unknown too')],
    });
    expect(ac.itemTypes).toEqual([0x10, 0x21, 0x50]);
    expect(ac.userItems.map(({ type }) => type)).not.toContain(0x5f);
    expect(await wire.echo()).toBe(0);
    await wire.release();
  });

  it('T23: ignores spaces around a title, not its case, and returns the bytes', async () => {
    const { wire, ac } = await associate({ called: ' NODE', calling: '  TESTER ' });
    expect(ac.called.toString('latin1')).toBe(' NODE'.padEnd(16));
    expect(ac.calling.toString('latin1')).toBe('  TESTER '.padEnd(16));
    await wire.release();
    expect(await rejection({ called: 'node' })).toEqual([1, 1, 7]);
  });

  it('T25: answers the window and the role with no more than was proposed', async () => {
    const window = Buffer.from([0, 5, 0, 5]);
    const uid = Buffer.from(SOP.ct, 'latin1');
    const role = Buffer.concat([Buffer.from([0, uid.length]), uid, Buffer.from([1, 1])]);
    const { wire, ac } = await associate({
      contexts: [verification(1), { id: 3, abstractSyntax: SOP.ct, transferSyntaxes: [TS.explicit] }],
      userItems: [item(0x53, window), item(0x54, role)],
    });
    const answered = ac.userItems.find(({ type }) => type === 0x53)?.content;
    expect(answered).toEqual(Buffer.from([0, 5, 0, 1]));
    const roles = ac.userItems.filter(({ type }) => type === 0x54);
    expect(roles.length).toBeLessThanOrEqual(1);
    for (const { content } of roles) {
      expect(content.subarray(2, 2 + uid.length)).toEqual(uid);
      for (const byte of content.subarray(2 + uid.length)) expect(byte).toBeLessThanOrEqual(1);
    }
    await wire.release();
  });

  it('answers an offered window of no limit with 16', async () => {
    const { wire, ac } = await associate({ userItems: [item(0x53, Buffer.from([0, 0, 0, 0]))] });
    expect(ac.userItems.find(({ type }) => type === 0x53)?.content).toEqual(Buffer.from([0, 16, 0, 1]));
    await wire.release();
  });

  it('T26: answers nothing that was not offered', async () => {
    const { wire, ac } = await associate();
    expect(ac.userItems.map(({ type }) => type)).toEqual([0x51, 0x52, 0x55]);
    expect(ac.maximumLength).toBe(131072);
    await wire.release();
  });

  it.each([0, 8, 9, 4096, 0xffffffff])(
    'T17: serves a peer whose maximum length is %d',
    async (maximumLength) => {
      const { wire } = await associate({ maximumLength });
      expect(await wire.echo()).toBe(0);
      await wire.release();
    },
  );

  it.each([1, 2, 5, 7])(
    'refuses a maximum length of %d, which holds no fragment, with 1/2/1',
    async (maximumLength) => {
      expect(await rejection({ maximumLength })).toEqual([1, 2, 1]);
    },
  );

  it('sends no P-DATA longer than a small peer takes', async () => {
    const { wire } = await associate({ maximumLength: 8 });
    await wire.send(pData(pdv(1, true, true, echoRq(3))));
    for (let last = false; !last;) {
      const { type, body } = await wire.nextPdu();
      expect(type).toBe(PDU.data);
      expect(body.length).toBeLessThanOrEqual(8);
      expect(body.length % 2).toBe(0);
      last = (body[5]! & 2) !== 0;
    }
    await wire.release();
  });
});

describe('the upper layer', () => {
  it('T09: closes a silent connection at ARTIM without a PDU', async () => {
    const wire = await connect();
    expect(await wire.untilClosed(4000)).toHaveLength(0);
  });

  it('T10: answers anything but a request with A-ABORT of source 0 and closes', async () => {
    for (const bytes of [
      pData(pdv(1, true, true, echoRq(1))),
      releaseRq(),
      Buffer.alloc(100, 0x55),
      pdu(PDU.associateAc, Buffer.alloc(70)),
    ]) {
      const wire = await connect();
      await wire.send(bytes);
      expect((await abortOf(wire)).source).toBe(0);
      await wire.untilClosed(4000);
    }
  });

  it('T11: answers PDU type 09 with A-ABORT 2/1', async () => {
    const { wire } = await associate();
    await wire.send(pdu(9, Buffer.alloc(4)));
    expect(await abortOf(wire)).toEqual({ source: 2, reason: 1 });
    await wire.untilClosed(4000);
  });

  it.each([
    ['A-ASSOCIATE-RQ', associateRq()],
    ['A-ASSOCIATE-AC', pdu(PDU.associateAc, Buffer.alloc(70))],
    ['A-ASSOCIATE-RJ', pdu(PDU.associateRj, Buffer.alloc(4))],
    ['A-RELEASE-RP', pdu(PDU.releaseRp, Buffer.alloc(4))],
  ])('answers an unexpected %s with A-ABORT of source 2', async (_, bytes) => {
    const { wire } = await associate();
    await wire.send(bytes);
    expect((await abortOf(wire)).source).toBe(2);
  });

  it('T13: answers a release and closes at ARTIM when the peer does not', async () => {
    const { wire } = await associate();
    await wire.send(releaseRq());
    expect((await wire.nextPdu()).type).toBe(PDU.releaseRp);
    await wire.untilClosed(4000);
  });

  it('ignores P-DATA after the release', async () => {
    const { wire } = await associate();
    await wire.send(Buffer.concat([releaseRq(), pData(pdv(1, true, true, echoRq(1)))]));
    expect((await wire.nextPdu()).type).toBe(PDU.releaseRp);
    expect(await wire.untilClosed(4000)).toHaveLength(0);
  });

  it('T15: answers P-DATA longer than announced with A-ABORT of source 2', async () => {
    const { wire } = await associate();
    const length = 131074;
    await wire.send(pData(pdv(1, true, true, Buffer.alloc(length - 6))).subarray(0, 4096));
    expect((await abortOf(wire)).source).toBe(2);
    await wire.untilClosed(4000);
  });

  it('T18: takes a command byte by byte, in three fragments of which one is empty', async () => {
    const { wire } = await associate();
    const command = echoRq(7);
    const bytes = Buffer.concat([
      pData(pdv(1, true, false, command.subarray(0, 11)), pdv(1, true, false, Buffer.alloc(0))),
      pData(pdv(1, true, true, command.subarray(11))),
    ]);
    for (const byte of bytes) await wire.send(Buffer.from([byte]));
    const { command: answer } = await wire.nextMessage();
    expect([answer.status, answer.respondsTo]).toEqual([0, 7]);
    await wire.release();
  });

  it('T20: answers a context that was not negotiated, and data without a command, with A-ABORT of source 2', async () => {
    for (const fragment of [pdv(99, true, true, echoRq(1)), pdv(1, false, true, Buffer.alloc(8))]) {
      const { wire } = await associate();
      await wire.send(pData(fragment));
      expect((await abortOf(wire)).source).toBe(2);
      await wire.untilClosed(4000);
    }
  });

  it('T27: leaves no descriptor behind after 300 aborts and resets', async () => {
    const before = node.fds();
    for (let round = 0; round < 300; round += 1) {
      const { wire } = await associate();
      if (round % 3 === 0) wire.reset();
      else {
        await wire.send(abort());
        await wire.untilClosed();
      }
    }
    const until = Date.now() + 3000;
    while (node.fds() > before && Date.now() < until) await new Promise((resolve) => setImmediate(resolve));
    expect(node.fds()).toBeLessThanOrEqual(before);
  });
});

describe('DIMSE', () => {
  it('T30: answers an unknown command field with 0211', async () => {
    const { wire } = await associate();
    await wire.send(
      pData(
        pdv(
          1,
          true,
          true,
          commandSet({ 0x0002: SOP.verification, 0x0100: 0x00f0, 0x0110: 5, 0x0800: 0x0101 }),
        ),
      ),
    );
    const { command } = await wire.nextMessage();
    expect([command.field, command.status, command.respondsTo]).toEqual([0x80f0, 0x0211, 5]);
    expect(await wire.echo(6)).toBe(0);
    await wire.release();
  });

  it('T31: ignores C-CANCEL for what does not run', async () => {
    const { wire } = await associate();
    await wire.send(pData(pdv(1, true, true, commandSet({ 0x0100: 0x0fff, 0x0120: 77, 0x0800: 0x0101 }))));
    expect(await wire.echo(78)).toBe(0);
    await wire.release();
  });

  it('T32: refuses C-STORE on the context of Verification and lives on', async () => {
    const { wire } = await associate();
    await wire.send(
      pData(pdv(1, true, true, storeRq(5, SOP.verification, '1.2.3')), pdv(1, false, true, Buffer.alloc(16))),
    );
    const { command } = await wire.nextMessage();
    expect([0x0122, 0x0211]).toContain(command.status);
    expect(command.comment).toMatch(/^.{1,64}$/);
    expect(await wire.echo(6)).toBe(0);
    await wire.release();
  });

  it('T33: takes a wrong group length, an unknown element and message id FFFF', async () => {
    const { wire } = await associate();
    await wire.send(
      pData(
        pdv(
          1,
          true,
          true,
          commandSet(
            {
              0x0002: SOP.verification,
              0x0100: 0x0030,
              0x0110: 0xffff,
              0x0800: 0x0101,
              0x5110: Buffer.from('ABCD'),
            },
            4,
          ),
        ),
      ),
    );
    const { command } = await wire.nextMessage();
    expect([command.status, command.respondsTo]).toEqual([0, 0xffff]);
    await wire.release();
  });

  it('answers a command whose SOP class is not that of its context with 0122', async () => {
    const { wire } = await associate({
      contexts: [verification(1), { id: 3, abstractSyntax: SOP.ct, transferSyntaxes: [TS.explicit] }],
    });
    await wire.send(
      pData(pdv(3, true, true, storeRq(5, SOP.mr, '1.2.3')), pdv(3, false, true, Buffer.alloc(16))),
    );
    expect((await wire.nextMessage()).command.status).toBe(0x0122);
    expect(await wire.echo(6)).toBe(0);
    await wire.release();
  });

  it('answers a command without a mandatory element with 0212', async () => {
    const { wire } = await associate({
      contexts: [{ id: 1, abstractSyntax: SOP.ct, transferSyntaxes: [TS.explicit] }],
    });
    await wire.send(
      pData(
        pdv(1, true, true, commandSet({ 0x0002: SOP.ct, 0x0100: 0x0001, 0x0110: 5, 0x0700: 0, 0x0800: 1 })),
        pdv(1, false, true, Buffer.alloc(16)),
      ),
    );
    expect((await wire.nextMessage()).command.status).toBe(0x0212);
    await wire.release();
  });

  it('answers in order what came pipelined: stores and echoes in one write', async () => {
    const objects = Array.from({ length: 20 }, () => goodObject());
    const scu = await PlainScu.open(node.port, objects);
    const context = scu.contextFor(objects[0]!);
    const parts = objects.flatMap((object, index) => [
      pData(pdv(context, true, true, storeRq(index * 2 + 1, object.SOPClassUID, object.SOPInstanceUID))),
      ...scu.dataPdus(context, object.dataSet),
      pData(pdv(1, true, true, echoRq(index * 2 + 2))),
    ]);
    await scu.wire.send(Buffer.concat(parts));
    const answered: [number | undefined, number | undefined][] = [];
    for (let count = 0; count < objects.length * 2; count += 1) {
      const { command } = await scu.wire.nextMessage();
      answered.push([command.respondsTo, command.status]);
    }
    expect(answered).toEqual(
      objects.flatMap((_, index) => [
        [index * 2 + 1, 0],
        [index * 2 + 2, 0],
      ]),
    );
    await scu.release();
  });

  it('gives a caller without the right to store 0124, and echo works', async () => {
    const object = goodObject();
    const scu = await PlainScu.open(node.port, [object], { calling: 'ECHOER' });
    const { status, comment } = await scu.store(object);
    expect(status).toBe(0x0124);
    expect(comment).toMatch(/^.{1,64}$/);
    expect(await scu.echo()).toBe(0);
    await scu.release();
  });
});

describe('limits', () => {
  it('T06: answers beyond the limit with 2/3/2 and serves again when one has gone', async () => {
    const small = await startNode({ config: { limits: { associations: 2 } } });
    try {
      const first = await Wire.associate(small.port);
      const second = await Wire.associate(small.port);
      const third = await Wire.connect(small.port);
      await third.send(associateRq());
      const answer = await third.nextPdu();
      expect([answer.type, ...answer.body.subarray(1)]).toEqual([PDU.associateRj, 2, 3, 2]);
      third.destroy();
      await first.wire.release();
      // The slot is free once the node has seen the close.
      const until = Date.now() + 5000;
      let accepted: Wire | undefined;
      while (accepted === undefined && Date.now() < until) {
        const next = await Wire.connect(small.port);
        await next.send(associateRq());
        const reply = await next.nextPdu();
        if (reply.type === PDU.associateAc) {
          expect(parseAssociateAc(reply.body).contexts.get(1)?.result).toBe(0);
          accepted = next;
        } else next.destroy();
      }
      expect(await accepted?.echo()).toBe(0);
      await accepted?.release();
      await second.wire.release();
    } finally {
      await small.stop();
      await removeFolder(small.folder);
    }
  });

  it('T09: lets silent connections take no place of an association', async () => {
    const small = await startNode({ config: { limits: { associations: 2 } } });
    try {
      const silent = await Promise.all(Array.from({ length: 20 }, () => Wire.connect(small.port)));
      const { wire } = await Wire.associate(small.port);
      expect(await wire.echo()).toBe(0);
      await wire.release();
      for (const connection of silent) connection.destroy();
    } finally {
      await small.stop();
      await removeFolder(small.folder);
    }
  });

  it('counts the associations of each address apart', async () => {
    const small = await startNode({ config: { limits: { associations: 10, associationsPerRemote: 1 } } });
    try {
      const first = await Wire.associate(small.port);
      const second = await Wire.connect(small.port);
      await second.send(associateRq());
      expect([...(await second.nextPdu()).body.subarray(1)]).toEqual([2, 3, 2]);
      second.destroy();
      const other = await Wire.connect(small.port, '127.0.0.2');
      await other.send(associateRq());
      expect((await other.nextPdu()).type).toBe(PDU.associateAc);
      expect(await other.echo()).toBe(0);
      await other.release();
      await first.wire.release();
    } finally {
      await small.stop();
      await removeFolder(small.folder);
    }
  });
});
