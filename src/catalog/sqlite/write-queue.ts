import { IsocenterError } from '../../errors';
import { fromWire, rolledBack, unknownOutcome, type WireError } from './failure';
import type { BatchReply, JobResult, WriteJob } from './writer';

/** Jobs in one transaction: enough that its fixed cost no longer shows, few enough that it takes some 10 ms. */
export const LARGEST_BATCH = 256;
/** Records that may wait. An arrival holds some kilobytes; `ingest` stops reading commands beyond. */
export const MOST_WAITING = 1024;

interface Entry {
  readonly job: WriteJob;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export interface QueueParts {
  /** Hands a batch to the writer; rejects only when its thread died. */
  readonly run: (jobs: readonly WriteJob[]) => Promise<BatchReply>;
  readonly onFatal: (error: IsocenterError) => void;
  readonly onLogPages: (pages: number) => void;
}

/** Gathers jobs while the writer is busy: one batch is under way at a time, the next takes all that came meanwhile. */
export class WriteQueue {
  private readonly parts: QueueParts;
  private queued: Entry[] = [];
  private records = 0;
  private inFlight: Promise<void> | undefined;
  private scheduled = false;
  private stopped: Error | undefined;

  constructor(parts: QueueParts) {
    this.parts = parts;
  }

  /** Records whose outcome isn't known yet. */
  get waiting(): number {
    return this.records;
  }

  /** @throws IsocenterError `CATALOG_BUSY`, `CATALOG_ROLLED_BACK`, `CATALOG_UNKNOWN` (all as rejections). */
  push<T>(job: WriteJob): Promise<T> {
    if (this.stopped !== undefined) return Promise.reject(rolledBack(this.stopped));
    const isRecord = job.kind === 'record';
    if (isRecord && this.records >= MOST_WAITING) {
      return Promise.reject(
        new IsocenterError('CATALOG_BUSY', `${MOST_WAITING} records wait for the catalog; try again later`),
      );
    }
    if (isRecord) this.records++;
    return new Promise<T>((resolve, reject) => {
      const done = (): void => {
        if (isRecord) this.records--;
      };
      this.queued.push({
        job,
        resolve: (value) => {
          done();
          resolve(value as T);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.schedule();
    });
  }

  /** Nothing is taken from here on; what is queued was certainly not written. */
  stop(why: Error): void {
    this.stopped ??= why;
    const queued = this.queued;
    this.queued = [];
    for (const entry of queued) entry.reject(rolledBack(why));
  }

  /** Resolves when all that was pushed has its outcome. */
  async drain(): Promise<void> {
    while (this.inFlight !== undefined || this.queued.length > 0) {
      this.send();
      await this.inFlight;
    }
  }

  /** In a microtask: what one turn of the event loop pushes goes together. */
  private schedule(): void {
    if (this.scheduled || this.inFlight !== undefined) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.send();
    });
  }

  private send(): void {
    if (this.inFlight !== undefined || this.queued.length === 0) return;
    const batch = this.queued.splice(0, LARGEST_BATCH);
    this.inFlight = this.parts.run(batch.map((entry) => entry.job)).then(
      (reply) => this.settle(batch, reply),
      (error: unknown) => {
        this.inFlight = undefined;
        const unknown = unknownOutcome(error);
        for (const entry of batch) entry.reject(unknown);
        this.stop(unknown);
      },
    );
  }

  private settle(batch: readonly Entry[], reply: BatchReply): void {
    this.inFlight = undefined;
    if (reply.fatal !== undefined) {
      const error = fromWire(reply.fatal);
      this.stop(error);
      this.parts.onFatal(error);
    }
    if (reply.logPages !== undefined) this.parts.onLogPages(reply.logPages);
    // The writer works on the next batch while the callers of this one go on.
    this.send();
    for (const [index, entry] of batch.entries()) finish(entry, reply.results[index]);
  }
}

const NO_ANSWER: WireError = {
  code: 'CATALOG_UNKNOWN',
  message: 'The writer gave no answer for this record',
};

function finish(entry: Entry, result: JobResult | undefined): void {
  if (result !== undefined && 'value' in result) entry.resolve(result.value);
  else entry.reject(fromWire(result?.error ?? NO_ANSWER));
}
