import type Database from 'better-sqlite3';
import type { Job, JobEnd, JobState } from '../jobs';

/** A job as it crosses to the writer: its payload is text already. */
export interface WrittenJob {
  readonly kind: string;
  readonly destination: string;
  readonly payload: string;
  readonly addedAt: number;
  readonly dueAt: number;
}

/** Rows of a selection that are changed in one go: some milliseconds, so that arrivals don't wait behind a million jobs. */
export const JOBS_AT_ONCE = 2000;

/** The part of the selection that one change takes. */
export type Selected = { readonly ids: readonly number[] } | { readonly destination: string };

export type JobChange =
  | { readonly do: 'add'; readonly jobs: readonly WrittenJob[] }
  | {
      readonly do: 'claim';
      readonly destination: string;
      readonly kind: string;
      readonly now: number;
      readonly limit: number;
    }
  | { readonly do: 'end'; readonly ends: readonly JobEnd[] }
  | {
      readonly do: 'parkOlder';
      readonly destination: string;
      readonly addedBefore: number;
      readonly reason: string;
    }
  | { readonly do: 'retry'; readonly selected: Selected; readonly now: number }
  | { readonly do: 'cancel'; readonly selected: Selected };

/** What a power cut may undo without loss: a job that was claimed, or given back, waits again after a start in any case. */
export function isForgettable(change: JobChange): boolean {
  if (change.do === 'end') return change.ends.every(({ end }) => end === 'released');
  return change.do === 'claim';
}

export interface JobRow extends Omit<Job, 'payload' | 'lastError'> {
  readonly payload: string;
  readonly lastError: string | null;
}

export function readJob({ payload, lastError, ...row }: JobRow): Job {
  return { ...row, payload: JSON.parse(payload) as Job['payload'], lastError: lastError ?? undefined };
}

/** Rows of one change, or which jobs it touched. */
export interface Touched {
  readonly id: number;
  readonly destination: string;
  readonly kind: string;
}

/** A time further ahead than this at a start was written while the clock was wrong, in milliseconds. */
const FURTHEST_DUE = 24 * 3600 * 1000;

/** Jobs are few beside instances, yet a destination that is down for a week has a million. */
export function createJobs(database: Database.Database): void {
  database.exec(`
    CREATE TABLE jobs (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL,
      destination TEXT NOT NULL,
      state TEXT NOT NULL,
      attempts INTEGER NOT NULL,
      addedAt INTEGER NOT NULL,
      dueAt INTEGER NOT NULL,
      lastError TEXT,
      payload TEXT NOT NULL
    ) STRICT;
    CREATE INDEX jobs_order ON jobs (state, destination, kind, dueAt, id);
    CREATE INDEX jobs_age ON jobs (state, destination, kind, addedAt);
    CREATE TABLE job_counts (
      state TEXT NOT NULL,
      destination TEXT NOT NULL,
      kind TEXT NOT NULL,
      count INTEGER NOT NULL,
      PRIMARY KEY (state, destination, kind)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER jobs_added AFTER INSERT ON jobs BEGIN
      INSERT INTO job_counts VALUES (new.state, new.destination, new.kind, 1)
        ON CONFLICT (state, destination, kind) DO UPDATE SET count = count + 1;
    END;
    CREATE TRIGGER jobs_gone AFTER DELETE ON jobs BEGIN
      UPDATE job_counts SET count = count - 1
        WHERE state = old.state AND destination = old.destination AND kind = old.kind;
    END;
    CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
      UPDATE job_counts SET count = count - 1
        WHERE state = old.state AND destination = old.destination AND kind = old.kind;
      INSERT INTO job_counts VALUES (new.state, new.destination, new.kind, 1)
        ON CONFLICT (state, destination, kind) DO UPDATE SET count = count + 1;
    END;
  `);
}

/** What ran when the process ended waits again. */
export function reviveJobs(database: Database.Database, now: number): void {
  database
    .transaction(() => {
      database.prepare("UPDATE jobs SET state = 'waiting' WHERE state = 'running'").run();
      database
        .prepare("UPDATE jobs SET dueAt = ? WHERE state = 'waiting' AND dueAt > ?")
        .run(now, now + FURTHEST_DUE);
    })
    .immediate();
}

/** Statements of the queue, within the writer's transaction. */
export class JobRows {
  private readonly insert: Database.Statement<[string, string, number, number, string]>;
  private readonly take: Database.Statement<[string, string, number, number], JobRow>;
  private readonly next: Database.Statement<[string, string], number | null>;
  private readonly delete: Database.Statement<[number]>;
  private readonly again: Database.Statement<[JobState, number, string, number]>;
  private readonly park: Database.Statement<[string, number]>;
  private readonly release: Database.Statement<[number]>;
  private readonly parkOld: Database.Statement<[string, string, number, number]>;
  private readonly retryOne: Database.Statement<[number, number], Touched>;
  private readonly retrySome: Database.Statement<[number, string, string, number, number], Touched>;
  private readonly cancelOne: Database.Statement<[number], Touched>;
  private readonly cancelSome: Database.Statement<[string, string, number], Touched>;

  constructor(database: Database.Database) {
    this.insert = database.prepare(
      `INSERT INTO jobs (kind, destination, state, attempts, addedAt, dueAt, payload)
       VALUES (?, ?, 'waiting', 0, ?, ?, ?)`,
    );
    this.take = database.prepare(
      `UPDATE jobs SET state = 'running', attempts = attempts + 1 WHERE id IN (
         SELECT id FROM jobs WHERE state = 'waiting' AND destination = ? AND kind = ? AND dueAt <= ?
         ORDER BY dueAt, id LIMIT ?)
       RETURNING *`,
    );
    this.next = database
      .prepare<[string, string], number | null>(
        "SELECT min(dueAt) FROM jobs WHERE state = 'waiting' AND destination = ? AND kind = ?",
      )
      .pluck();
    this.delete = database.prepare("DELETE FROM jobs WHERE id = ? AND state = 'running'");
    this.again = database.prepare(
      "UPDATE jobs SET state = ?, dueAt = ?, lastError = ? WHERE id = ? AND state = 'running'",
    );
    this.park = database.prepare(
      "UPDATE jobs SET state = 'parked', lastError = ? WHERE id = ? AND state = 'running'",
    );
    this.release = database.prepare(
      "UPDATE jobs SET state = 'waiting', attempts = max(attempts - 1, 0) WHERE id = ? AND state = 'running'",
    );
    this.parkOld = database.prepare(
      `UPDATE jobs SET state = 'parked', lastError = ? WHERE id IN (
         SELECT id FROM jobs WHERE state = 'waiting' AND destination = ? AND addedAt < ? LIMIT ?)`,
    );
    const retried = "UPDATE jobs SET state = 'waiting', attempts = 0, dueAt = ?";
    const touched = 'RETURNING id, destination, kind';
    this.retryOne = database.prepare(`${retried} WHERE id = ? AND state <> 'running' ${touched}`);
    this.retrySome = database.prepare(
      `${retried} WHERE id IN (
         SELECT id FROM jobs WHERE state = 'parked' AND destination = ?
         UNION ALL SELECT id FROM jobs WHERE state = 'waiting' AND destination = ? AND dueAt > ? LIMIT ?) ${touched}`,
    );
    this.cancelOne = database.prepare(`DELETE FROM jobs WHERE id = ? AND state <> 'running' ${touched}`);
    this.cancelSome = database.prepare(
      `DELETE FROM jobs WHERE id IN (
         SELECT id FROM jobs WHERE state = 'parked' AND destination = ?
         UNION ALL SELECT id FROM jobs WHERE state = 'waiting' AND destination = ? LIMIT ?) ${touched}`,
    );
  }

  run(change: JobChange): unknown {
    switch (change.do) {
      case 'add':
        return this.add(change.jobs);
      case 'claim':
        return this.claim(change);
      case 'end':
        for (const end of change.ends) this.end(end);
        return undefined;
      case 'parkOlder':
        return this.parkOld.run(change.reason, change.destination, change.addedBefore, JOBS_AT_ONCE).changes;
      case 'retry':
        return this.retry(change.selected, change.now);
      case 'cancel':
        return this.cancel(change.selected);
    }
  }

  add(jobs: readonly WrittenJob[]): number[] {
    return jobs.map(({ kind, destination, addedAt, dueAt, payload }) =>
      Number(this.insert.run(kind, destination, addedAt, dueAt, payload).lastInsertRowid),
    );
  }

  private claim({ destination, kind, now, limit }: Extract<JobChange, { do: 'claim' }>): {
    jobs: JobRow[];
    nextDueAt: number | undefined;
  } {
    const jobs = this.take.all(destination, kind, now, limit);
    jobs.sort((a, b) => a.dueAt - b.dueAt || a.id - b.id);
    return { jobs, nextDueAt: this.next.get(destination, kind) ?? undefined };
  }

  private end(end: JobEnd): void {
    switch (end.end) {
      case 'done':
        this.delete.run(end.id);
        break;
      case 'again':
        this.again.run('waiting', end.dueAt, end.reason, end.id);
        break;
      case 'parked':
        this.park.run(end.reason, end.id);
        break;
      case 'released':
        this.release.run(end.id);
        break;
    }
  }

  private retry(selected: Selected, now: number): Touched[] {
    if ('ids' in selected) return selected.ids.flatMap((id) => this.retryOne.all(now, id));
    const { destination } = selected;
    return this.retrySome.all(now, destination, destination, now, JOBS_AT_ONCE);
  }

  private cancel(selected: Selected): Touched[] {
    if ('ids' in selected) return selected.ids.flatMap((id) => this.cancelOne.all(id));
    const { destination } = selected;
    return this.cancelSome.all(destination, destination, JOBS_AT_ONCE);
  }
}
