import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { SocketWriter } from '../../src/net/socket-writer';
import { FakeClock } from '../support/fake-clock';

/** A socket whose kernel takes bytes when the test says so. */
function slowSocket() {
  const taken: (() => void)[] = [];
  const stream = new Writable({
    write: (_chunk, _encoding, done: () => void) => taken.push(done),
    writev: (_chunks, done: () => void) => taken.push(done),
  });
  return {
    socket: stream as unknown as Socket,
    /** One system call is through. */
    take: async () => {
      taken.shift()?.();
      await turn();
    },
    get calls() {
      return taken.length;
    },
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setUp() {
  const clock = new FakeClock();
  const slow = slowSocket();
  const stalls: number[] = [];
  const writer = new SocketWriter(slow.socket, clock, 100, () => stalls.push(clock.now() - 1000));
  return { clock, slow, stalls, writer };
}

describe('SocketWriter', () => {
  it('counts a stall from the last progress, though there is always something unsent', async () => {
    const { clock, slow, stalls, writer } = setUp();
    writer.write(Buffer.from('one'));
    await turn();
    for (let round = 0; round < 5; round++) {
      writer.write(Buffer.from('more'));
      clock.advance(90);
      await slow.take();
    }
    expect(stalls).toEqual([]);
    clock.advance(99);
    expect(stalls).toEqual([]);
    clock.advance(1);
    expect(stalls).toEqual([550]);
  });

  it('counts no stall while nothing is unsent', async () => {
    const { clock, slow, stalls, writer } = setUp();
    writer.write(Buffer.from('one'));
    await turn();
    await slow.take();
    clock.advance(1000);
    writer.write(Buffer.from('two'));
    clock.advance(99);
    expect(stalls).toEqual([]);
    clock.advance(1);
    expect(stalls).toHaveLength(1);
  });

  it('writes all of one turn in one call', async () => {
    const { slow, writer } = setUp();
    for (let i = 0; i < 10; i++) {
      void writer.send(1, true, Buffer.from('command'), true, 16384);
      void writer.send(1, false, Buffer.alloc(10_000), true, 16384);
    }
    await turn();
    expect(slow.calls).toBe(1);
    expect(slow.socket.writableLength).toBe(10 * (12 + 7 + 12 + 10_000));
  });

  it('lets senders go on when less than the high water is unsent, not before', async () => {
    const { slow, writer } = setUp();
    const done: number[] = [];
    for (let i = 0; i < 4; i++) {
      void writer.send(1, false, Buffer.alloc(131_000), false, 131072).then(() => done.push(i));
      await turn();
    }
    expect(done).toEqual([0, 1]);
    let after = false;
    writer.afterSends(() => {
      after = true;
    });
    await slow.take();
    await slow.take();
    await turn();
    expect(done).toEqual([0, 1, 2, 3]);
    expect(after).toBe(true);
  });
});
