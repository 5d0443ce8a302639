import type { NewJob } from './jobs';

/** One instance that a storage commitment speaks of. */
export interface InstanceReference {
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
}

/** What a peer wants to be told: whether these instances are held and safe (PS3.4 J.3.2). */
export interface CommitmentRequest {
  /** Name of the remote that asked. */
  readonly remote: string;
  /** Titles of the association that it asked on. */
  readonly callingAETitle: string;
  readonly calledAETitle: string;
  readonly TransactionUID: string;
  readonly references: readonly InstanceReference[];
}

export interface Commitment extends CommitmentRequest {
  /** That of its job. */
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly addedAt: number;
}

/**
 * What became of a request. `known`: the same one is under way, nothing was added; `differs`: another list is under way with this Transaction UID;
 * `full`: this remote has as many under way as it may.
 */
export type CommitmentAdded =
  { readonly kind: 'added' | 'known'; readonly id: number } | { readonly kind: 'differs' | 'full' };

/** Kind of the jobs that verify and report a commitment. */
export const COMMITMENT = 'commitment';

/**
 * Requests for storage commitment that are under way. Each belongs to a job of the queue, is added in one durable transaction with it, and is gone
 * with it, done or cancelled: a list of references is far larger than the payload of a job may be.
 * Errors as those of `Catalog`.
 */
export interface CommitmentStore {
  /**
   * Durable. The same Transaction UID from another remote or title is another transaction.
   * @param most Requests of one remote that may be under way.
   */
  add(request: CommitmentRequest, most: number): Promise<CommitmentAdded>;
  /** The request that belongs to a job; undefined where it is gone. */
  get(id: number): Promise<Commitment | undefined>;
  /** Those of a remote and title that are under way, by job. */
  under(remote: string, callingAETitle: string): Promise<number[]>;
}

/** The job of a request: the list stays where it is. */
export function commitmentJob({
  remote,
  callingAETitle,
  TransactionUID,
  references,
}: CommitmentRequest): NewJob {
  return {
    kind: COMMITMENT,
    destination: remote,
    payload: { callingAETitle, TransactionUID, instances: references.length },
  };
}
