import type Database from 'better-sqlite3';
import { COMMITMENT } from '../commitments';
import type { JobRows, WrittenJob } from './jobs-rows';

/** A request as it crosses to the writer: its list is text already. */
export interface WrittenCommitment {
  readonly remote: string;
  readonly callingAETitle: string;
  readonly calledAETitle: string;
  readonly TransactionUID: string;
  /** Of the list, in whatever order it came. */
  readonly digest: string;
  readonly refs: string;
}

export interface CommitmentRow extends WrittenCommitment {
  readonly id: number;
  readonly addedAt: number;
}

export type CommitmentChange =
  | { readonly do: 'add'; readonly row: WrittenCommitment; readonly job: WrittenJob; readonly most: number }
  | { readonly do: 'get'; readonly id: number }
  | { readonly do: 'under'; readonly remote: string; readonly callingAETitle: string };

/** A row lives as long as its job, whoever ends that. */
export function createCommitments(database: Database.Database): void {
  database.exec(`
    CREATE TABLE commitments (
      id INTEGER PRIMARY KEY,
      remote TEXT NOT NULL,
      callingAETitle TEXT NOT NULL,
      calledAETitle TEXT NOT NULL,
      TransactionUID TEXT NOT NULL,
      digest TEXT NOT NULL,
      addedAt INTEGER NOT NULL,
      refs TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX commitments_key ON commitments (remote, callingAETitle, TransactionUID);
    CREATE TRIGGER commitments_gone AFTER DELETE ON jobs WHEN old.kind = '${COMMITMENT}' BEGIN
      DELETE FROM commitments WHERE id = old.id;
    END;
  `);
}

/** Statements of the requests, within the writer's transaction. */
export class CommitmentRows {
  private readonly jobs: JobRows;
  private readonly same: Database.Statement<[string, string, string], { id: number; digest: string }>;
  private readonly count: Database.Statement<[string], number>;
  private readonly clear: Database.Statement<[number, string, string, string]>;
  private readonly insert: Database.Statement<[CommitmentRow]>;
  private readonly one: Database.Statement<[number], CommitmentRow>;
  private readonly some: Database.Statement<[string, string], number>;

  constructor(database: Database.Database, jobs: JobRows) {
    this.jobs = jobs;
    // One whose job was lost with a damaged catalog is not under way: nobody would report it.
    const living = `FROM commitments JOIN jobs ON jobs.id = commitments.id AND jobs.kind = '${COMMITMENT}'`;
    const key = 'remote = ? AND callingAETitle = ?';
    this.same = database.prepare(
      `SELECT commitments.id AS id, digest ${living} WHERE ${key} AND TransactionUID = ?`,
    );
    this.count = database.prepare<[string], number>(`SELECT count(*) ${living} WHERE remote = ?`).pluck();
    this.clear = database.prepare(`DELETE FROM commitments WHERE id = ? OR (${key} AND TransactionUID = ?)`);
    this.insert = database.prepare(
      `INSERT INTO commitments VALUES
       (@id, @remote, @callingAETitle, @calledAETitle, @TransactionUID, @digest, @addedAt, @refs)`,
    );
    this.one = database.prepare('SELECT * FROM commitments WHERE id = ?');
    this.some = database
      .prepare<[string, string], number>(`SELECT commitments.id ${living} WHERE ${key} ORDER BY 1`)
      .pluck();
  }

  run(change: CommitmentChange): unknown {
    switch (change.do) {
      case 'add':
        return this.add(change);
      case 'get':
        return this.one.get(change.id);
      case 'under':
        return this.some.all(change.remote, change.callingAETitle);
    }
  }

  private add({ row, job, most }: Extract<CommitmentChange, { do: 'add' }>): {
    kind: 'added' | 'known' | 'differs' | 'full';
    id?: number;
  } {
    const { remote, callingAETitle, TransactionUID } = row;
    const same = this.same.get(remote, callingAETitle, TransactionUID);
    if (same !== undefined)
      return same.digest === row.digest ? { kind: 'known', id: same.id } : { kind: 'differs' };
    if ((this.count.get(remote) ?? 0) >= most) return { kind: 'full' };
    const [id] = this.jobs.add([job]);
    if (id === undefined) throw new Error('a job was not added');
    this.clear.run(id, remote, callingAETitle, TransactionUID);
    this.insert.run({ ...row, id, addedAt: job.addedAt });
    return { kind: 'added', id };
  }
}
