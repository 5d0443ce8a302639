/** What a job says beside whom it is for: plain JSON, at most 64 KiB, nothing of a patient that the catalog doesn't hold anyway. Never logged. */
export type JobPayload = Readonly<Record<string, unknown>>;

/** Bytes of a payload as JSON. */
export const PAYLOAD_LIMIT = 64 * 1024;

/** Characters kept of a failure's reason. */
export const REASON_LIMIT = 300;

/**
 * `waiting` for its time; `running`: claimed; `parked`: not tried any more until somebody says so. A job that is done has no row.
 */
export const JOB_STATES = ['waiting', 'running', 'parked'] as const;
export type JobState = (typeof JOB_STATES)[number];

export interface NewJob {
  /** Which handler works on it: `forward`, `commitment`, … */
  readonly kind: string;
  /** Name of a remote. */
  readonly destination: string;
  readonly payload: JobPayload;
  /** Milliseconds since 1970; default: at once. */
  readonly dueAt?: number;
}

export interface Job {
  readonly id: number;
  readonly kind: string;
  readonly destination: string;
  readonly state: JobState;
  readonly payload: JobPayload;
  /** Tries that were begun, the running one included. */
  readonly attempts: number;
  readonly addedAt: number;
  /** When it is to be tried; for one that runs or is parked: when it was. */
  readonly dueAt: number;
  /** Why the last try failed; no patient data. */
  readonly lastError: string | undefined;
}

/** Jobs of one kind for one destination: they are claimed together. */
export interface Lane {
  readonly destination: string;
  readonly kind: string;
}

/** What becomes of a claimed job. */
export type JobEnd =
  | { readonly id: number; readonly end: 'done' }
  | { readonly id: number; readonly end: 'again'; readonly dueAt: number; readonly reason: string }
  | { readonly id: number; readonly end: 'parked'; readonly reason: string }
  /** Not tried: waits again as before, and the try doesn't count. */
  | { readonly id: number; readonly end: 'released' };

export interface JobFilter {
  readonly destination?: string;
  readonly state?: JobState;
}

export interface JobPage {
  readonly rows: Job[];
  /** Hand it back for the next page; undefined at the end. */
  readonly next: string | undefined;
}

/** Which jobs a person means. */
export type JobSelection = { readonly ids: readonly number[] } | { readonly destination: string };

export interface JobCount extends Lane {
  readonly state: JobState;
  readonly count: number;
  /** When the oldest of them was added. */
  readonly oldest: number;
}

/** Jobs that became due or will. `retried`: a person asked for it, so what is known of the destination's failures is out of date. */
export interface JobNews extends Lane {
  readonly dueAt: number;
  readonly retried: boolean;
}

/**
 * The durable queue. What was added survives a power cut from the moment the promise resolves. At least once: a job that ran when the process
 * ended is due again at the next `Catalog.open`, so handlers have to bear a second time.
 * Errors as those of `Catalog`.
 */
export interface JobQueue {
  /**
   * Durable, in one transaction for each 500. @returns the new ids, in order.
   * @throws IsocenterError `JOB_INVALID` where a payload is no JSON or too large: then none was added.
   */
  add(jobs: readonly NewJob[]): Promise<number[]>;
  /**
   * Makes the due jobs of a lane `running`, the earliest first, at most `limit`. `nextDueAt`: when the next one of the lane that still waits is due;
   * undefined where none waits.
   */
  claim(
    lane: Lane,
    how: { readonly now: number; readonly limit: number },
  ): Promise<{ readonly jobs: Job[]; readonly nextDueAt: number | undefined }>;
  /** Durable, one transaction. Jobs that don't run are left as they are. */
  end(ends: readonly JobEnd[]): Promise<void>;
  /** Durable. Parks the waiting jobs of a destination that were added before a time. @returns how many. */
  parkOlder(destination: string, addedBefore: number, reason: string): Promise<number>;
  /** Durable. Parked and waiting jobs are due now, with their tries forgotten. @returns how many; for `ids`, which did not fit. */
  retry(selection: JobSelection, now: number): Promise<{ readonly changed: number; readonly left: number[] }>;
  /** Durable. Parked and waiting jobs are gone. @returns as `retry`: `left` are running or unknown. */
  cancel(selection: JobSelection): Promise<{ readonly changed: number; readonly left: number[] }>;
  /** By state, destination, kind and time; at most `limit` rows. @throws IsocenterError `CATALOG_CURSOR`. */
  list(filter: JobFilter, page: { readonly limit: number; readonly after?: string }): Promise<JobPage>;
  /** At no cost that grows with the number of jobs. */
  counts(): Promise<JobCount[]>;
  /** Called after the commit of jobs that were added, alone or with an arrival, and of a retry. */
  onNews(listener: (news: JobNews) => void): void;
}

/** Kind of the jobs that send one instance of the store to a remote. */
export const FORWARD = 'forward';

/** Sends what the store holds under a SOP Instance UID when the job's turn comes. */
export function forwardJob(destination: string, SOPInstanceUID: string): NewJob {
  return { kind: FORWARD, destination, payload: { SOPInstanceUID } };
}
