import type { Catalog } from '../catalog/types';
import type { Scu } from '../dimse/scu';
import type { ServiceEntry } from '../dimse/types';
import { errorMessage } from '../errors';
import type { NodeEventBus } from '../events';
import type { LogFn } from '../log';
import type { Association } from '../net/types';
import type { Store } from '../store/types';
import { CommitmentLinks } from './commitment-links';
import { commitmentReports, type CommitmentReach } from './commitment-reports';
import { commitmentRequests } from './commitment-requests';
import { Verifier } from './commitment-verify';
import type { JobHandler } from './jobs';

export interface CommitmentParts {
  readonly catalog: Pick<Catalog, 'commitments' | 'jobs' | 'locate' | 'markDamaged'>;
  readonly store: Pick<Store, 'check' | 'exists'>;
  readonly events: NodeEventBus;
  readonly log: LogFn;
  /** How a remote is told; undefined where there is none of that name. */
  readonly reach: (remote: string) => CommitmentReach | undefined;
  /** See `ReportOptions`. */
  readonly quiet?: number;
}

/** Storage commitment as SCP (PS3.4 annex J): a request is kept, its job verifies it and reports. */
export interface StorageCommitment {
  /** Takes requests. */
  readonly requests: ServiceEntry;
  /** Works on them. */
  readonly reports: JobHandler;
  /** To be told of every association that a peer opens: some reports wait for one. */
  attach(association: Association, scu: Pick<Scu, 'request'>): void;
}

export function storageCommitment(parts: CommitmentParts): StorageCommitment {
  const { catalog, log, reach } = parts;
  const { commitments, jobs } = catalog;
  const links = new CommitmentLinks((remote, callingAETitle) => {
    // Where this node calls, nothing waits for the peer to come.
    if (reach(remote)?.connect !== undefined) return;
    commitments
      .under(remote, callingAETitle)
      .then((ids) => (ids.length === 0 ? undefined : jobs.retry({ ids }, Date.now())))
      .catch((error: unknown) =>
        log('error', 'reports of storage commitment that wait could not be found', {
          remote,
          error: errorMessage(error),
        }),
      );
  });
  return {
    requests: commitmentRequests({ commitments, jobs, links, log }),
    reports: commitmentReports({
      commitments,
      verifier: new Verifier(parts),
      links,
      reach,
      log,
      ...(parts.quiet === undefined ? {} : { quiet: parts.quiet }),
    }),
    attach: (association, scu) => links.attach(association, scu),
  };
}
