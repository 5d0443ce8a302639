import { COMMITMENT, type Commitment, type CommitmentStore } from '../catalog/commitments';
import type { Job } from '../catalog/jobs';
import { UID } from '../dicom/uids';
import { COMMAND } from '../dimse/operations';
import type { Scu } from '../dimse/scu';
import { Session } from '../dimse/session';
import { statusCategory, statusMeaning, statusText } from '../dimse/status';
import { errorMessage } from '../errors';
import type { LogFn } from '../log';
import type { Proposal } from '../net/negotiation';
import type { Association } from '../net/types';
import {
  ALL_COMMITTED,
  COMMITMENT_CLASS,
  COMMITMENT_INSTANCE,
  encodeReport,
  FAILURES_EXIST,
  type ReportData,
} from './commitment-data';
import type { CommitmentLink, CommitmentLinks } from './commitment-links';
import type { Verifier } from './commitment-verify';
import { unreached, type JobContext, type JobHandler, type JobOutcome } from './jobs';

/** Reports of one remote at a time: most of them wait for instances. */
const AT_ONCE = 8;
/** An association on which nothing was asked for so long is one that waits for its report, in milliseconds (PS3.4 J.3.3 leaves it to us). */
const QUIET = 1000;
/** What was read so long ago is read again before it is reported, in milliseconds. */
const BYTES_HOLD = 3_600_000;

/** How a remote is told. */
export interface CommitmentReach {
  /** Opens an association with it, under the title of ours that it knows; undefined: reports are made on one that it has opened. */
  readonly connect:
    ((proposal: Proposal, callingAETitle: string, signal: AbortSignal) => Promise<Association>) | undefined;
  /** For how long instances that are not held are looked for again, in milliseconds from the request on. */
  readonly patience: number;
  /** Milliseconds that it may take for its response. */
  readonly responseTimeout: number;
}

export interface ReportOptions {
  readonly commitments: Pick<CommitmentStore, 'get'>;
  readonly verifier: Pick<Verifier, 'verify'>;
  readonly links: CommitmentLinks;
  /** Undefined where there is no remote of that name any more. */
  readonly reach: (remote: string) => CommitmentReach | undefined;
  readonly log: LogFn;
  /** Default 1000. */
  readonly quiet?: number;
}

/**
 * Verifies what peers asked to be committed, and reports it by N-EVENT-REPORT (PS3.4 J.3.3): as jobs of the queue, so that a report whose
 * remote is away, or takes it with a failure, is made again, after a restart too. A second report of the same is no harm.
 */
export function commitmentReports(options: ReportOptions): JobHandler {
  const reporter = new Reporter(options);
  return {
    kind: COMMITMENT,
    parallel: () => AT_ONCE,
    async *run(jobs, context) {
      for (const job of jobs) {
        const outcome = await reporter.work(job, context);
        if (outcome !== undefined) yield outcome;
      }
    },
  };
}

class Reporter {
  private readonly options: ReportOptions;
  /** When the bytes of a commitment were last read. */
  private readonly readAt = new Map<number, number>();

  constructor(options: ReportOptions) {
    this.options = options;
  }

  async work(job: Job, context: JobContext): Promise<JobOutcome | undefined> {
    const { id } = job;
    const commitment = await this.options.commitments.get(id);
    if (commitment === undefined) return { id, outcome: 'hopeless', reason: 'its list of instances is lost' };
    const reach = this.options.reach(job.destination);
    if (reach === undefined) {
      return { id, outcome: 'hopeless', reason: 'there is no remote of that name in the configuration' };
    }
    const report = await this.verify(commitment, reach, context.stopping);
    if (report === undefined) return undefined;
    const outcome = await this.deliver(commitment, report, reach, context);
    if (outcome?.outcome === 'done') {
      this.readAt.delete(id);
      this.options.log(report.failed.length === 0 ? 'info' : 'warn', 'storage commitment reported', {
        remote: job.destination,
        TransactionUID: commitment.TransactionUID,
        completed: report.committed.length,
        failed: report.failed.length,
        ...(report.failed.length === 0 ? {} : { reason: reasonsOf(report) }),
      });
    }
    return outcome;
  }

  private async verify(
    { id, TransactionUID, references, addedAt }: Commitment,
    { patience }: CommitmentReach,
    signal: AbortSignal,
  ): Promise<ReportData | undefined> {
    // Not beyond the patience from now on: the clock may have been set.
    const now = Date.now();
    const until = Math.min(addedAt, now) + patience;
    const bytes = now - (this.readAt.get(id) ?? -Infinity) >= BYTES_HOLD;
    const failed = await this.options.verifier.verify(references, { until, signal, bytes });
    if (failed === undefined) return undefined;
    if (bytes) this.readAt.set(id, now);
    const out = new Set(failed.map(({ SOPClassUID, SOPInstanceUID }) => `${SOPClassUID}\\${SOPInstanceUID}`));
    const committed = references.filter(
      ({ SOPClassUID, SOPInstanceUID }) => !out.has(`${SOPClassUID}\\${SOPInstanceUID}`),
    );
    return { TransactionUID, committed, failed };
  }

  private deliver(
    commitment: Commitment,
    report: ReportData,
    reach: CommitmentReach,
    context: JobContext,
  ): Promise<JobOutcome | undefined> {
    return reach.connect === undefined
      ? this.onTheirs(commitment, report, reach, context)
      : this.onOurs(commitment, report, reach.connect, reach, context);
  }

  /** On an association that the peer has opened. */
  private async onTheirs(
    commitment: Commitment,
    report: ReportData,
    { responseTimeout }: CommitmentReach,
    { stopping }: JobContext,
  ): Promise<JobOutcome | undefined> {
    const { remote, callingAETitle, id } = commitment;
    const { links, quiet = QUIET } = this.options;
    const link = await links.quiet(remote, callingAETitle, quiet, stopping);
    if (link !== undefined) return send(commitment, report, link, responseTimeout);
    if (stopping.aborted) return undefined;
    const reason = `it has no association open, and the report waits for one: where it expects to be called, give remotes.${remote} one aeTitle, host and port, and no commit: same-association`;
    this.options.log('warn', `storage commitment could not be reported to ${remote}: ${reason}`, { remote });
    return { id, outcome: 'failed', reason };
  }

  /** On a new one, with the roles changed: we are SCP on an association that we open (PS3.4 J.3.3.1.2, PS3.7 D.3.3.4). */
  private async onOurs(
    commitment: Commitment,
    report: ReportData,
    connect: NonNullable<CommitmentReach['connect']>,
    { responseTimeout }: CommitmentReach,
    { stopping, signal }: JobContext,
  ): Promise<JobOutcome | undefined> {
    const { id, remote } = commitment;
    if (stopping.aborted) return undefined;
    let association: Association;
    try {
      association = await connect(PROPOSAL, commitment.calledAETitle, signal);
    } catch (error) {
      throw unreached(error);
    }
    const session = new Session(association, { responseTimeout });
    const cut = (): void => association.abort(0, 0, 'the node stops');
    signal.addEventListener('abort', cut, { once: true });
    try {
      const context = [...association.contexts.values()][0];
      const role = association.roles.find(({ sopClass }) => sopClass === COMMITMENT_CLASS);
      // Many answer no role item, and take the report all the same; one that answers no means it.
      if (context === undefined || role?.scp === false) {
        const reason = `it does not take reports of storage commitment on an association opened by us: remotes.${remote}.commit: same-association makes them on its own`;
        return { id, outcome: 'failed', reason };
      }
      const link = {
        association,
        scu: session.scu,
        contextId: context.id,
        transferSyntax: context.transferSyntax,
      };
      return await send(commitment, report, link, responseTimeout);
    } finally {
      await association.release();
      signal.removeEventListener('abort', cut);
    }
  }
}

const PROPOSAL: Proposal = {
  contexts: [
    {
      id: 1,
      abstractSyntax: COMMITMENT_CLASS,
      transferSyntaxes: [UID.ExplicitVRLittleEndian, UID.ImplicitVRLittleEndian],
    },
  ],
  roles: [{ sopClass: COMMITMENT_CLASS, scu: false, scp: true }],
};

/** N-EVENT-REPORT (PS3.7 10.1.1, PS3.4 J.3.3). */
async function send(
  { id, calledAETitle }: Commitment,
  report: ReportData,
  {
    scu,
    contextId,
    transferSyntax,
  }: Pick<CommitmentLink, 'contextId' | 'transferSyntax'> & {
    readonly scu: Pick<Scu, 'request'>;
  },
  timeout: number,
): Promise<JobOutcome> {
  let status: number;
  try {
    const response = await scu.request(
      {
        CommandField: COMMAND['N-EVENT-REPORT'],
        AffectedSOPClassUID: COMMITMENT_CLASS,
        AffectedSOPInstanceUID: COMMITMENT_INSTANCE,
        EventTypeID: report.failed.length === 0 ? ALL_COMMITTED : FAILURES_EXIST,
      },
      contextId,
      await encodeReport(report, calledAETitle, transferSyntax),
      { timeout },
    );
    status = response.status;
  } catch (error) {
    const reason = `the report was not answered: ${errorMessage(error)}`;
    return { id, outcome: 'failed', reason, destination: true };
  }
  const category = statusCategory(status);
  if (category === 'success' || category === 'warning') return { id, outcome: 'done' };
  const reason = `the report was answered ${statusText(status)} (${statusMeaning(status)})`;
  return { id, outcome: 'failed', reason };
}

/** Failure Reasons and how often each. */
function reasonsOf({ failed }: ReportData): string {
  const counts = new Map<number, number>();
  for (const { reason } of failed) counts.set(reason, 1 + (counts.get(reason) ?? 0));
  return [...counts].map(([reason, count]) => `${count} × ${statusText(reason)}`).join(', ');
}
