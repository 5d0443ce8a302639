import { errorMessage } from '../errors';
import type { LogFn } from '../log';
import type { Association } from '../net/types';
import type { Peer } from '../peer';
import { admit } from './admission';
import type { Admission } from './admission';
import type { IncomingMessage } from './message';
import { COMMAND } from './operations';
import { failureResponse, isDimseError, responseCommand } from './response';
import type { MessageSender } from './sender';
import { statusCategory, statusText } from './status';
import type { DimseRequest, DimseResponse, ServiceContext, ServiceEntry } from './types';

/** Counted over an association's life, for its summary line. */
export interface SessionCounters {
  /** Requests that came in, refused ones included. */
  requests: number;
  /** Instances that were answered Success or Warning, in either direction. */
  instances: number;
  /** Bytes of data sets, in both directions. */
  bytes: number;
}

export interface DispatcherOptions {
  readonly services: readonly ServiceEntry[];
  /** Whose rights count. */
  readonly peer: Peer | undefined;
  /** Handed to services that send requests themselves. */
  readonly scu: ServiceContext['scu'];
  readonly log: LogFn;
  readonly counters: SessionCounters;
  /** Requests that may run at once; further ones wait, and the socket isn't read. */
  readonly maxOutstanding: number;
  /** Called whenever `outstanding` changes. */
  readonly onChange: () => void;
}

/** One request from its command to its final response. */
interface Job {
  readonly request: DimseRequest;
  readonly admission: Admission;
  /** C-STOREs may overlap each other; so may refusals, which do nothing. Anything else runs alone. */
  readonly overlaps: boolean;
  readonly cancel: AbortController | undefined;
  /** Resolves when the request before this one has been answered: responses go out in the order of the requests. */
  readonly turn: Promise<unknown>;
  readonly finish: () => void;
}

const NEVER = new AbortController().signal;

/**
 * The acceptor's half of PS3.7: starts services in the order of the requests, and alone writes responses and turns
 * failure into status. Without asynchronous operations a peer has one request outstanding; those that send more
 * are served in order all the same, C-STOREs overlapping, C-CANCEL at once (DM-03).
 */
export class Dispatcher {
  private readonly association: Association;
  private readonly sender: MessageSender;
  private readonly options: DispatcherOptions;
  private readonly lost = new AbortController();
  private readonly waiting: Job[] = [];
  private readonly running = new Set<Job>();
  /** Jobs that have not begun to write their final response, by Message ID. */
  private readonly byMessageId = new Map<number, Job>();
  private lastTurn: Promise<unknown> = Promise.resolve();
  private releasing = false;

  constructor(association: Association, sender: MessageSender, options: DispatcherOptions) {
    this.association = association;
    this.sender = sender;
    this.options = options;
  }

  /** Requests that were not answered yet. */
  get outstanding(): number {
    return this.waiting.length + this.running.size;
  }

  /** Takes a request; C-CANCEL is acted on at once and has no answer. */
  request(message: IncomingMessage): void {
    const { command, context } = message;
    if (command.CommandField === COMMAND['C-CANCEL']) {
      this.cancel(command.MessageIDBeingRespondedTo);
      message.dataSet?.discard().catch(() => undefined);
      return;
    }
    const messageId = command.MessageID;
    if (messageId === undefined) {
      // Nothing could be answered: a response names the Message ID.
      this.association.abort(2, 6, 'a request without Message ID (0000,0110)');
      return;
    }
    this.options.counters.requests++;
    const duplicate = this.byMessageId.has(messageId);
    const admission = admit(command, context, this.options.services, this.options.peer, duplicate);
    const answered = Promise.withResolvers<undefined>();
    const job: Job = {
      request: { command, messageId, context, dataSet: message.dataSet },
      admission,
      overlaps: admission.refusal !== undefined || command.CommandField === COMMAND['C-STORE'],
      cancel: admission.operation?.cancellable === true ? new AbortController() : undefined,
      turn: this.lastTurn,
      finish: () => answered.resolve(undefined),
    };
    this.lastTurn = answered.promise;
    if (!duplicate) this.byMessageId.set(messageId, job);
    this.waiting.push(job);
    this.startWaiting();
    this.options.onChange();
  }

  /** The peer wants to release: what can be cancelled is, the rest ends as it would have, then the release is answered. */
  releaseRequested(): void {
    this.releasing = true;
    for (const job of [...this.running, ...this.waiting]) job.cancel?.abort();
    this.answerReleaseWhenDone();
  }

  /** The association is gone. Running services learn it from `lost`; what did not start never will. */
  ended(): void {
    this.lost.abort();
    this.releasing = false;
    for (const job of this.waiting.splice(0)) {
      this.forget(job);
      job.finish();
    }
    this.options.onChange();
  }

  private cancel(messageId: number | undefined): void {
    if (messageId !== undefined) this.byMessageId.get(messageId)?.cancel?.abort();
  }

  private startWaiting(): void {
    for (let next = this.waiting[0]; next !== undefined && this.mayStart(next); next = this.waiting[0]) {
      this.waiting.shift();
      this.running.add(next);
      void this.run(next);
    }
  }

  private mayStart(job: Job): boolean {
    if (this.running.size === 0) return true;
    if (!job.overlaps || this.running.size >= this.options.maxOutstanding) return false;
    for (const other of this.running) if (!other.overlaps) return false;
    return true;
  }

  /** Never rejects. */
  private async run(job: Job): Promise<void> {
    try {
      const response = await this.finalResponse(job);
      await job.request.dataSet?.discard();
      await job.turn;
      this.forget(job);
      this.count(job, response);
      await this.respond(job, response);
    } catch (error) {
      // Here only the association fails: it is gone, and with it whoever the answer was for.
      if (!this.lost.signal.aborted) {
        this.association.abort(0, 0, `a response could not be sent: ${errorMessage(error)}`);
      }
    } finally {
      this.forget(job);
      this.running.delete(job);
      job.finish();
      this.startWaiting();
      this.options.onChange();
      this.answerReleaseWhenDone();
    }
  }

  private async finalResponse(job: Job): Promise<DimseResponse> {
    try {
      if (job.admission.refusal !== undefined) throw job.admission.refusal;
      return await this.serve(job);
    } catch (error) {
      if (this.lost.signal.aborted) throw error;
      this.logFailure(job, error);
      return failureResponse(error);
    }
  }

  /** Runs the service: its pending responses are written as they come, its first other one is returned. */
  private async serve(job: Job): Promise<DimseResponse> {
    const { entry } = job.admission;
    const { peer } = this.options;
    if (entry === undefined || peer === undefined)
      throw new Error('a request was admitted without a service');
    const context: ServiceContext = {
      association: this.association,
      peer,
      scu: this.options.scu,
      lost: this.lost.signal,
      cancelled: job.cancel?.signal ?? NEVER,
    };
    const iterator = entry.service(job.request, context)[Symbol.asyncIterator]();
    let returned = false;
    try {
      for (;;) {
        const step = await iterator.next();
        if (step.done === true) {
          returned = true;
          throw new Error('the service ended without a final response');
        }
        if (statusCategory(step.value.status) !== 'pending') return step.value;
        await job.turn;
        await this.respond(job, step.value);
      }
    } finally {
      if (!returned) await this.closeService(job, iterator);
    }
  }

  /** A service that fails while it tidies up has answered all the same. */
  private async closeService(job: Job, iterator: AsyncIterator<DimseResponse>): Promise<void> {
    try {
      await iterator.return?.();
    } catch (error) {
      this.logFailure(job, error);
    }
  }

  private async respond(job: Job, response: DimseResponse): Promise<void> {
    await this.sender.send({
      contextId: job.request.context.id,
      command: responseCommand(job.request.command, response),
      data: response.dataSet,
    });
  }

  private count(job: Job, response: DimseResponse): void {
    if (job.request.command.CommandField !== COMMAND['C-STORE']) return;
    const category = statusCategory(response.status);
    if (category === 'success' || category === 'warning') this.options.counters.instances++;
  }

  private forget(job: Job): void {
    const { messageId } = job.request;
    if (this.byMessageId.get(messageId) === job) this.byMessageId.delete(messageId);
  }

  private answerReleaseWhenDone(): void {
    if (!this.releasing || this.outstanding > 0) return;
    this.releasing = false;
    this.association.answerRelease();
  }

  private logFailure(job: Job, error: unknown): void {
    const fields = {
      association: this.association.id,
      command: job.admission.operation?.name ?? statusText(job.request.command.CommandField),
      messageId: job.request.messageId,
    };
    if (isDimseError(error)) {
      this.options.log('warn', 'request refused', {
        ...fields,
        status: statusText(error.status),
        comment: error.comment,
      });
    } else {
      this.options.log('error', 'request failed', {
        ...fields,
        error: errorMessage(error),
        ...(error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}),
      });
    }
  }
}
