import type Database from 'better-sqlite3';
import { errorCode } from '../../errors';
import type {
  Arrival,
  BackfillState,
  BackfillStep,
  Exchange,
  QuarantineEntry,
  RecordOutcome,
} from '../types';
import { CommitmentRows, type CommitmentChange } from './commitments-rows';
import { BUSY_TIMEOUT, openConnection, setSynchronous } from './connection';
import { Entities } from './entities';
import { Exchanger } from './exchange';
import { certainlyRolledBack, isFatal, rolledBack, toWire, unknownOutcome, type WireError } from './failure';
import { carryOver, type CarriedOver } from './jobs-carry';
import { isForgettable, JobRows, reviveJobs, type JobChange, type WrittenJob } from './jobs-rows';
import { Backfiller } from './kept-attributes';
import type { Layout } from './layout';
import { Ledger } from './ledger';
import { QuarantineRows } from './quarantine-rows';
import { migrate } from './schema';
import { mendSetAside } from './set-aside';

/** One unit of work of the writer. All are durable but what the files can tell again (`isTold`). */
export type WriteJob =
  | {
      readonly kind: 'record';
      readonly arrival: Arrival;
      readonly replaces?: string;
      /** Added with the row; not where it was there already. */
      readonly jobs?: readonly WrittenJob[];
    }
  | { readonly kind: 'jobs'; readonly change: JobChange }
  | { readonly kind: 'commitments'; readonly change: CommitmentChange }
  | { readonly kind: 'openSegment' | 'settle'; readonly segment: number }
  | { readonly kind: 'markDamaged'; readonly arrivalId: string; readonly reason: string }
  | {
      readonly kind: 'addQuarantine';
      readonly entry: Omit<QuarantineEntry, 'count'>;
      readonly kept?: boolean;
    }
  | { readonly kind: 'removeQuarantine'; readonly arrivalId: string }
  | { readonly kind: 'exchange'; readonly change: Exchange; readonly jobs?: readonly WrittenJob[] }
  | { readonly kind: 'fill'; readonly step: BackfillStep };

export type JobResult = { readonly value: unknown } | { readonly error: WireError };

export interface BatchReply {
  /** One for each job, in their order. */
  readonly results: readonly JobResult[];
  /** Set when nothing may be written any more. */
  readonly fatal?: WireError;
  /** Length of the write-ahead log in pages, where it was looked at. */
  readonly logPages?: number;
}

/**
 * Upper bound of the writer's page cache, in KiB: the pages that a batch dirties and the upper ones of the indexes. Measured at a
 * million instances: 8, 24 and 64 MiB cost the same processor time a record; what isn't here is in the system's cache.
 */
export const WRITER_CACHE = 16 * 1024;

/** Jobs between two looks at the log's length: at two or three pages a record some 8 MiB. */
const PROBE_EVERY = 1024;
/** What a commit of its own counts for beside its jobs. */
const COMMIT_WEIGHT = 8;

/** How long the writer waits for readers before it starts the log anew, in milliseconds: records wait with it. */
const RESTART_PATIENCE = 50;

/** The one connection that writes. Synchronous; lives in a thread of its own. */
export class Writer {
  private readonly database: Database.Database;
  private readonly entities: Entities;
  private readonly ledger: Ledger;
  private readonly quarantine: QuarantineRows;
  private readonly exchanger: Exchanger;
  private readonly backfiller: Backfiller;
  private readonly jobs: JobRows;
  private readonly commitments: CommitmentRows;
  private readonly statements: Readonly<
    Record<'begin' | 'commit' | 'rollback' | 'savepoint' | 'release' | 'undo', Database.Statement<[]>>
  >;
  private readonly settle: Database.Statement<[number]>;
  private readonly openSegment: Database.Statement<[number]>;
  private readonly markDamaged: Database.Statement<[string, string]>;
  private readonly known: Database.Statement<[string]>;
  /** What came from a catalog that was set aside. */
  readonly carried: CarriedOver | undefined;
  private mode: 'NORMAL' | 'FULL' = 'NORMAL';
  private failed: unknown;
  private sinceProbe = 0;

  /** @throws IsocenterError `CATALOG_NEWER`, `CATALOG_CORRUPT`, `CATALOG_SQLITE`. */
  constructor(file: string, layout: Layout) {
    mendSetAside(file);
    const database = openConnection(file, { cache: WRITER_CACHE });
    this.database = database;
    migrate(database, layout);
    this.carried = carryOver(database);
    reviveJobs(database, Date.now());
    // A log that outgrew this is cut back when it starts anew.
    database.pragma(`journal_size_limit = ${64 * 1024 * 1024}`);
    this.entities = new Entities(database, layout);
    this.ledger = new Ledger(database, layout, this.entities);
    this.quarantine = new QuarantineRows(database);
    this.exchanger = new Exchanger(database, this.ledger, this.entities, this.quarantine);
    this.backfiller = new Backfiller(database, layout, this.ledger);
    this.jobs = new JobRows(database);
    this.commitments = new CommitmentRows(database, this.jobs);
    this.statements = {
      begin: database.prepare('BEGIN IMMEDIATE'),
      commit: database.prepare('COMMIT'),
      rollback: database.prepare('ROLLBACK'),
      savepoint: database.prepare('SAVEPOINT job'),
      release: database.prepare('RELEASE job'),
      undo: database.prepare('ROLLBACK TO job'),
    };
    this.openSegment = database.prepare(
      'INSERT INTO segments VALUES (?, 0) ON CONFLICT (segment) DO NOTHING',
    );
    this.settle = database.prepare(
      'INSERT INTO segments VALUES (?, 1) ON CONFLICT (segment) DO UPDATE SET settled = 1',
    );
    this.markDamaged = database.prepare('UPDATE instances SET damaged = ? WHERE arrivalId = ?');
    this.known = database.prepare('SELECT 1 FROM instances WHERE arrivalId = ?');
  }

  /** Attributes that are not filled yet; undefined where there are none. */
  backfill(): BackfillState | undefined {
    return this.backfiller.state();
  }

  /** Writes a batch in one transaction; a job that fails alone takes nothing with it. Never throws. */
  run(jobs: readonly WriteJob[]): BatchReply {
    if (this.failed !== undefined) return this.allFailed(jobs, rolledBack(this.failed));
    let committing = false;
    try {
      this.setMode(jobs.every(isTold) ? 'NORMAL' : 'FULL');
      this.statements.begin.run();
      const results = jobs.map((job) => this.attempt(job));
      this.entities.flush();
      committing = true;
      this.statements.commit.run();
      this.entities.trim();
      return { results, ...this.probe(jobs.length) };
    } catch (error) {
      const certain = !committing || certainlyRolledBack(error);
      const further = this.rollback();
      this.failed = isFatal(error) || !certain ? error : further;
      return this.allFailed(jobs, certain ? rolledBack(error) : unknownOutcome(error));
    }
  }

  /** Copies what the log still holds and starts it anew, so that it stays bounded under a load without pauses. */
  restartLog(): void {
    // A long read holds the log's end; then the next look at it tries again.
    this.database.pragma(`busy_timeout = ${RESTART_PATIENCE}`);
    try {
      this.database.pragma('wal_checkpoint(RESTART)');
    } finally {
      this.database.pragma(`busy_timeout = ${BUSY_TIMEOUT}`);
    }
  }

  close(): void {
    try {
      if (this.failed === undefined) this.database.pragma('wal_checkpoint(TRUNCATE)');
    } catch {
      // A full disk, say. What was committed stays in the log, and the next start reads it there.
    } finally {
      this.database.close();
    }
  }

  private attempt(job: WriteJob): JobResult {
    // These look at rows by id, and what is written before the savepoint is not lost with it.
    if (
      job.kind === 'exchange' ||
      job.kind === 'fill' ||
      (job.kind === 'record' && this.ledger.holds(job.arrival))
    ) {
      this.entities.flush();
    }
    this.entities.begin();
    this.statements.savepoint.run();
    try {
      const value = this.perform(job);
      this.statements.release.run();
      return { value };
    } catch (error) {
      if (!this.database.inTransaction || endsTransaction(error)) throw error;
      this.statements.undo.run();
      this.statements.release.run();
      this.entities.undo();
      return { error: toWire(rolledBack(error)) };
    }
  }

  private perform(job: WriteJob): unknown {
    switch (job.kind) {
      case 'record':
        return this.record(job.arrival, job.replaces, job.jobs);
      case 'jobs':
        return this.jobs.run(job.change);
      case 'commitments':
        return this.commitments.run(job.change);
      case 'addQuarantine':
        return this.quarantine.add(job.entry, job.kept === true);
      case 'exchange':
        return this.exchange(job.change, job.jobs ?? []);
      case 'fill':
        return this.backfiller.run(job.step);
      case 'removeQuarantine':
        this.quarantine.remove(job.arrivalId);
        return undefined;
      case 'openSegment':
        this.openSegment.run(job.segment);
        return undefined;
      case 'settle':
        this.settle.run(job.segment);
        return undefined;
      case 'markDamaged':
        this.markDamaged.run(job.reason, job.arrivalId);
        return undefined;
    }
  }

  /** Asked again for a row that is there: its jobs were added with it. */
  private record(
    arrival: Arrival,
    replaces: string | undefined,
    jobs: readonly WrittenJob[] | undefined,
  ): RecordOutcome {
    const known = jobs !== undefined && this.known.get(arrival.arrivalId) !== undefined;
    const outcome = this.ledger.record(arrival, replaces);
    if (jobs !== undefined && !known && outcome.kind === 'recorded') this.jobs.add(jobs);
    return outcome;
  }

  private exchange(change: Exchange, jobs: readonly WrittenJob[]): 'done' | 'stale' {
    const outcome = this.exchanger.run(change);
    if (outcome === 'done') this.jobs.add(jobs);
    return outcome;
  }

  /** Only outside of a transaction, where SQLite takes it. */
  private setMode(mode: 'NORMAL' | 'FULL'): void {
    if (this.mode === mode) return;
    setSynchronous(this.database, mode);
    this.mode = mode;
  }

  /** @returns what went wrong while rolling back. */
  private rollback(): unknown {
    try {
      if (this.database.inTransaction) this.statements.rollback.run();
      // Reads the totals again: after a broken disk that may fail, too.
      this.entities.forget();
      return undefined;
    } catch (error) {
      return error;
    }
  }

  private allFailed(jobs: readonly WriteJob[], error: Error): BatchReply {
    const wire = toWire(error);
    return {
      results: jobs.map(() => ({ error: wire })),
      ...(this.failed === undefined ? {} : { fatal: toWire(this.failed) }),
    };
  }

  private probe(jobs: number): { logPages?: number } {
    this.sinceProbe += jobs + COMMIT_WEIGHT;
    if (this.sinceProbe < PROBE_EVERY) return {};
    this.sinceProbe = 0;
    const [state] = this.database.pragma('wal_checkpoint(NOOP)') as { log: number }[];
    return { logPages: state?.log ?? 0 };
  }
}

/** What the files can tell again, or what may be forgotten. */
function isTold(job: WriteJob): boolean {
  if (job.kind === 'record') return job.jobs === undefined;
  if (job.kind === 'commitments') return job.change.do !== 'add';
  return job.kind === 'fill' || (job.kind === 'jobs' && isForgettable(job.change));
}

/** After these SQLite may have rolled back by itself, and the next record would meet the same. */
function endsTransaction(error: unknown): boolean {
  const code = errorCode(error) ?? '';
  return (
    isFatal(error) || code === 'SQLITE_FULL' || code === 'SQLITE_NOMEM' || code.startsWith('SQLITE_BUSY')
  );
}
