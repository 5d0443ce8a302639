import type { Config } from '../config/config';
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from '../dicom/uids';
import type { Proposal } from '../net/negotiation';
import { connect } from '../net/requestor';
import type { Association } from '../net/types';
import type { PeerAddress } from './peers';

/** Milliseconds to wait for A-RELEASE-RP, and for an A-ABORT to get out. */
const RELEASE = 5000;
const ABORT_GRACE = 500;

/** Opens associations to a peer under the node's own name and limits; the caller adds what it proposes. */
export function caller(
  config: Config,
  peer: PeerAddress,
  aeTitle: string | undefined,
  signal: AbortSignal,
): (proposal: Proposal) => Promise<Association> {
  return (proposal) =>
    connect({
      ...proposal,
      host: peer.host,
      port: peer.port,
      callingAETitle: aeTitle ?? config.aeTitles[0],
      calledAETitle: peer.aeTitle,
      implementation: { classUID: IMPLEMENTATION_CLASS_UID, versionName: IMPLEMENTATION_VERSION_NAME },
      maximumLength: config.limits.pduLength,
      timeouts: { ...config.timeouts, release: RELEASE, abortGrace: ABORT_GRACE },
      signal,
    });
}
