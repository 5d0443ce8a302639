import net from 'node:net';
import { Acceptance, TIMEOUTS, eventually, settle } from '../support/upper-layer';
import { PDU, Wire, abort, associateRq, pdu, releaseRq } from '../support/wire';

let node: Acceptance;
const wires: Wire[] = [];

beforeEach(async () => {
  node = await Acceptance.start();
});

afterEach(async () => {
  for (const wire of wires.splice(0)) wire.destroy();
  await node.close();
  expect(node.clock.pending).toBe(0);
});

async function ask(): Promise<{ wire: Wire; answer: string }> {
  const wire = await Wire.connect(node.port);
  wires.push(wire);
  await wire.send(associateRq());
  const { type, body } = await wire.nextPdu();
  return { wire, answer: type === PDU.associateAc ? 'AC' : body.subarray(1).join('/') };
}

describe('limits (UL-16)', () => {
  it('T06: refuses 2/3/2 what is too much, and takes the next when one is released', async () => {
    node.limits.associations = 2;
    const first = await ask();
    const second = await ask();
    expect([first.answer, second.answer]).toEqual(['AC', 'AC']);
    expect((await ask()).answer).toBe('2/3/2');
    expect(node.rejected.at(-1)?.why).toContain('limits.associations');
    await first.wire.release();
    expect((await ask()).answer).toBe('AC');
  });

  it('counts each address, and reads the limits anew', async () => {
    node.limits.associationsPerRemote = 1;
    expect((await ask()).answer).toBe('AC');
    expect((await ask()).answer).toBe('2/3/2');
    expect(node.rejected.at(-1)?.why).toContain('limits.associationsPerRemote');
    const other = net.connect({ host: '127.0.0.1', port: node.port, localAddress: '127.0.0.2' });
    other.on('error', () => undefined);
    other.write(associateRq());
    await eventually(() => node.users.length === 2);
    expect(node.users[1]?.association.remoteAddress).toBe('127.0.0.2');
    other.destroy();
    node.limits.associationsPerRemote = 2;
    expect((await ask()).answer).toBe('AC');
  });

  it('frees a slot on every way out', async () => {
    node.limits.associations = 1;
    const ways: Record<string, (wire: Wire) => unknown> = {
      release: (wire) => wire.release(),
      abort: (wire) => wire.send(abort()),
      close: (wire) => wire.destroy(),
      reset: (wire) => wire.reset(),
      violation: (wire) => wire.send(pdu(9, Buffer.alloc(4))),
      'our abort': () => node.users.at(-1)?.association.abort(2, 0, 'test'),
      idle: () => node.clock.advance(TIMEOUTS.idle),
      'a release that stays open': (wire) => wire.send(releaseRq()),
    };
    for (const [name, leave] of Object.entries(ways)) {
      const { wire, answer } = await ask();
      expect([name, answer]).toEqual([name, 'AC']);
      const user = node.users.at(-1)!;
      await leave(wire);
      await user.association.closed;
      expect(user.ends).toHaveLength(1);
    }
    expect((await ask()).answer).toBe('AC');
  });

  it('keeps connections without an association apart: they take no slot, and the oldest goes', async () => {
    node.limits.associations = 2;
    const silent: Wire[] = [];
    for (let i = 0; i < 6; i++) {
      silent.push(await Wire.connect(node.port));
      await eventually(() => node.listener.sockets === Math.min(i + 1, 4));
    }
    wires.push(...silent);
    await eventually(() => silent.filter(({ closed }) => closed).length === 2);
    expect(silent.map(({ closed }) => closed)).toEqual([true, true, false, false, false, false]);
    expect((await ask()).answer).toBe('AC');
    expect((await ask()).answer).toBe('AC');
    expect(node.listener.associations()).toHaveLength(2);
  });

  it('lets one address push out only its own', async () => {
    node.limits.associationsPerRemote = 1;
    const victim = net.connect({ host: '127.0.0.1', port: node.port, localAddress: '127.0.0.2' });
    victim.on('error', () => undefined);
    await eventually(() => node.listener.sockets === 1);
    for (let i = 0; i < 20; i++) wires.push(await Wire.connect(node.port));
    await eventually(() => wires.filter(({ closed }) => closed).length === 18);
    victim.write(associateRq());
    await eventually(() => node.users.length === 1);
    expect(node.users[0]?.association.remoteAddress).toBe('127.0.0.2');
    victim.destroy();
  });

  it('500 silent connections at once leave the node serving, and are gone at ARTIM', async () => {
    node.limits.associations = 400;
    node.limits.associationsPerRemote = 400;
    for (let i = 0; i < 10; i++) {
      wires.push(...(await Promise.all(Array.from({ length: 50 }, () => Wire.connect(node.port)))));
    }
    await eventually(() => node.listener.sockets === 500);
    const { wire, answer } = await ask();
    expect(answer).toBe('AC');
    node.clock.advance(TIMEOUTS.association);
    await eventually(() => node.listener.sockets === 1);
    await wire.release();
  });
});

describe('the list of associations', () => {
  it('has the live ones with their counters, and aborts one by id', async () => {
    const { wire } = await ask();
    await ask().then((other) => other.wire.release());
    node.clock.advance(1500);
    const [info, ...others] = node.listener.associations();
    expect(others).toEqual([]);
    expect(info).toMatchObject({
      callingAETitle: 'TESTER',
      calledAETitle: 'NODE',
      remoteAddress: '127.0.0.1',
      remoteName: 'tester',
      contexts: 1,
      bytesReceived: associateRq().length,
      milliseconds: 1500,
    });
    expect(info!.bytesSent).toBeGreaterThan(74);
    expect(node.listener.abort('A-none', 'test')).toBe(false);
    expect(node.listener.abort(info!.id, 'by the operator')).toBe(true);
    expect((await wire.nextPdu()).type).toBe(PDU.abort);
    expect(node.listener.associations()).toEqual([]);
    expect(node.users[0]?.ends).toEqual([{ kind: 'aborted-by-us', reason: 'by the operator' }]);
  });
});

describe('closing', () => {
  it('aborts what is left, drops the rest, and is idempotent', async () => {
    const { wire } = await ask();
    const silent = await Wire.connect(node.port);
    wires.push(silent);
    await eventually(() => node.listener.sockets === 2);
    const closed = node.listener.close();
    expect(node.listener.close()).toBe(closed);
    const { type, body } = await wire.nextPdu();
    expect([type, ...body.subarray(2)]).toEqual([PDU.abort, 2, 0]);
    await silent.untilClosed();
    node.clock.advance(TIMEOUTS.abortGrace);
    await closed;
    expect(node.users[0]?.ends).toEqual([{ kind: 'aborted-by-us', reason: 'the node stops' }]);
    await expect(Wire.connect(node.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('survives a close before the port was open', async () => {
    const other = await Acceptance.start();
    await other.close();
    await other.listener.close();
  });
});

describe('opening', () => {
  it('says what is in the way', async () => {
    await expect(Acceptance.start({ port: node.port })).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      exitCode: 5,
      message: `can't listen on 127.0.0.1:${node.port}: another program listens there`,
      hint: expect.stringContaining('listen.port') as string,
    });
    await expect(Acceptance.start({ host: '192.0.2.1' })).rejects.toMatchObject({
      hint: expect.stringContaining('listen.host') as string,
    });
  });

  it('takes sockets from another kind of server', async () => {
    let made = 0;
    const other = await Acceptance.start({
      createServer: (onSocket) => {
        made += 1;
        return net.createServer((socket) => {
          onSocket(socket);
        });
      },
    });
    expect(made).toBe(1);
    const { wire } = await Wire.associate(other.port);
    await wire.release();
    await other.close();
  });
});

it('serves on through a storm of resets', async () => {
  const bytes = [
    associateRq(),
    Buffer.concat([associateRq(), releaseRq()]),
    Buffer.alloc(50, 0x55),
    Buffer.alloc(0),
  ];
  for (let round = 0; round < 10; round++) {
    await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const wire = await Wire.connect(node.port);
        await wire.send(bytes[index % bytes.length]!);
        if (index % 3 > 0) await settle(index % 3);
        wire.reset();
      }),
    );
  }
  await node.gone();
  expect(node.users.every(({ ends }) => ends.length === 1)).toBe(true);
  expect((await ask()).answer).toBe('AC');
});
