import { forwardJob, type JobQueue, type NewJob } from '../catalog/jobs';
import { STATUS } from '../dimse/status';
import type { DimseRequest, DimseResponse, Service, ServiceContext } from '../dimse/types';
import { errorMessage } from '../errors';
import type { Proposal } from '../net/negotiation';
import type { Association } from '../net/types';
import { findDestination, type MoveDestination, type UncallableRemote } from './destinations';
import type { OutgoingInstance } from './outgoing';
import { readRetrieve, retrieve, type Operation, type Outgoing, type RetrieveParts } from './retrieve';
import { DestinationTurns, type Account, type Turn } from './retrieve-turns';
import { sendAll, type SendOptions, type SendResult } from './send';

/**
 * How long a move keeps an association that others wait for, in milliseconds: a part of the time that it has had so far, so that those who began
 * together end together; not so short that the time is spent on negotiating, nor so long that others wait for long.
 */
const SHARE = { part: 0.25, least: 10, most: 100, timesOpening: 5 };
/** Bytes that an instance counts beside its own when turns are shared: small ones cost time as well. */
const INSTANCE_COST = 64 * 1024;
/** Jobs added at once. */
const JOBS = 500;

export interface MoveParts extends RetrieveParts {
  /** Every remote, in the order of the configuration. */
  readonly remotes: () => readonly (MoveDestination | UncallableRemote)[];
  /** Calls a destination under a title of ours. @throws IsocenterError with the peer's or the network's reason. */
  readonly connect: (
    destination: MoveDestination,
    callingAETitle: string,
    proposal: Proposal,
    signal: AbortSignal,
  ) => Promise<Association>;
  /** For `retryFailed`. */
  readonly jobs: Pick<JobQueue, 'add'>;
  readonly responseTimeout: () => number;
  /** Requests under way at once that are offered to a destination. */
  readonly asyncWindow: number;
  /** Where others send to the same destinations. */
  readonly turns?: DestinationTurns;
}

/**
 * C-MOVE SCP of Query/Retrieve (PS3.4 C.4.2): sub-operations over associations with the destination, shared fairly with other moves to it. Throws
 * `DimseError` A801, 0124, A900, C000, A701.
 */
export function cMove(parts: MoveParts): Service {
  const turns = parts.turns ?? new DestinationTurns();
  return async function* move(request: DimseRequest, context: ServiceContext): AsyncGenerator<DimseResponse> {
    const { MoveDestination: title = '' } = request.command;
    const destination = findDestination(parts.remotes(), title, context.peer);
    const plan = await readRetrieve(request, context);
    const retries = destination.retryFailed ? new Retries(parts, destination.name) : undefined;
    const operation: Operation = {
      command: 'C-MOVE',
      destination: destination.name,
      deliver: (outgoing) => deliver(parts, turns, destination, request, context, outgoing),
      ...(retries === undefined ? {} : { onFailed: (uid) => retries.add(uid) }),
    };
    const responses = retrieve(parts, operation, plan, request, context);
    for await (const response of responses) {
      // In the queue before the caller knows that it failed; what the caller gave up isn't tried again.
      if (response.status !== STATUS.Pending && response.status !== STATUS.Cancel) await retries?.flush();
      yield response;
    }
  };
}

/** As long as nobody else wants the destination over one and the same associations, else turn by turn. */
async function* deliver(
  parts: MoveParts,
  turns: DestinationTurns,
  destination: MoveDestination,
  request: DimseRequest,
  { association }: ServiceContext,
  { instances, kinds, signal }: Outgoing,
): AsyncGenerator<SendResult> {
  const { command, messageId } = request;
  const { transcoder, kill, onDamaged, asyncWindow } = parts;
  const options: Omit<SendOptions, 'connect'> = {
    kinds,
    transcode: destination.transcode,
    ...(transcoder === undefined ? {} : { transcoder }),
    ...(command.Priority === undefined ? {} : { priority: command.Priority }),
    // C.4.2.1.2: who asked, and with which message.
    moveOriginator: { aeTitle: association.callingAETitle, messageId },
    asyncWindow,
    responseTimeout: parts.responseTimeout(),
    signal,
    kill,
    onDamaged,
  };
  const account: Account = { served: undefined };
  let spent = 0;
  for (;;) {
    const turn = await turns.take(destination.name, destination.associations, signal, account);
    if (turn === undefined) return;
    const share = new Share(instances, turn, spent);
    try {
      const results = sendAll(share, {
        ...options,
        parallel: turn.associations,
        // MV-02: under the title that the caller called.
        connect: (proposal) =>
          share.timed(parts.connect(destination, association.calledAETitle, proposal, signal)),
      });
      for await (const result of results) {
        if (result.unreachable !== undefined) share.keep();
        account.served = (account.served ?? 0) + result.instance.dataSetLength + INSTANCE_COST;
        yield result;
      }
    } finally {
      turn.end();
    }
    spent += share.duration;
    if (share.finished || signal.aborted) return;
  }
}

/** The part of an operation's instances that goes out in one turn. */
class Share implements AsyncIterable<OutgoingInstance> {
  private readonly instances: AsyncIterator<OutgoingInstance, undefined>;
  private readonly turn: Turn;
  private readonly spent: number;
  private begin: number | undefined;
  private until = Infinity;
  private kept = false;
  private end = false;

  /** @param spent Milliseconds that the operation has had in its turns before. */
  constructor(instances: AsyncIterator<OutgoingInstance, undefined>, turn: Turn, spent: number) {
    this.instances = instances;
    this.turn = turn;
    this.spent = spent;
  }

  /** Milliseconds since the first association was open. */
  get duration(): number {
    return this.begin === undefined ? 0 : performance.now() - this.begin;
  }

  /** No instance is left. */
  get finished(): boolean {
    return this.end;
  }

  /** Looks at how long it takes to open an association: with far destinations turns are longer. */
  async timed(opening: Promise<Association>): Promise<Association> {
    const began = performance.now();
    const association = await opening;
    const now = performance.now();
    this.turn.opened(now - began);
    if (this.begin !== undefined) return association;
    this.begin = now;
    const { part, least, most, timesOpening } = SHARE;
    const share = Math.min(most, Math.max(least, part * this.spent));
    this.until = now + Math.max(share, timesOpening * (this.turn.opening ?? 0));
    return association;
  }

  /** Nobody is there: the rest is not tried again in another turn. */
  keep(): void {
    this.kept = true;
  }

  [Symbol.asyncIterator](): AsyncIterator<OutgoingInstance, undefined> {
    return {
      next: async () => {
        const over = this.turn.contested && performance.now() >= this.until && !this.kept;
        if (over) return { done: true, value: undefined };
        const step = await this.instances.next();
        if (step.done === true) this.end = true;
        return step;
      },
    };
  }
}

/** Instances that the queue is to try again. */
class Retries {
  private readonly parts: MoveParts;
  private readonly destination: string;
  private jobs: NewJob[] = [];

  constructor(parts: MoveParts, destination: string) {
    this.parts = parts;
    this.destination = destination;
  }

  add(SOPInstanceUID: string): Promise<void> | undefined {
    this.jobs.push(forwardJob(this.destination, SOPInstanceUID));
    return this.jobs.length >= JOBS ? this.flush() : undefined;
  }

  /** Never rejects: the caller is told that they failed in any case. */
  async flush(): Promise<void> {
    const jobs = this.jobs.splice(0);
    if (jobs.length === 0) return;
    try {
      await this.parts.jobs.add(jobs);
    } catch (error) {
      this.parts.log('error', 'what failed could not be queued for another try', {
        remote: this.destination,
        count: jobs.length,
        error: errorMessage(error),
      });
    }
  }
}
