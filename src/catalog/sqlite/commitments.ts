import { createHash } from 'node:crypto';
import {
  commitmentJob,
  type Commitment,
  type CommitmentAdded,
  type CommitmentRequest,
  type CommitmentStore,
  type InstanceReference,
} from '../commitments';
import type { CommitmentChange, CommitmentRow } from './commitments-rows';
import { writtenJobs } from './jobs';
import type { WrittenJob } from './jobs-rows';

export interface CommitmentParts {
  readonly write: <T>(change: CommitmentChange) => Promise<T>;
  /** Tells of jobs that have been committed. */
  readonly announce: (jobs: readonly WrittenJob[]) => void;
}

/** The side of the main thread: text and back. Rows are few, so they are read by the writer, too. */
export class SqliteCommitments implements CommitmentStore {
  private readonly parts: CommitmentParts;

  constructor(parts: CommitmentParts) {
    this.parts = parts;
  }

  async add(request: CommitmentRequest, most: number): Promise<CommitmentAdded> {
    const { remote, callingAETitle, calledAETitle, TransactionUID, references } = request;
    const jobs = writtenJobs([commitmentJob(request)]);
    const [job] = jobs;
    if (job === undefined) throw new Error('a job was not written');
    const refs = references.map(({ SOPClassUID, SOPInstanceUID }) => [SOPClassUID, SOPInstanceUID]);
    const digest = createHash('sha256').update(refs.map(String).sort().join('\\')).digest('hex');
    const row = { remote, callingAETitle, calledAETitle, TransactionUID, digest, refs: JSON.stringify(refs) };
    const added = await this.parts.write<CommitmentAdded>({ do: 'add', row, job, most });
    if (added.kind === 'added') this.parts.announce(jobs);
    return added;
  }

  async get(id: number): Promise<Commitment | undefined> {
    const row = await this.parts.write<CommitmentRow | undefined>({ do: 'get', id });
    if (row === undefined) return undefined;
    const { remote, callingAETitle, calledAETitle, TransactionUID, addedAt } = row;
    return {
      id,
      remote,
      callingAETitle,
      calledAETitle,
      TransactionUID,
      addedAt,
      references: readReferences(row.refs),
    };
  }

  under(remote: string, callingAETitle: string): Promise<number[]> {
    return this.parts.write({ do: 'under', remote, callingAETitle });
  }
}

function readReferences(refs: string): InstanceReference[] {
  return (JSON.parse(refs) as [string, string][]).map(([SOPClassUID, SOPInstanceUID]) => ({
    SOPClassUID,
    SOPInstanceUID,
  }));
}
