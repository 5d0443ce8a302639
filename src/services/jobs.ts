import type { Job } from '../catalog/jobs';
import { EXIT, IsocenterError, errorCode, errorMessage } from '../errors';

/** What a handler says of one job. */
export type JobOutcome =
  | {
      readonly id: number;
      readonly outcome: 'done';
      /** For the log; no patient data. */ readonly note?: string;
    }
  /**
   * Tried again later, up to the limit of tries. `destination: true`: the reason is the destination's state rather than this job (out of
   * resources): where no job of a batch was done, the others wait as well.
   */
  | {
      readonly id: number;
      readonly outcome: 'failed';
      readonly reason: string;
      readonly destination?: boolean;
    }
  /** No try will ever do: parked at once. */
  | { readonly id: number; readonly outcome: 'hopeless'; readonly reason: string };

export interface JobContext {
  readonly destination: string;
  /** The node stops: begin nothing more; what has no outcome then is released. */
  readonly stopping: AbortSignal;
  /** The time to stop is over: end at once. */
  readonly signal: AbortSignal;
}

/** Works on jobs of one kind. */
export interface JobHandler {
  readonly kind: string;
  /** Most jobs of a destination that `run` gets at once; default 1. */
  readonly batch?: number;
  /** How many batches of a destination run at a time; default 1. */
  readonly parallel?: (destination: string) => number;
  /**
   * Yields an outcome for each job as soon as there is one, in any order. The same job may come again after a crash: a second time must do no
   * harm. A job without an outcome when it returns has failed; after a throw of `unreached(…)` it was not tried, after any other throw it has
   * failed with that error's message.
   */
  run(jobs: readonly Job[], context: JobContext): AsyncIterable<JobOutcome>;
}

const UNREACHED = 'DESTINATION_UNREACHED';

/** The destination could not be reached at all: says nothing about a job, whose try doesn't count. `why` without patient data. */
export function unreached(why: unknown): IsocenterError {
  return new IsocenterError(UNREACHED, errorMessage(why), { exitCode: EXIT.network, cause: why });
}

export function isUnreached(error: unknown): boolean {
  return errorCode(error) === UNREACHED;
}
