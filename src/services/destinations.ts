import { STATUS } from '../dimse/status';
import { DimseError } from '../errors';
import type { Peer } from '../peer';

/** A remote that instances can be sent to. */
export interface MoveDestination {
  /** In the configuration. */
  readonly name: string;
  readonly aeTitle: string;
  /** Associations at once, of all moves together. */
  readonly associations: number;
  readonly transcode: 'never' | 'lossless';
  /** What a move could not deliver goes to the queue of jobs. */
  readonly retryFailed: boolean;
}

/** A remote that can't be called, and what it lacks. */
export interface UncallableRemote {
  readonly name: string;
  readonly aeTitle: string;
  readonly missing: string;
}

/**
 * The remote that a Move Destination names (MV-01): by its whole AE title, at one host and port. Of several with the same title the first
 * that the caller may name counts.
 * @param caller `destinations` = the remotes that it may name; default all.
 * @throws DimseError A801 where there is none; 0124 where the caller may not name it. The comment says which key mends it.
 */
export function findDestination(
  remotes: readonly (MoveDestination | UncallableRemote)[],
  title: string,
  caller: Pick<Peer, 'name' | 'destinations'>,
): MoveDestination {
  const titled = remotes.filter(({ aeTitle }) => aeTitle === title.trim());
  const callable = titled.filter((one): one is MoveDestination => !('missing' in one));
  const [first] = callable;
  if (first === undefined) {
    const [lacking] = titled;
    throw new DimseError(
      STATUS.MoveDestinationUnknown,
      lacking !== undefined && 'missing' in lacking
        ? `To move there remotes.${lacking.name} needs ${lacking.missing}`
        : 'Unknown destination: add a remote with its aeTitle, host, port',
    );
  }
  const allowed = callable.find(({ name }) => caller.destinations?.has(name) !== false);
  if (allowed !== undefined) return allowed;
  throw new DimseError(
    STATUS.NotAuthorized,
    `Not allowed: remotes.${caller.name}.destinations lacks ${first.name}`,
  );
}
