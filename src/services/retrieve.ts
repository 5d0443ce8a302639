import type { Selection } from '../catalog/query-types';
import type { Catalog, InstanceLocation } from '../catalog/types';
import { STATUS } from '../dimse/status';
import type { DimseRequest, DimseResponse, ServiceContext } from '../dimse/types';
import { DimseError, errorMessage } from '../errors';
import type { NodeEventBus } from '../events';
import type { LogFn } from '../log';
import type { OutgoingInstance, Transcoder } from './outgoing';
import { queryClass } from './query-classes';
import { readIdentifier } from './query-identifier';
import { planRetrieve, type RetrievePlan } from './retrieve-identifier';
import { Retrieval } from './retrieve-instances';
import { Tally } from './retrieve-tally';
import type { OutgoingKind, SendResult } from './send-types';

/** Failures of one operation that get a log line each; the last line counts them all. */
const LOGGED_FAILURES = 20;

/** What C-MOVE and C-GET work with. */
export interface RetrieveParts {
  readonly catalog: Pick<Catalog, 'survey' | 'retrieve'>;
  readonly instanceOf: (location: InstanceLocation) => OutgoingInstance;
  readonly transcoder?: Transcoder;
  /** `timeouts.pending`, in milliseconds. */
  readonly pendingInterval: () => number;
  /** Aborted: the node stops, nothing further is begun; what remains has failed. */
  readonly stopping: AbortSignal;
  /** Aborted: the time to stop is over, what is being sent is cut off. */
  readonly kill: AbortSignal;
  readonly onDamaged: (instance: OutgoingInstance, reason: string) => void;
  readonly events: NodeEventBus;
  readonly log: LogFn;
}

/** What an identifier named, when the operation began. */
interface Survey {
  readonly kinds: readonly OutgoingKind[];
  readonly total: number;
  readonly until: string;
}

/** What an operation hands to whoever sends. */
export interface Outgoing {
  /** Returning it early loses nothing: it goes on where it stopped. */
  readonly instances: AsyncIterator<OutgoingInstance, undefined>;
  readonly kinds: readonly OutgoingKind[];
  /** Aborted by C-CANCEL, by the loss of the caller, or when the node stops. */
  readonly signal: AbortSignal;
}

export interface Operation {
  readonly command: 'C-MOVE' | 'C-GET';
  /** Where to: a remote's name. */
  readonly destination: string;
  readonly deliver: (outgoing: Outgoing) => AsyncIterable<SendResult>;
  /** Told of each instance that was not delivered, unless the caller gave the operation up. */
  readonly onFailed?: (SOPInstanceUID: string) => Promise<void> | undefined;
}

/**
 * Reads the identifier.
 * @throws DimseError A900 and C000
 */
export async function readRetrieve(request: DimseRequest, { peer }: ServiceContext): Promise<RetrievePlan> {
  const { abstractSyntax, transferSyntax } = request.context;
  const row = queryClass(abstractSyntax);
  if (row === undefined) throw new Error('a retrieve came on a context that is not served');
  return planRetrieve(await readIdentifier(request.dataSet, transferSyntax), { queryClass: row, peer });
}

/**
 * Runs the sub-operations of a C-MOVE or C-GET (PS3.4 C.4.2, C.4.3): Pending after the first one and then by the clock, at the end a status
 * that follows from the counters.
 * @throws DimseError A701 where the matches can't be counted
 */
export async function* retrieve(
  parts: RetrieveParts,
  operation: Operation,
  plan: RetrievePlan,
  request: DimseRequest,
  context: ServiceContext,
): AsyncGenerator<DimseResponse> {
  const run = new Run(parts, operation, request, context);
  try {
    yield* run.responses(plan);
  } finally {
    await run.end(plan.level);
  }
}

class Run {
  private readonly parts: RetrieveParts;
  private readonly operation: Operation;
  private readonly request: DimseRequest;
  private readonly context: ServiceContext;
  private readonly began = performance.now();
  /** The generator was returned early. */
  private readonly abandoned = new AbortController();
  private tally = new Tally(0);
  private work: Promise<void> = Promise.resolve();
  private why: string | undefined;
  private bytes = 0;
  private failures = 0;
  private status: number | undefined;

  constructor(parts: RetrieveParts, operation: Operation, request: DimseRequest, context: ServiceContext) {
    this.parts = parts;
    this.operation = operation;
    this.request = request;
    this.context = context;
  }

  async *responses(plan: RetrievePlan): AsyncGenerator<DimseResponse> {
    const survey = await this.survey(plan.selection);
    this.tally = new Tally(survey.total);
    const beat = new Beat(this.parts.pendingInterval());
    try {
      this.work = this.send(plan.selection, survey, () => beat.once()).finally(() => beat.end());
      this.work.catch(() => undefined);
      while (await beat.next()) yield this.tally.pending();
    } finally {
      beat.end();
    }
    await this.work;
    const { cancelled, lost } = this.context;
    // Nobody is there: no status is the true one.
    if (lost.aborted) throw new Error('the caller is gone');
    const final = this.tally.final(this.request.context.transferSyntax, {
      // What was cancelled too late has ended as it would have.
      cancelled: cancelled.aborted && this.tally.remaining > 0,
      why: this.why,
    });
    this.status = final.status;
    yield final;
  }

  /** Waits for what is under way, and says what has been done. */
  async end(level: string): Promise<void> {
    this.abandoned.abort();
    await this.work.catch(() => undefined);
    const { command, destination } = this.operation;
    const { completed, warning, failed, remaining } = this.tally;
    const { association, peer } = this.context;
    this.parts.events.emit('retrieved', {
      command,
      associationId: association.id,
      remoteName: peer.name,
      destination,
      level,
      status: this.status,
      completed,
      warning,
      failed,
      remaining,
      bytes: this.bytes,
      milliseconds: Math.round(performance.now() - this.began),
    });
  }

  private get signal(): AbortSignal {
    const { cancelled, lost } = this.context;
    return AbortSignal.any([cancelled, lost, this.parts.stopping, this.abandoned.signal]);
  }

  private async survey(selection: Selection): Promise<Survey> {
    const kinds = new Map<string, OutgoingKind>();
    let total = 0;
    let until: string | undefined;
    let after: string | undefined;
    try {
      do {
        const page = await this.parts.catalog.survey(selection, {
          ...(after === undefined ? {} : { after }),
          ...(until === undefined ? {} : { until }),
        });
        for (const { SOPClassUID, TransferSyntaxUID, count } of page.kinds) {
          kinds.set(`${SOPClassUID} ${TransferSyntaxUID}`, { SOPClassUID, TransferSyntaxUID });
          total += count;
        }
        until = page.until;
        after = page.next;
        // Cancelled or not, the counters have to make the whole.
      } while (after !== undefined && !this.context.lost.aborted);
    } catch (error) {
      this.log('error', 'matches could not be counted', { error: errorMessage(error) });
      throw new DimseError(
        STATUS.UnableToCountMatches,
        'Matches can not be counted; see the log of the node',
        {
          cause: error,
        },
      );
    }
    return { kinds: [...kinds.values()], total, until };
  }

  /** Sends everything and settles what is left, so that each has its place in the tally. Rejects only on a fault of ours. */
  private async send(
    selection: Selection,
    { kinds, total, until }: Survey,
    onFirst: () => void,
  ): Promise<void> {
    const { catalog, instanceOf, stopping } = this.parts;
    const { signal } = this;
    if (total === 0 || signal.aborted) return;
    const instances = new Retrieval({ catalog, selection, total, until, instanceOf });
    try {
      for await (const result of this.operation.deliver({ instances, kinds, signal })) {
        instances.ended(result.instance);
        await this.count(result);
        if (this.tally.remaining > 0) onFirst();
      }
    } catch (error) {
      this.why ??= 'see the log of the node';
      this.log('error', 'a retrieve was broken off', { error: errorMessage(error) });
    }
    const { cancelled, lost } = this.context;
    if (cancelled.aborted || lost.aborted || this.abandoned.signal.aborted) return;
    if (stopping.aborted) this.why = 'the node stops; retrieve again later';
    await this.failUnfinished(instances);
  }

  private async failUnfinished(instances: Retrieval): Promise<void> {
    try {
      for await (const uid of instances.unfinished()) {
        this.tally.add('failed', uid);
        await this.operation.onFailed?.(uid);
      }
    } catch (error) {
      this.log('error', 'a retrieve was broken off', { error: errorMessage(error) });
    }
    if (this.tally.remaining > 0) this.why ??= 'deleted meanwhile';
    this.tally.failRest();
  }

  private async count({ instance, outcome, reason, status, unreachable }: SendResult): Promise<void> {
    const { SOPInstanceUID, dataSetLength, name } = instance;
    this.tally.add(outcome, SOPInstanceUID);
    if (outcome !== 'failed') this.bytes += dataSetLength;
    if (outcome === 'completed') return;
    if (outcome === 'failed') {
      // A failure says more than the warning before it.
      if (this.failures++ === 0) this.why = reason;
      await this.operation.onFailed?.(SOPInstanceUID);
    } else this.why ??= reason;
    // One line says it of all that can't be sent since nobody is there.
    if (this.failures > (unreachable === undefined ? LOGGED_FAILURES : 1)) return;
    this.log(
      'warn',
      outcome === 'failed' ? 'an instance could not be sent' : 'an instance was taken with a warning',
      {
        arrivalId: name,
        reason,
        ...(status === undefined ? {} : { status: status.toString(16).toUpperCase().padStart(4, '0') }),
      },
    );
  }

  private log(level: 'warn' | 'error', message: string, fields: Parameters<LogFn>[2]): void {
    const { command, destination } = this.operation;
    this.parts.log(level, message, {
      association: this.context.association.id,
      command,
      remote: destination,
      ...fields,
    });
  }
}

/** When a Pending response is due. */
class Beat {
  private due = Promise.withResolvers<boolean>();
  private readonly timer: NodeJS.Timeout;
  private first = true;
  private over = false;

  constructor(interval: number) {
    this.timer = setInterval(() => this.due.resolve(true), interval);
  }

  /** At once, the first time. */
  once(): void {
    if (this.first) this.due.resolve(true);
    this.first = false;
  }

  end(): void {
    this.over = true;
    clearInterval(this.timer);
    this.due.resolve(false);
  }

  /** True when one is due, false at the end. */
  async next(): Promise<boolean> {
    await this.due.promise;
    this.due = Promise.withResolvers<boolean>();
    if (this.over) this.due.resolve(false);
    return !this.over;
  }
}
