import { EXIT, IsocenterError } from '../errors';
import type { AcceptedContext, Association, AssociationEnd } from '../net/types';
import { DATA_SET_FOLLOWS, NO_DATA_SET } from './command';
import { INVALID_PARAMETER_VALUE, PROVIDER, UNEXPECTED_PDU, endedError } from './message';
import type { IncomingMessage } from './message';
import { COMMAND, OPERATIONS, RESPONSE } from './operations';
import type { MessageSender } from './sender';
import { statusCategory } from './status';
import type { CommandSet, IncomingDataSet } from './types';

const VERIFICATION = '1.2.840.10008.1.1';
/** PS3.7 9.3.1.1: MEDIUM. */
const MEDIUM = 0x0000;
/** Used where the peer agreed to an unlimited window (0): enough to hide a round trip. */
const UNLIMITED_WINDOW = 16;
/** Bytes of a response's identifier: C-FIND rows and failed lists (at most 64 KiB of UIDs) are far smaller. */
const RESPONSE_DATA_LIMIT = 1024 * 1024;
/** `timeouts.response` of the configuration, where its user doesn't pass it on. */
const RESPONSE_TIMEOUT = 120_000;

/** A request without what the Scu fills in. */
export type RequestCommand = Omit<CommandSet, 'MessageID' | 'CommandDataSetType'>;

export interface ScuResponse {
  readonly status: number;
  readonly command: CommandSet;
  readonly dataSet: Buffer | undefined;
  /** Its transfer syntax is that of the data set. */
  readonly context: AcceptedContext;
}

export interface RequestOptions {
  /** Each pending response in order; the next one waits for its promise. What it throws aborts the association. */
  readonly onPending?: (response: ScuResponse) => void | Promise<void>;
  /**
   * Aborted before the request is sent: it isn't. While it is being sent: A-ABORT. Afterwards: C-CANCEL, where the
   * operation knows it, and the final response is awaited as ever; other operations run to their end.
   */
  readonly signal?: AbortSignal;
  /** Milliseconds that the peer may stay silent, counted anew from each pending response. */
  readonly timeout?: number;
}

/** What C-STORE-RQ says of an instance; the originator only in sub-operations of C-MOVE (PS3.7 9.3.1.1). */
export interface StoreRequest {
  readonly contextId: number;
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
  readonly priority?: number;
  readonly moveOriginator?: { readonly aeTitle: string; readonly messageId: number };
}

export interface ScuOptions {
  /** Milliseconds; default 120000. */
  readonly responseTimeout?: number;
  readonly counters: { instances: number };
  /** Called whenever `outstanding` changes. */
  readonly onChange: () => void;
}

interface Pending {
  readonly name: string;
  readonly responseField: number;
  readonly timeout: number;
  readonly onPending: RequestOptions['onPending'];
  readonly resolve: (response: ScuResponse) => void;
  readonly reject: (error: unknown) => void;
  timer: NodeJS.Timeout | undefined;
  /** Responses that came in and were not handed on yet, one after the other. */
  deliveries: Promise<void> | undefined;
  undelivered: number;
  sent: boolean;
}

/**
 * The requestor's half of PS3.7 on one association. Responses are matched by Message ID; as many requests are
 * outstanding as the asynchronous window allows, further ones wait (PS3.7 D.3.3.3). A peer that stays silent too long
 * is answered with A-ABORT: an association with an open request is never used again.
 *
 * Every request rejects with IsocenterError: `ASSOCIATION_ENDED`, `ASSOCIATION_RELEASED` (the peer asked for release
 * first), `RESPONSE_TIMEOUT`, `REQUEST_CANCELLED`; or with the error of its data set or of `onPending`.
 */
export class Scu {
  private readonly association: Association;
  private readonly sender: MessageSender;
  private readonly options: ScuOptions;
  /** Requests that may be outstanding at once, as agreed; further ones wait. */
  readonly window: number;
  private readonly pending = new Map<number, Pending>();
  private readonly queue: (() => void)[] = [];
  private active = 0;
  private lastMessageId = 0;
  private over: IsocenterError | undefined;

  constructor(association: Association, sender: MessageSender, options: ScuOptions) {
    this.association = association;
    this.sender = sender;
    this.options = options;
    const { invoked, performed } = association.asyncWindow;
    const window = association.role === 'requestor' ? invoked : performed;
    this.window = window === 0 ? UNLIMITED_WINDOW : window;
  }

  /** Requests that are being sent or wait for their final response. */
  get outstanding(): number {
    return this.active;
  }

  /** Responses that their requests have not been handed yet. */
  get undelivered(): number {
    let sum = 0;
    for (const { undelivered } of this.pending.values()) sum += undelivered;
    return sum;
  }

  /** C-ECHO (PS3.7 9.1.5). @throws IsocenterError `NO_CONTEXT` where Verification was not accepted. */
  async echo(options: RequestOptions = {}): Promise<number> {
    const context = [...this.association.contexts.values()].find(
      (row) => row.abstractSyntax === VERIFICATION,
    );
    if (context === undefined) {
      throw new IsocenterError('NO_CONTEXT', 'the peer accepted no presentation context for Verification', {
        exitCode: EXIT.refused,
      });
    }
    const command = { CommandField: COMMAND['C-ECHO'], AffectedSOPClassUID: VERIFICATION };
    return (await this.request(command, context.id, undefined, options)).status;
  }

  /** C-STORE (PS3.7 9.1.1). The bytes go out as they are; they must be in the context's transfer syntax. */
  async store(
    instance: StoreRequest,
    dataSet: Buffer | AsyncIterable<Buffer>,
    options: RequestOptions = {},
  ): Promise<ScuResponse> {
    const { moveOriginator } = instance;
    const command: RequestCommand = {
      CommandField: COMMAND['C-STORE'],
      AffectedSOPClassUID: instance.SOPClassUID,
      AffectedSOPInstanceUID: instance.SOPInstanceUID,
      Priority: instance.priority ?? MEDIUM,
      ...(moveOriginator === undefined
        ? {}
        : {
            MoveOriginatorApplicationEntityTitle: moveOriginator.aeTitle,
            MoveOriginatorMessageID: moveOriginator.messageId,
          }),
    };
    const response = await this.request(command, instance.contextId, dataSet, options);
    const category = statusCategory(response.status);
    if (category === 'success' || category === 'warning') this.options.counters.instances++;
    return response;
  }

  /** Sends a request and resolves with its final response, whatever the status. */
  async request(
    command: RequestCommand,
    contextId: number,
    dataSet?: Buffer | AsyncIterable<Buffer>,
    options: RequestOptions = {},
  ): Promise<ScuResponse> {
    const { signal } = options;
    if (this.active >= this.window) await new Promise<void>((resolve) => this.queue.push(resolve));
    else this.active++;
    try {
      if (this.over !== undefined) throw this.over;
      if (signal?.aborted === true) throw cancelled();
      this.options.onChange();
      return await this.perform(command, contextId, dataSet, options);
    } finally {
      // A request that waited takes the place over.
      const next = this.queue.shift();
      if (next === undefined) this.active--;
      else next();
      this.options.onChange();
    }
  }

  /** A response came in. One that answers nothing breaks the protocol. */
  response(message: IncomingMessage): void {
    const { command } = message;
    const messageId = command.MessageIDBeingRespondedTo;
    const pending = messageId === undefined ? undefined : this.pending.get(messageId);
    if (messageId === undefined || pending?.responseField !== command.CommandField) {
      this.association.abort(PROVIDER, UNEXPECTED_PDU, 'a response to a request that was not made');
      return;
    }
    const status = command.Status;
    if (status === undefined) {
      this.association.abort(PROVIDER, INVALID_PARAMETER_VALUE, `${pending.name}-RSP without a status`);
      return;
    }
    clearTimeout(pending.timer);
    pending.timer = undefined;
    const final = statusCategory(status) !== 'pending';
    if (final) this.pending.delete(messageId);
    if (final && message.dataSet === undefined && pending.deliveries === undefined) {
      pending.resolve({ status, command, dataSet: undefined, context: message.context });
      return;
    }
    pending.undelivered++;
    this.options.onChange();
    pending.deliveries = (pending.deliveries ?? Promise.resolve()).then(() =>
      this.deliver(pending, message, status, final),
    );
  }

  /** The peer is seen at work on what it was asked, as in sub-operations of C-GET: its time to answer counts anew. */
  stillAtWork(): void {
    for (const { timer } of this.pending.values()) timer?.refresh();
  }

  /** The peer wants to release: it can't answer any more (PS3.8 table 9-10, Sta8). */
  releaseRequested(): void {
    this.fail(
      new IsocenterError('ASSOCIATION_RELEASED', 'the peer asked for release before it answered', {
        exitCode: EXIT.refused,
      }),
    );
  }

  ended(end: AssociationEnd): void {
    this.fail(endedError(end));
  }

  private async perform(
    command: RequestCommand,
    contextId: number,
    dataSet: Buffer | AsyncIterable<Buffer> | undefined,
    options: RequestOptions,
  ): Promise<ScuResponse> {
    const messageId = this.nextMessageId();
    const operation = OPERATIONS.get(command.CommandField);
    const { promise, resolve, reject } = Promise.withResolvers<ScuResponse>();
    const pending: Pending = {
      name: operation?.name ?? 'request',
      responseField: command.CommandField | RESPONSE,
      timeout: options.timeout ?? this.options.responseTimeout ?? RESPONSE_TIMEOUT,
      onPending: options.onPending,
      resolve,
      reject,
      timer: undefined,
      deliveries: undefined,
      undelivered: 0,
      sent: false,
    };
    this.pending.set(messageId, pending);
    // The response may fail while the request is still being sent; it is looked at afterwards.
    promise.catch(() => undefined);
    const onAbort = (): void => {
      if (!pending.sent)
        this.association.abort(0, 0, `${pending.name} was cancelled while it was being sent`);
      else if (operation?.cancellable === true && this.pending.has(messageId)) {
        this.sendCancel(messageId, contextId);
      }
    };
    options.signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await this.sender.send({
        contextId,
        command: {
          ...command,
          MessageID: messageId,
          CommandDataSetType: dataSet === undefined ? NO_DATA_SET : DATA_SET_FOLLOWS,
        },
        data: dataSet,
      });
      pending.sent = true;
      if (this.pending.get(messageId) === pending && pending.undelivered === 0) this.startTimer(pending);
      return await promise;
    } finally {
      options.signal?.removeEventListener('abort', onAbort);
      clearTimeout(pending.timer);
      if (this.pending.get(messageId) === pending) this.pending.delete(messageId);
    }
  }

  private async deliver(
    pending: Pending,
    message: IncomingMessage,
    status: number,
    final: boolean,
  ): Promise<void> {
    try {
      const dataSet = message.dataSet === undefined ? undefined : await this.collect(message.dataSet);
      const response: ScuResponse = { status, command: message.command, dataSet, context: message.context };
      if (final) pending.resolve(response);
      else await pending.onPending?.(response);
    } catch (error) {
      pending.reject(error);
      this.association.abort(0, 0, `a response to ${pending.name} could not be taken`);
    } finally {
      pending.undelivered--;
      if (!final && pending.sent && pending.undelivered === 0 && this.over === undefined) {
        this.startTimer(pending);
      }
      this.options.onChange();
    }
  }

  private async collect(dataSet: IncomingDataSet): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of dataSet) {
      length += chunk.length;
      if (length > RESPONSE_DATA_LIMIT) {
        throw new IsocenterError(
          'RESPONSE_TOO_LARGE',
          `the data set of a response has more than ${RESPONSE_DATA_LIMIT} bytes`,
        );
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, length);
  }

  private startTimer(pending: Pending): void {
    clearTimeout(pending.timer);
    pending.timer = setTimeout(() => {
      const seconds = pending.timeout / 1000;
      const error = new IsocenterError(
        'RESPONSE_TIMEOUT',
        `${this.association.calledAETitle} did not answer ${pending.name} within ${seconds} s`,
        { exitCode: EXIT.network, hint: 'raise timeouts.response if the peer needs longer' },
      );
      pending.reject(error);
      this.association.abort(0, 0, `no answer to ${pending.name} within ${seconds} s`);
    }, pending.timeout);
  }

  private sendCancel(messageId: number, contextId: number): void {
    const command: CommandSet = {
      CommandField: COMMAND['C-CANCEL'],
      MessageIDBeingRespondedTo: messageId,
      CommandDataSetType: NO_DATA_SET,
    };
    // Fails only with the association, and then the request fails too.
    this.sender.send({ contextId, command }).catch(() => undefined);
  }

  /** 1 to 65535, over and over, never one that is outstanding. */
  private nextMessageId(): number {
    do this.lastMessageId = (this.lastMessageId % 0xffff) + 1;
    while (this.pending.has(this.lastMessageId));
    return this.lastMessageId;
  }

  private fail(error: IsocenterError): void {
    this.over ??= error;
    for (const pending of this.pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(this.over);
    }
    this.pending.clear();
    for (const next of this.queue.splice(0)) {
      this.active++;
      next();
    }
  }
}

function cancelled(): IsocenterError {
  return new IsocenterError('REQUEST_CANCELLED', 'cancelled before the request was sent', {
    exitCode: EXIT.interrupted,
  });
}
