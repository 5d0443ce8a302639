import fc from 'fast-check';
import { ByteQueue } from '../../src/dimse/byte-queue';
import { ReadGate } from '../../src/dimse/read-gate';
import { FakeAssociation } from './fake-association';

const make = (): { association: FakeAssociation; queue: ByteQueue } => {
  const association = new FakeAssociation();
  return { association, queue: new ByteQueue(new ReadGate(association)) };
};

const MiB = 1024 * 1024;

describe('ByteQueue', () => {
  it('hands out what came in, in order, whoever is ahead', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.record({ push: fc.oneof(fc.nat(20), fc.integer({ min: 1000, max: 5000 })) }),
            fc.constant('read' as const),
          ),
          { maxLength: 60 },
        ),
        async (steps) => {
          const { association, queue } = make();
          let value = 0;
          const pushed: Buffer[] = [];
          const reads: Promise<Buffer | undefined>[] = [];
          let open: Promise<unknown> | undefined;
          for (const step of steps) {
            if (step === 'read') {
              await open;
              const read = queue.read();
              reads.push(read);
              // A reader that is ahead must be fed before it may ask again.
              open = undefined;
              const settled = await Promise.race([read.then(() => true), Promise.resolve(false)]);
              if (!settled) {
                const chunk = Buffer.from([value++ % 256]);
                pushed.push(chunk);
                queue.push(chunk);
                open = read;
              }
            } else {
              const chunk = Buffer.alloc(step.push, value++ % 256);
              pushed.push(chunk);
              queue.push(chunk);
            }
          }
          queue.end();
          const got = (await Promise.all(reads)).filter((chunk) => chunk !== undefined);
          for await (const chunk of queue) got.push(chunk);
          expect(Buffer.concat(got).equals(Buffer.concat(pushed))).toBe(true);
          expect(await queue.read()).toBeUndefined();
          expect(association.pauses).toBe(association.resumes);
        },
      ),
    );
  });

  it('pauses at 1 MiB unread, once, and resumes at a quarter', async () => {
    const { association, queue } = make();
    for (let i = 0; i < 15; i++) queue.push(Buffer.alloc(65536));
    expect(association.pauses).toBe(0);
    for (let i = 0; i < 5; i++) queue.push(Buffer.alloc(65536));
    expect(association.pauses).toBe(1);
    for (let i = 0; i < 15; i++) await queue.read();
    expect(association.resumes).toBe(0);
    await queue.read();
    expect(association.resumes).toBe(1);
    for (let i = 0; i < 4; i++) await queue.read();
    expect(association).toMatchObject({ pauses: 1, resumes: 1 });
  });

  it('copies small chunks together, so that a million of them cost about their bytes', async () => {
    const { queue } = make();
    const receiveBuffer = Buffer.alloc(65536, 7);
    for (let i = 0; i < MiB; i++) queue.push(receiveBuffer.subarray(i % 65536, (i % 65536) + 1));
    queue.end();
    let reads = 0;
    let bytes = 0;
    for await (const chunk of queue) {
      reads++;
      bytes += chunk.length;
      expect(chunk.buffer).not.toBe(receiveBuffer.buffer);
    }
    expect(bytes).toBe(MiB);
    expect(reads).toBeLessThan(100);
  });

  it('rejects reads when the association ends first, and forgets what it held', async () => {
    const { association, queue } = make();
    for (let i = 0; i < 20; i++) queue.push(Buffer.alloc(65536));
    expect(association.paused).toBe(true);
    queue.fail(new Error('gone'));
    expect(association.paused).toBe(false);
    await expect(queue.read()).rejects.toThrow('gone');
    await expect(queue.discard()).rejects.toThrow('gone');
    const waiting = make().queue;
    const read = waiting.read();
    waiting.fail(new Error('gone'));
    await expect(read).rejects.toThrow('gone');
  });

  it('can be read to its end after the association has ended, once it is complete', async () => {
    const { queue } = make();
    queue.push(Buffer.from('ab'));
    queue.end();
    queue.fail(new Error('gone'));
    expect(String(await queue.read())).toBe('ab');
    expect(await queue.read()).toBeUndefined();
  });

  it('discards what is there and what comes, and holds nothing back meanwhile', async () => {
    const { association, queue } = make();
    for (let i = 0; i < 20; i++) queue.push(Buffer.alloc(65536));
    const discarded = queue.discard();
    expect(association.paused).toBe(false);
    for (let i = 0; i < 40; i++) queue.push(Buffer.alloc(65536));
    expect(association.paused).toBe(false);
    queue.end();
    await discarded;
    await queue.discard();
  });

  it('never lets a reader that was left behind take a discarded data set for a complete one', async () => {
    const { queue } = make();
    const read = queue.read();
    const discarded = queue.discard();
    queue.end();
    await expect(read).rejects.toThrow('discarded');
    await expect(queue.read()).rejects.toThrow('discarded');
    await discarded;
  });

  it('has one reader at a time', async () => {
    const { queue } = make();
    const first = queue.read();
    await expect(queue.read()).rejects.toThrow('one reader');
    queue.push(Buffer.from('x'));
    expect(String(await first)).toBe('x');
  });
});
