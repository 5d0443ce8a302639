import { randomUUID } from 'node:crypto';
import type { InstanceReference } from '../catalog/commitments';
import { UID } from '../dicom/uids';
import { COMMAND } from '../dimse/operations';
import { Session } from '../dimse/session';
import { statusCategory, statusMeaning, statusText } from '../dimse/status';
import { EXIT, errorMessage, IsocenterError } from '../errors';
import type { Proposal } from '../net/negotiation';
import type { Association } from '../net/types';
import type { Peer } from '../peer';
import {
  COMMITMENT_CLASS,
  COMMITMENT_INSTANCE,
  encodeRequest,
  REQUEST_COMMITMENT,
  type FailedReference,
  type ReportData,
} from './commitment-data';
import { ExpectedReports, type ReportNews } from './commitment-expected';

/** References of one request: archives in the field choke on tens of thousands. */
const AT_ONCE = 2000;

const CONTEXT_ID = 1;

const REPORTER: Peer = { name: 'peer', allow: new Set(['commit']), unknownSyntaxes: true };

export interface AskOptions {
  /** Opens an association with the peer. */
  readonly connect: (proposal: Proposal) => Promise<Association>;
  readonly responseTimeout: number;
  /** For how long reports are waited for, in milliseconds. */
  readonly wait: number;
  readonly signal: AbortSignal;
  /** Hears of reports that the peer makes to somebody else who has our title: the node that runs. */
  readonly elsewhere?: (TransactionUIDs: readonly string[], signal: AbortSignal) => AsyncIterable<ReportNews>;
  /** References of one request; default 2000. */
  readonly atOnce?: number;
}

/** What a peer said of each instance. */
export interface CommitmentAnswer {
  readonly committed: readonly InstanceReference[];
  readonly failed: readonly FailedReference[];
  /** Of which nothing was said. */
  readonly unanswered: readonly InstanceReference[];
  /** Why nothing was said. */
  readonly problem: string | undefined;
}

interface Transaction {
  readonly uid: string;
  readonly references: readonly InstanceReference[];
  report: ReportData | undefined;
  problem: string | undefined;
}

/**
 * Asks a peer to commit to the storage of instances (PS3.4 J.3.2), and waits for its reports: on the same association, which stays open, and
 * elsewhere.
 * @throws what `connect` throws; IsocenterError `NO_CONTEXT` where the peer offers no storage commitment.
 */
export async function askCommitment(
  references: readonly InstanceReference[],
  options: AskOptions,
): Promise<CommitmentAnswer> {
  const transactions: Transaction[] = [];
  const size = options.atOnce ?? AT_ONCE;
  for (let first = 0; first < references.length; first += size)
    transactions.push({
      uid: newUid(),
      references: references.slice(first, first + size),
      report: undefined,
      problem: undefined,
    });
  const association = await options.connect({
    contexts: [
      {
        id: CONTEXT_ID,
        abstractSyntax: COMMITMENT_CLASS,
        transferSyntaxes: [UID.ExplicitVRLittleEndian, UID.ImplicitVRLittleEndian],
      },
    ],
  });
  const expected = new ExpectedReports();
  const session = new Session(association, {
    services: [expected.service],
    peer: REPORTER,
    responseTimeout: options.responseTimeout,
  });
  const end = new AbortController();
  try {
    const context = association.contexts.get(CONTEXT_ID);
    if (context === undefined)
      throw new IsocenterError('NO_CONTEXT', 'the peer offers no storage commitment', {
        exitCode: EXIT.refused,
        hint: 'ask its administrator for Storage Commitment Push Model, or send without --commit',
      });
    const waiting = new Waiting(transactions);
    for (const { uid } of transactions)
      expected.expect(uid, association.calledAETitle, (report) => waiting.take(report));
    const listens = await waiting.listen(options.elsewhere, end.signal);
    for (const transaction of transactions) {
      if (options.signal.aborted) break;
      await request(session, transaction, context.transferSyntax);
    }
    await waiting.end(options, listens ? undefined : association.closed);
    // The last report has to be answered first.
    await session.idle();
  } finally {
    end.abort();
    await association.release();
  }
  return answerOf(transactions);
}

/** The reports that are still to come. */
class Waiting {
  private readonly transactions: readonly Transaction[];
  private done: () => void = () => undefined;

  constructor(transactions: readonly Transaction[]) {
    this.transactions = transactions;
  }

  take(report: ReportData): void {
    const transaction = this.transactions.find(({ uid }) => uid === report.TransactionUID);
    if (transaction === undefined) return;
    transaction.report ??= report;
    if (this.over) this.done();
  }

  /** Hears of reports elsewhere. @returns whether anybody listens there; from then on. */
  async listen(elsewhere: AskOptions['elsewhere'], signal: AbortSignal): Promise<boolean> {
    if (elsewhere === undefined) return false;
    const uids = this.transactions.map(({ uid }) => uid);
    const news = elsewhere(uids, signal)[Symbol.asyncIterator]();
    const first = await news.next();
    if (first.done === true) return false;
    void this.hear(news);
    return true;
  }

  /** Resolves when every report is there, the time is over, the signal comes, or `lost`. */
  async end({ wait, signal }: AskOptions, lost: Promise<unknown> | undefined): Promise<void> {
    if (this.over || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const done = (): void => resolve(undefined);
    this.done = done;
    const timer = setTimeout(done, wait);
    signal.addEventListener('abort', done, { once: true });
    void lost?.then(done);
    await promise;
    clearTimeout(timer);
    signal.removeEventListener('abort', done);
  }

  private get over(): boolean {
    return this.transactions.every(({ report, problem }) => report !== undefined || problem !== undefined);
  }

  /** What fails there leaves the association. */
  private async hear(news: AsyncIterator<ReportNews>): Promise<void> {
    try {
      for (let next = await news.next(); next.done !== true; next = await news.next()) {
        if (next.value.kind === 'report') this.take(next.value.report);
      }
    } catch {
      // The node has ended.
    }
  }
}

/** N-ACTION (PS3.7 10.1.4). */
async function request(session: Session, transaction: Transaction, transferSyntax: string): Promise<void> {
  try {
    const { status } = await session.scu.request(
      {
        CommandField: COMMAND['N-ACTION'],
        RequestedSOPClassUID: COMMITMENT_CLASS,
        RequestedSOPInstanceUID: COMMITMENT_INSTANCE,
        ActionTypeID: REQUEST_COMMITMENT,
      },
      CONTEXT_ID,
      await encodeRequest(
        { TransactionUID: transaction.uid, references: transaction.references },
        transferSyntax,
      ),
    );
    const category = statusCategory(status);
    if (category === 'success' || category === 'warning') return;
    transaction.problem = `the peer refused the request: ${statusText(status)} (${statusMeaning(status)})`;
  } catch (error) {
    transaction.problem = errorMessage(error);
  }
}

function answerOf(transactions: readonly Transaction[]): CommitmentAnswer {
  const committed: InstanceReference[] = [];
  const failed: FailedReference[] = [];
  const unanswered: InstanceReference[] = [];
  let problem: string | undefined;
  for (const { references, report, problem: own } of transactions) {
    const good = new Set((report?.committed ?? []).map(keyOf));
    const bad = new Map((report?.failed ?? []).map((one) => [keyOf(one), one.reason]));
    for (const reference of references) {
      const key = keyOf(reference);
      const reason = bad.get(key);
      // One that is named on both sides is not safe.
      if (reason !== undefined) failed.push({ ...reference, reason });
      else if (good.has(key)) committed.push(reference);
      else unanswered.push(reference);
    }
    if (report === undefined) problem ??= own ?? 'no report came in time';
  }
  if (unanswered.length > 0) problem ??= 'the report did not name every instance';
  return { committed, failed, unanswered, problem };
}

function keyOf({ SOPClassUID, SOPInstanceUID }: InstanceReference): string {
  return `${SOPClassUID}\\${SOPInstanceUID}`;
}

/** Derived from a UUID (PS3.5 B.2). */
function newUid(): string {
  return `2.25.${BigInt(`0x${randomUUID().replaceAll('-', '')}`).toString()}`;
}
