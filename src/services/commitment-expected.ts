import { COMMAND } from '../dimse/operations';
import { STATUS } from '../dimse/status';
import type { DimseRequest, DimseResponse, ServiceContext, ServiceEntry } from '../dimse/types';
import { DimseError } from '../errors';
import {
  ALL_COMMITTED,
  COMMITMENT_CLASS,
  COMMITMENT_INSTANCE,
  FAILURES_EXIST,
  parseReport,
  readDataSet,
  type ReportData,
} from './commitment-data';

/** What is heard of transactions: `expected` once, when reports of them are taken; then each report as it comes. */
export type ReportNews =
  { readonly kind: 'expected' } | { readonly kind: 'report'; readonly report: ReportData };

interface Expected {
  /** Of the peer that was asked. */
  readonly aeTitle: string;
  readonly take: (report: ReportData) => void;
}

/** Reports of storage commitment that we asked other nodes for: nobody else's are taken. */
export class ExpectedReports {
  private readonly transactions = new Map<string, Expected>();

  /** N-EVENT-REPORT of Storage Commitment Push Model, as its SCU (PS3.4 J.3.3). */
  readonly service: ServiceEntry = {
    commandField: COMMAND['N-EVENT-REPORT'],
    handles: (abstractSyntax) => abstractSyntax === COMMITMENT_CLASS,
    right: 'commit',
    service: (request, context) => this.serve(request, context),
  };

  /**
   * Takes the report of a transaction from a peer of that title.
   * @returns what forgets it.
   */
  expect(TransactionUID: string, aeTitle: string, take: (report: ReportData) => void): () => void {
    this.transactions.set(TransactionUID, { aeTitle, take });
    return () => this.transactions.delete(TransactionUID);
  }

  /** The same for somebody who asks from outside of this process; until every report has come, or the signal. */
  async *reports(
    aeTitle: string,
    TransactionUIDs: readonly string[],
    signal: AbortSignal,
  ): AsyncGenerator<ReportNews> {
    const come: ReportData[] = [];
    let wake: () => void = () => undefined;
    const forgets = TransactionUIDs.map((uid) =>
      this.expect(uid, aeTitle, (report) => {
        come.push(report);
        wake();
      }),
    );
    const onAbort = (): void => wake();
    signal.addEventListener('abort', onAbort);
    try {
      yield { kind: 'expected' };
      for (let left = TransactionUIDs.length; left > 0; left--) {
        while (come.length === 0) {
          if (signal.aborted) return;
          await new Promise<void>((resolve) => (wake = resolve));
        }
        const report = come.shift();
        if (report !== undefined) yield { kind: 'report', report };
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      for (const forget of forgets) forget();
    }
  }

  private async *serve(
    { command, context, dataSet }: DimseRequest,
    { association }: ServiceContext,
  ): AsyncGenerator<DimseResponse> {
    if (command.AffectedSOPInstanceUID !== COMMITMENT_INSTANCE)
      throw new DimseError(STATUS.NoSuchSOPInstance, 'Not the instance of Storage Commitment Push Model');
    if (command.EventTypeID !== ALL_COMMITTED && command.EventTypeID !== FAILURES_EXIST)
      throw new DimseError(STATUS.NoSuchEventType, 'Event types 1 and 2 report storage commitment');
    const report = await parseReport(await readDataSet(dataSet, context.transferSyntax));
    const peer = association.role === 'acceptor' ? association.callingAETitle : association.calledAETitle;
    const expected = this.transactions.get(report.TransactionUID);
    if (expected?.aeTitle !== peer)
      throw new DimseError(STATUS.ProcessingFailure, 'No commitment is awaited under this Transaction UID');
    this.transactions.delete(report.TransactionUID);
    expected.take(report);
    yield { status: STATUS.Success };
  }
}
