import { WriteQueue } from '../../../src/catalog/sqlite/write-queue';
import type { BatchReply, WriteJob } from '../../../src/catalog/sqlite/writer';
import { arrival } from '../arrivals';

interface Batch {
  readonly jobs: readonly WriteJob[];
  answer(reply?: Partial<BatchReply>): void;
  die(error: Error): void;
}

/** A writer whose batches the test answers. */
function scripted(): { queue: WriteQueue; batches: Batch[]; fatal: Error[]; pages: number[] } {
  const batches: Batch[] = [];
  const fatal: Error[] = [];
  const pages: number[] = [];
  const queue = new WriteQueue({
    run: (jobs) =>
      new Promise<BatchReply>((resolve, reject) => {
        batches.push({
          jobs,
          answer: (reply = {}) =>
            resolve({ results: jobs.map(() => ({ value: { kind: 'recorded' } })), ...reply }),
          die: reject,
        });
      }),
    onFatal: (error) => fatal.push(error),
    onLogPages: (count) => pages.push(count),
  });
  return { queue, batches, fatal, pages };
}

const record = (number: number): WriteJob => ({ kind: 'record', arrival: arrival({ number }) });
const settle: WriteJob = { kind: 'settle', segment: 1 };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'done',
    (error: unknown) => (error as { code: string }).code,
  );

describe('WriteQueue', () => {
  it('sends together what one turn pushes, and then what came meanwhile', async () => {
    const { queue, batches } = scripted();
    const first = [queue.push(record(1)), queue.push(record(2))];
    await turn();
    const second = [queue.push(record(3)), queue.push(settle)];
    await turn();
    expect(batches.map(({ jobs }) => jobs.length)).toEqual([2]);
    expect(queue.waiting).toBe(3);
    batches[0]!.answer({ logPages: 7 });
    await Promise.all(first);
    expect(batches.map(({ jobs }) => jobs.length)).toEqual([2, 2]);
    batches[1]!.answer();
    await Promise.all(second);
    expect(queue.waiting).toBe(0);
  });

  it('takes 256 jobs a batch and 1024 records at a time', async () => {
    const { queue, batches } = scripted();
    const pushed = Array.from({ length: 1024 }, (_, index) => queue.push(record(index + 1)));
    await expect(queue.push(record(2000))).rejects.toMatchObject({ code: 'CATALOG_BUSY' });
    // What must not be refused is not: a mark, a decision.
    const mark = queue.push(settle);
    await turn();
    for (let index = 0; index < 5; index++) {
      batches[index]!.answer();
      await turn();
    }
    await Promise.all([...pushed, mark]);
    expect(batches.map(({ jobs }) => jobs.length)).toEqual([256, 256, 256, 256, 1]);
    const next = queue.push(record(2001));
    await turn();
    batches[5]!.answer();
    await next;
  });

  it('tells each caller its own outcome', async () => {
    const { queue, batches } = scripted();
    const outcomes = [code(queue.push(record(1))), code(queue.push(record(2)))];
    await turn();
    batches[0]!.answer({
      results: [{ error: { code: 'CATALOG_ROLLED_BACK', message: 'refused' } }, { value: undefined }],
    });
    expect(await Promise.all(outcomes)).toEqual(['CATALOG_ROLLED_BACK', 'done']);
  });

  it('does not know what became of a batch whose writer died, and knows of the rest', async () => {
    const { queue, batches } = scripted();
    const inFlight = code(queue.push(record(1)));
    await turn();
    const queued = code(queue.push(record(2)));
    batches[0]!.die(new Error('gone'));
    expect(await Promise.all([inFlight, queued])).toEqual(['CATALOG_UNKNOWN', 'CATALOG_ROLLED_BACK']);
    expect(await code(queue.push(record(3)))).toBe('CATALOG_ROLLED_BACK');
    expect(queue.waiting).toBe(0);
    await queue.drain();
  });

  it('takes nothing more after a fatal reply, and says so once', async () => {
    const { queue, batches, fatal } = scripted();
    const inFlight = code(queue.push(record(1)));
    await turn();
    const queued = code(queue.push(record(2)));
    batches[0]!.answer({
      results: [{ error: { code: 'CATALOG_UNKNOWN', message: 'fsync' } }],
      fatal: { code: 'SQLITE_IOERR_FSYNC', message: 'disk I/O error' },
    });
    expect(await Promise.all([inFlight, queued])).toEqual(['CATALOG_UNKNOWN', 'CATALOG_ROLLED_BACK']);
    expect(fatal.map((error) => (error as unknown as { code: string }).code)).toEqual(['SQLITE_IOERR_FSYNC']);
    expect(batches).toHaveLength(1);
  });
});
