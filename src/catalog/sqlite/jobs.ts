import { EXIT, IsocenterError } from '../../errors';
import {
  PAYLOAD_LIMIT,
  REASON_LIMIT,
  type Job,
  type JobCount,
  type JobEnd,
  type JobFilter,
  type JobNews,
  type JobPage,
  type JobQueue,
  type JobSelection,
  type Lane,
  type NewJob,
} from '../jobs';
import {
  JOBS_AT_ONCE,
  readJob,
  type JobChange,
  type JobRow,
  type Touched,
  type WrittenJob,
} from './jobs-rows';

/** Jobs of one transaction. */
const ADDED_AT_ONCE = 500;

export interface JobsParts {
  readonly write: <T>(change: JobChange) => Promise<T>;
  readonly list: (request: {
    readonly filter: JobFilter;
    readonly page: { readonly limit: number; readonly after?: string };
  }) => Promise<JobPage>;
  readonly counts: () => Promise<JobCount[]>;
}

/** The queue's side in the main thread: checks, splits what is large, and spreads the news. */
export class SqliteJobs implements JobQueue {
  private readonly parts: JobsParts;
  private readonly listeners: ((news: JobNews) => void)[] = [];

  constructor(parts: JobsParts) {
    this.parts = parts;
  }

  async add(jobs: readonly NewJob[]): Promise<number[]> {
    const written = writtenJobs(jobs);
    const ids: number[] = [];
    for (let first = 0; first < written.length; first += ADDED_AT_ONCE) {
      const some = written.slice(first, first + ADDED_AT_ONCE);
      ids.push(...(await this.parts.write<number[]>({ do: 'add', jobs: some })));
      this.announce(some);
    }
    return ids;
  }

  /** Tells of jobs that have been committed. */
  announce(jobs: readonly WrittenJob[]): void {
    const lanes = new Map<string, JobNews>();
    for (const { destination, kind, dueAt } of jobs) {
      const key = JSON.stringify([destination, kind]);
      const known = lanes.get(key);
      if (known === undefined || dueAt < known.dueAt)
        lanes.set(key, { destination, kind, dueAt, retried: false });
    }
    for (const news of lanes.values()) this.tell(news);
  }

  async claim(
    { destination, kind }: Lane,
    { now, limit }: { readonly now: number; readonly limit: number },
  ): Promise<{ jobs: Job[]; nextDueAt: number | undefined }> {
    const change = { do: 'claim', destination, kind, now, limit } as const;
    const claimed = await this.parts.write<{ jobs: JobRow[]; nextDueAt: number | undefined }>(change);
    return { jobs: claimed.jobs.map(readJob), nextDueAt: claimed.nextDueAt };
  }

  end(ends: readonly JobEnd[]): Promise<void> {
    return this.parts.write({
      do: 'end',
      ends: ends.map((end) => ('reason' in end ? { ...end, reason: cut(end.reason) } : end)),
    });
  }

  async parkOlder(destination: string, addedBefore: number, reason: string): Promise<number> {
    const change: JobChange = { do: 'parkOlder', destination, addedBefore, reason: cut(reason) };
    let parked = 0;
    for (;;) {
      const some = await this.parts.write<number>(change);
      parked += some;
      if (some < JOBS_AT_ONCE) return parked;
    }
  }

  async retry(selection: JobSelection, now: number): Promise<{ changed: number; left: number[] }> {
    const lanes = new Map<string, JobNews>();
    const result = await this.select(selection, (selected) => ({ do: 'retry', selected, now }), lanes);
    for (const { destination, kind } of lanes.values())
      this.tell({ destination, kind, dueAt: now, retried: true });
    return result;
  }

  cancel(selection: JobSelection): Promise<{ changed: number; left: number[] }> {
    return this.select(selection, (selected) => ({ do: 'cancel', selected }), new Map());
  }

  list(filter: JobFilter, page: { readonly limit: number; readonly after?: string }): Promise<JobPage> {
    return this.parts.list({ filter, page });
  }

  counts(): Promise<JobCount[]> {
    return this.parts.counts();
  }

  onNews(listener: (news: JobNews) => void): void {
    this.listeners.push(listener);
  }

  /** Piece by piece: records go in between. */
  private async select(
    selection: JobSelection,
    changeOf: (selected: JobSelection) => JobChange,
    lanes: Map<string, Lane>,
  ): Promise<{ changed: number; left: number[] }> {
    let changed = 0;
    const left: number[] = [];
    const take = async (selected: JobSelection): Promise<Touched[]> => {
      const touched = await this.parts.write<Touched[]>(changeOf(selected));
      changed += touched.length;
      for (const { destination, kind } of touched)
        lanes.set(JSON.stringify([destination, kind]), { destination, kind });
      return touched;
    };
    if ('ids' in selection) {
      const ids = [...new Set(selection.ids)];
      for (let first = 0; first < ids.length; first += JOBS_AT_ONCE) {
        const some = ids.slice(first, first + JOBS_AT_ONCE);
        const found = new Set((await take({ ids: some })).map(({ id }) => id));
        left.push(...some.filter((id) => !found.has(id)));
      }
    } else {
      while ((await take(selection)).length === JOBS_AT_ONCE);
    }
    return { changed, left };
  }

  private tell(news: JobNews): void {
    for (const listener of this.listeners) listener(news);
  }
}

/** Jobs as the writer takes them. @throws IsocenterError `JOB_INVALID` */
export function writtenJobs(jobs: readonly NewJob[], now = Date.now()): WrittenJob[] {
  return jobs.map(({ kind, destination, payload, dueAt }) => {
    const text = JSON.stringify(payload) as string | undefined;
    if (text === undefined || Buffer.byteLength(text) > PAYLOAD_LIMIT) {
      throw new IsocenterError('JOB_INVALID', `A job's payload is JSON of at most ${PAYLOAD_LIMIT} bytes`, {
        exitCode: EXIT.failed,
      });
    }
    return { kind, destination, payload: text, addedAt: now, dueAt: dueAt ?? now };
  });
}

function cut(reason: string): string {
  return reason.slice(0, REASON_LIMIT).toWellFormed();
}
