import type { MoveDestination, UncallableRemote } from './services/destinations';
import type { CommitmentReach } from './services/commitment-reports';
import { destinationOf, type Config, type Destination } from './config/config';
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from './dicom/uids';
import type { Proposal } from './net/negotiation';
import { connect } from './net/requestor';
import type { Association } from './net/types';

/** Milliseconds to wait for A-RELEASE-RP, and for an A-ABORT to get out. */
const RELEASE = 5000;
const ABORT_GRACE = 500;

/** A remote that this node can call, under its own name and limits. */
export interface Outbound {
  readonly destination: Destination;
  /**
   * @param callingAETitle Default: the node's own title.
   * @throws IsocenterError with the peer's or the network's reason.
   */
  connect(proposal: Proposal, signal?: AbortSignal, callingAETitle?: string): Promise<Association>;
}

/** The remote of that name; undefined where there is none, or where it has not one title, one host and a port. */
export function outbound(config: Config, name: string): Outbound | undefined {
  const remote = config.remotes.find((one) => one.name === name);
  const destination = remote && destinationOf(remote);
  if (destination === undefined || 'missing' in destination) return undefined;
  return {
    destination,
    connect: (proposal, signal, callingAETitle = config.aeTitles[0]) =>
      connect({
        ...proposal,
        host: destination.host,
        port: destination.port,
        callingAETitle,
        calledAETitle: destination.aeTitle,
        implementation: { classUID: IMPLEMENTATION_CLASS_UID, versionName: IMPLEMENTATION_VERSION_NAME },
        maximumLength: config.limits.pduLength,
        timeouts: { ...config.timeouts, release: RELEASE, abortGrace: ABORT_GRACE },
        ...(signal && { signal }),
      }),
  };
}

/** How a remote is told of its storage commitment; undefined where there is none of that name. */
export function commitmentReach(config: Config, name: string): CommitmentReach | undefined {
  const remote = config.remotes.find((one) => one.name === name);
  if (remote === undefined) return undefined;
  const { commit, idle, response } = config.timeouts;
  const called = remote.commit === 'same-association' ? undefined : outbound(config, name);
  return {
    connect:
      called && ((proposal, callingAETitle, signal) => called.connect(proposal, signal, callingAETitle)),
    // The association that it asked on has to be there when the time is over.
    patience: called === undefined ? Math.min(commit, idle / 2) : commit,
    responseTimeout: response,
  };
}

/** Where C-MOVE can send to, and which remotes it can't. */
export function moveDestinations(config: Config): (MoveDestination | UncallableRemote)[] {
  return config.remotes.map((remote) => {
    const { name, aeTitle, associations = 1, transcode = 'lossless', retryFailed = false } = remote;
    const found = destinationOf(remote);
    return 'missing' in found
      ? { name, aeTitle, missing: found.missing }
      : { name, aeTitle, associations, transcode, retryFailed };
  });
}
