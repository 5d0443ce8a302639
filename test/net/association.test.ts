import net from 'node:net';
import { connect } from '../../src/net/requestor';
import type { Association, AssociationEnd } from '../../src/net/types';
import { Acceptance, RecordingUser, TIMEOUTS, eventually, settle } from '../support/upper-layer';
import { PDU, Wire, associateRq, echoRq, pData, pdu, pdv, releaseRq } from '../support/wire';

let node: Acceptance;
const wires: Wire[] = [];
const sockets: net.Socket[] = [];

beforeEach(async () => {
  node = await Acceptance.start();
});

afterEach(async () => {
  for (const wire of wires.splice(0)) wire.destroy();
  for (const socket of sockets.splice(0)) socket.destroy();
  await node.close();
  expect(node.listener.sockets).toBe(0);
  expect(node.clock.pending).toBe(0);
});

async function associate(maximumLength = 131072) {
  const index = node.users.length;
  const { wire } = await Wire.associate(node.port, { maximumLength });
  wires.push(wire);
  return { wire, user: await node.user(index) };
}

/** Both ends are ours. */
async function pair(): Promise<{ requestor: RecordingUser; acceptor: RecordingUser }> {
  const index = node.users.length;
  const association = await connect({
    host: '127.0.0.1',
    port: node.port,
    callingAETitle: 'CALLER',
    calledAETitle: 'NODE',
    implementation: { classUID: '2.25.43', versionName: 'TEST_2' },
    maximumLength: 131072,
    contexts: [{ id: 1, abstractSyntax: '1.2.840.10008.1.1', transferSyntaxes: ['1.2.840.10008.1.2'] }],
    timeouts: TIMEOUTS,
    clock: node.clock,
  });
  return { requestor: new RecordingUser(association), acceptor: await node.user(index) };
}

/** A peer that asks for an association and then reads nothing. */
async function deafPeer(): Promise<{ socket: net.Socket; user: RecordingUser }> {
  const index = node.users.length;
  const socket = net.connect({ host: '127.0.0.1', port: node.port });
  sockets.push(socket);
  socket.on('error', () => undefined);
  socket.write(associateRq({ maximumLength: 0 }));
  const user = await node.user(index);
  socket.pause();
  return { socket, user };
}

const pattern = (length: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, index) => index % 253));

describe('sending', () => {
  it.each([8, 10, 11, 512, 4096, 4200, 16384, 65542, 131072])(
    'cuts into even fragments that fit a limit of %i, all of it, in order',
    async (limit) => {
      const { wire, user } = await associate(limit);
      const data = pattern(limit < 100 ? 1000 : 300_001);
      const sent = [
        user.association.sendFragment(1, true, Buffer.from('command'), true),
        user.association.sendFragment(1, false, data.subarray(0, 600), false),
        user.association.sendFragment(1, false, data.subarray(600), true),
      ];
      const fragments: { control: number; bytes: Buffer }[] = [];
      while (fragments.at(-1)?.control !== 2) {
        const { type, body } = await wire.nextPdu();
        expect(type).toBe(PDU.data);
        expect(body.length).toBeLessThanOrEqual(limit);
        expect(body.readUInt32BE(0)).toBe(body.length - 4);
        fragments.push({ control: body[5]!, bytes: body.subarray(6) });
      }
      await Promise.all(sent);
      const of = (bit: number) =>
        fragments.filter(({ control }) => (control & 1) === bit).map(({ bytes }) => bytes);
      expect(Buffer.concat(of(1)).toString()).toBe('command');
      expect(Buffer.concat(of(0)).equals(data)).toBe(true);
      expect(
        fragments.slice(0, -1).filter(({ bytes, control }) => bytes.length % 2 && control === 0),
      ).toEqual([]);
    },
  );

  it('leaves no short rest: 128 KiB for a limit of 131072 are two halves', async () => {
    const { wire, user } = await associate(131072);
    void user.association.sendFragment(1, false, pattern(131072), true);
    const lengths = [(await wire.nextPdu()).body.length, (await wire.nextPdu()).body.length];
    expect(lengths).toEqual([65542, 65542]);
  });

  it('sends an empty part as one empty fragment', async () => {
    const { wire, user } = await associate();
    await user.association.sendFragment(1, false, Buffer.alloc(0), true);
    expect((await wire.nextPdu()).body).toEqual(Buffer.from([0, 0, 0, 2, 1, 2]));
  });

  it('moves 64 MiB between two ends, byte for byte', async () => {
    const { requestor, acceptor } = await pair();
    const piece = pattern(256 * 1024);
    let intact = true;
    acceptor.onData = (chunk) => {
      // Position in the pattern, found again from what came before: no copy is kept.
      const at = (acceptor.bytes - chunk.length) % piece.length;
      for (let i = 0; i < chunk.length; i += 997) {
        if (chunk[i] !== piece[(at + i) % piece.length]) intact = false;
      }
    };
    acceptor.fragmentEnd = () => undefined;
    (acceptor as unknown as { chunks: { push: () => number } }).chunks = { push: () => 0 };
    for (let i = 0; i < 256; i++) await requestor.association.sendFragment(1, false, piece, i === 255);
    await requestor.association.release();
    expect(acceptor.bytes).toBe(256 * piece.length);
    expect(intact).toBe(true);
    expect(requestor.ends).toEqual([{ kind: 'released', reason: 'released' }]);
  });

  it('holds the sender of a peer that does not read, within a few PDUs', async () => {
    const { socket, user } = await deafPeer();
    let sent = 0;
    const piece = pattern(131072);
    const sending = (async () => {
      for (;;) {
        await user.association.sendFragment(1, false, piece, false);
        sent += piece.length;
      }
    })();
    sending.catch(() => undefined);
    // Until the kernel's buffers are full and nothing moves any more.
    for (let before = -1; before !== sent;) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const info = node.listener.associations()[0]!;
    expect(info.bytesSent - socket.bytesRead).toBeLessThan(30 * 1024 * 1024);
    const queued = sent;
    // A second part waits its turn, and a command too.
    const second = user.association.sendFragment(1, true, Buffer.from('next'), true);

    node.clock.advance(TIMEOUTS.writeStall - 1);
    await settle();
    expect(user.ends).toEqual([]);
    node.clock.advance(1);
    expect(user.ends).toEqual([{ kind: 'timeout', reason: 'the peer took no data for 50 s' }]);
    await expect(sending).rejects.toMatchObject({ code: 'ASSOCIATION_ENDED' });
    await expect(second).rejects.toMatchObject({ code: 'ASSOCIATION_ENDED' });
    expect(sent).toBe(queued);
    await node.gone();
  });

  it('goes on where the peer reads again, however long it took in all', async () => {
    const { socket, user } = await deafPeer();
    const piece = pattern(131072);
    let sent = 0;
    const sending = (async () => {
      for (let i = 0; i < 700; i++) {
        await user.association.sendFragment(1, false, piece, i === 699);
        sent += 1;
      }
    })();
    for (let before = -1; before !== sent;) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    node.clock.advance(TIMEOUTS.writeStall / 2);
    const from = node.clock.now();
    socket.on('data', () => {
      node.clock.advance(60);
    });
    socket.resume();
    await sending;
    expect(node.clock.now() - from).toBeGreaterThan(TIMEOUTS.writeStall);
    expect(user.ends).toEqual([]);
  });

  it('queues a few PDUs of a large part, not all of it', async () => {
    const { user } = await deafPeer();
    const sending = user.association.sendFragment(1, false, Buffer.alloc(64 * 1024 * 1024), true);
    await settle();
    // Node counts what is queued as sent.
    expect(node.listener.associations()[0]!.bytesSent).toBeLessThan(32 * 1024 * 1024);
    user.association.abort(0, 0, 'enough');
    await expect(sending).rejects.toMatchObject({ code: 'ASSOCIATION_ENDED' });
  });

  it('goes at once when the peer closes its half and reads nothing', async () => {
    const { socket, user } = await deafPeer();
    void user.association.sendFragment(1, false, Buffer.alloc(64 * 1024 * 1024), true);
    await settle();
    socket.end();
    await node.gone();
    expect(user.ends).toMatchObject([{ kind: 'connection-lost' }]);
    expect(node.clock.pending).toBe(0);
  });

  it('keeps the order of parts that nobody waited for', async () => {
    const { requestor, acceptor } = await pair();
    const parts = Array.from({ length: 40 }, (_, index) => Buffer.alloc(400_000, index));
    const sent = parts.map((part, index) =>
      requestor.association.sendFragment(1, index % 2 === 0, part, true),
    );
    await Promise.all(sent);
    await requestor.association.release();
    expect(acceptor.parts.map(({ data }) => [data.length, data[0], data.at(-1)])).toEqual(
      parts.map((_, index) => [400_000, index, index]),
    );
    await node.gone();
    expect(node.clock.pending).toBe(0);
  });

  it('ends on A-ABORT though the peer reads nothing: a short grace, then the socket goes', async () => {
    const { user } = await deafPeer();
    const sending = Promise.all(
      Array.from({ length: 100 }, () => user.association.sendFragment(1, false, pattern(131072), false)),
    );
    await settle();
    user.association.abort(0, 0, 'enough');
    user.association.abort(2, 0, 'again');
    expect(user.ends).toEqual([{ kind: 'aborted-by-us', reason: 'enough' }]);
    await expect(sending).rejects.toMatchObject({ code: 'ASSOCIATION_ENDED' });
    node.clock.advance(TIMEOUTS.abortGrace);
    await node.gone();
  });

  it('a promise that nobody looks at does no harm when the association ends', async () => {
    const { wire, user } = await associate();
    wire.destroy();
    await user.association.closed;
    void user.association.sendFragment(1, true, Buffer.from('x'), true);
    await settle();
  });
});

describe('backpressure on what is received', () => {
  it('hands nothing on while paused, and everything afterwards', async () => {
    const { wire, user } = await associate();
    user.onData = () => {
      user.association.pause();
    };
    const data = pattern(50_000);
    const five = Array.from({ length: 5 }, (_, index) =>
      pData(pdv(1, false, true, data.subarray(index * 10_000, index * 10_000 + 10_000))),
    );
    await wire.send(Buffer.concat(five));
    await eventually(() => user.bytes > 0);
    for (let calls = 0; user.parts.length < 5;) {
      const before = user.bytes;
      await settle(3);
      expect(user.bytes).toBe(before);
      user.association.resume();
      // Never from within the call: the caller has to finish what it does first.
      expect(user.bytes).toBe(before);
      await settle(3);
      if (++calls > 40) throw new Error('nothing more comes');
    }
    expect(Buffer.concat(user.parts.map((part) => part.data)).equals(data)).toBe(true);
  });

  it('holds the peer back, not memory', async () => {
    const { requestor, acceptor } = await pair();
    acceptor.association.pause();
    let sent = 0;
    const sending = (async () => {
      for (;;) {
        await requestor.association.sendFragment(1, false, pattern(131072), false);
        sent += 131072;
      }
    })();
    sending.catch(() => undefined);
    for (let before = -1; before !== sent;) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(acceptor.bytes).toBe(0);
    // What was taken off the socket is at most what one read brings, and the stream's own buffer.
    expect(node.listener.associations()[0]!.bytesReceived).toBeLessThan(300_000);
    requestor.association.abort(0, 0, 'done');
  });

  it('reads on after an abort, though its user had paused: the close of the peer is seen', async () => {
    const { wire, user } = await associate();
    user.association.pause();
    await wire.send(pData(pdv(1, false, false, pattern(100_000))));
    await settle();
    user.association.abort(0, 0, 'enough');
    expect((await wire.nextPdu()).type).toBe(PDU.abort);
    wire.destroy();
    await node.gone();
    expect(user.bytes).toBe(0);
  });

  it('keeps what comes before the user is attached', async () => {
    node.attaches = false;
    const { wire, user } = await associate();
    await wire.send(Buffer.concat([pData(pdv(1, true, true, echoRq(1))), releaseRq()]));
    await settle();
    expect(user.parts).toEqual([]);
    user.association.attach(user);
    expect((await wire.nextPdu()).type).toBe(PDU.releaseRp);
    expect(user.parts).toHaveLength(1);
  });

  it('tells a user that comes too late that it is over', async () => {
    node.attaches = false;
    const { wire, user } = await associate();
    wire.reset();
    await user.association.closed;
    user.association.attach(user);
    await settle();
    expect(user.ends).toMatchObject([{ kind: 'connection-lost' }]);
  });
});

describe('time in Sta6', () => {
  const idle: AssociationEnd = { kind: 'timeout', reason: 'idle: nothing received for 60 s' };

  it('aborts 2/0 an idle association', async () => {
    const { wire, user } = await associate();
    node.clock.advance(TIMEOUTS.idle - 1);
    await wire.send(pData(pdv(1, true, true, echoRq(1))));
    await eventually(() => user.parts.length === 1);
    node.clock.advance(TIMEOUTS.idle - 1);
    expect(user.ends).toEqual([]);
    node.clock.advance(1);
    expect(user.ends).toEqual([idle]);
    const { type, body } = await wire.nextPdu();
    expect([type, ...body.subarray(2)]).toEqual([PDU.abort, 2, 0]);
  });

  it('rests while an operation runs, and starts anew behind it', async () => {
    const { user } = await associate();
    user.association.setBusy(true);
    node.clock.advance(5 * TIMEOUTS.idle);
    user.association.setBusy(false);
    node.clock.advance(TIMEOUTS.idle - 1);
    expect(user.ends).toEqual([]);
    node.clock.advance(1);
    expect(user.ends).toEqual([idle]);
  });

  it('rests while we are the ones who do not read', async () => {
    const { user } = await associate();
    user.association.pause();
    node.clock.advance(5 * TIMEOUTS.idle);
    expect(user.ends).toEqual([]);
    user.association.resume();
    node.clock.advance(TIMEOUTS.idle);
    expect(user.ends).toEqual([idle]);
  });

  it.each([
    ['a PDU', pData(pdv(1, false, true, pattern(100))).subarray(0, 50)],
    ['a PDU header', pData(pdv(1, false, true, pattern(100))).subarray(0, 3)],
    ['a data set', pData(pdv(1, false, false, pattern(100)))],
  ])('does not rest in the middle of %s, busy or not', async (_, bytes) => {
    const { wire, user } = await associate();
    user.association.setBusy(true);
    await wire.send(bytes);
    await settle();
    node.clock.advance(TIMEOUTS.idle);
    expect(user.ends).toEqual([
      { kind: 'timeout', reason: 'in the middle of a message: nothing received for 60 s' },
    ]);
  });

  it('sets no timer for a packet', async () => {
    const { requestor, acceptor } = await pair();
    const before = node.clock.set;
    for (let i = 0; i < 500; i++) await requestor.association.sendFragment(1, true, pattern(100), true);
    await eventually(() => acceptor.parts.length === 500);
    expect(node.clock.set - before).toBeLessThan(5);
  });
});

describe('release', () => {
  it('ends both ends', async () => {
    const { requestor, acceptor } = await pair();
    await requestor.association.release();
    const released = { kind: 'released', reason: 'released' };
    await acceptor.association.closed;
    expect([requestor.ends, acceptor.ends]).toEqual([[released], [released]]);
    await requestor.association.release();
    await node.gone();
  });

  it('waits behind what is still being sent', async () => {
    const { requestor, acceptor } = await pair();
    for (let i = 0; i < 20; i++)
      void requestor.association.sendFragment(1, false, pattern(500_000), i === 19);
    await requestor.association.release();
    expect(acceptor.parts.map(({ data }) => data.length)).toEqual([10_000_000]);
    expect(acceptor.ends).toMatchObject([{ kind: 'released' }]);
  });

  it('reads on for its answer though its user had paused, and hands on what comes before it (AR-6)', async () => {
    const { requestor, acceptor } = await pair();
    acceptor.answersRelease = false;
    requestor.association.pause();
    const over = requestor.association.release();
    await eventually(() => acceptor.releases === 1);
    await acceptor.association.sendFragment(1, true, Buffer.from('late'), true);
    acceptor.association.answerRelease();
    await over;
    expect(requestor.parts.map(({ data }) => data.toString())).toEqual(['late']);
  });

  it('refuses to send once it has asked', async () => {
    const { requestor } = await pair();
    const over = requestor.association.release();
    await expect(requestor.association.sendFragment(1, true, Buffer.from('x'), true)).rejects.toMatchObject({
      code: 'ASSOCIATION_ENDED',
    });
    await over;
  });

  it('UL-07: both ask at once, and both are released', async () => {
    const { requestor, acceptor } = await pair();
    await Promise.all([requestor.association.release(), acceptor.association.release()]);
    const released = { kind: 'released', reason: 'released' };
    expect([requestor.ends, acceptor.ends]).toEqual([[released], [released]]);
    expect([requestor.releases, acceptor.releases]).toEqual([0, 0]);
    await node.gone();
  });

  it('UL-07: the acceptor in a collision waits for RP, then answers (Sta10, Sta12)', async () => {
    const { wire, user } = await associate();
    const over = user.association.release();
    expect((await wire.nextPdu()).type).toBe(PDU.releaseRq);
    await wire.send(releaseRq());
    await settle();
    expect(user.ends).toEqual([]);
    await wire.send(pdu(PDU.releaseRp, Buffer.alloc(4)));
    expect((await wire.nextPdu()).type).toBe(PDU.releaseRp);
    await over;
    expect(user.ends).toMatchObject([{ kind: 'released' }]);
  });

  it('aborts where no answer comes', async () => {
    const { wire, user } = await associate();
    const over = user.association.release();
    expect((await wire.nextPdu()).type).toBe(PDU.releaseRq);
    node.clock.advance(TIMEOUTS.release);
    await over;
    expect(user.ends).toEqual([{ kind: 'timeout', reason: 'no answer to A-RELEASE-RQ within 7 s' }]);
    expect((await wire.nextPdu()).type).toBe(PDU.abort);
  });

  it('answers where the peer asked first', async () => {
    const { wire, user } = await associate();
    user.answersRelease = false;
    await wire.send(releaseRq());
    await eventually(() => user.releases === 1);
    await user.association.release();
    expect((await wire.nextPdu()).type).toBe(PDU.releaseRp);
  });
});

it('ids are unique and say which process', async () => {
  const ids = new Set<string>();
  for (let i = 0; i < 3; i++) {
    const { requestor, acceptor } = await pair();
    for (const { association } of [requestor, acceptor] as { association: Association }[]) {
      expect(association.id).toMatch(/^A[0-9a-f]{5}-\d+$/);
      ids.add(association.id);
    }
    await requestor.association.release();
  }
  expect(ids.size).toBe(6);
  expect(new Set([...ids].map((id) => id.split('-')[0])).size).toBe(1);
});
