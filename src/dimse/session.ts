import type { LogFn } from '../log';
import type { Association, AssociationEnd } from '../net/types';
import type { Peer } from '../peer';
import { Dispatcher } from './dispatcher';
import type { SessionCounters } from './dispatcher';
import { MessageReceiver } from './message';
import type { IncomingMessage, MessageHandler } from './message';
import { RESPONSE } from './operations';
import { ReadGate } from './read-gate';
import { Scu } from './scu';
import { MessageSender } from './sender';
import type { ServiceEntry } from './types';

/** Requests of one association that may be under way: hides a round trip and an fdatasync from peers that pipeline. */
const MAX_OUTSTANDING = 16;
/** Responses that may wait for a slow `onPending` before the socket rests. */
const MAX_UNDELIVERED = 64;

export interface SessionOptions {
  /** What the peer may ask of us; default nothing. */
  readonly services?: readonly ServiceEntry[];
  /** Whose rights count where the association brings no peer of its own: we called, and the remote is known. */
  readonly peer?: Peer;
  readonly log?: LogFn;
  /** Requests that may be under way at once, whatever the asynchronous window; default 16. */
  readonly maxOutstanding?: number;
  /** Milliseconds that the peer may take to answer a request; default 120000. */
  readonly responseTimeout?: number;
}

/**
 * DIMSE on one association: requests go to the dispatcher, responses to the Scu, and both write through one sender. So
 * C-GET can send C-STORE requests on the association that it came in on. Either side may open one.
 */
export class Session implements MessageHandler {
  readonly association: Association;
  /** Our requests to the peer. */
  readonly scu: Scu;
  readonly counters: SessionCounters = { requests: 0, instances: 0, bytes: 0 };
  /** Resolves when the association has ended and no service runs for it any more. */
  readonly finished: Promise<AssociationEnd>;

  private readonly dispatcher: Dispatcher;
  private readonly receiver: MessageReceiver;
  private readonly gate: ReadGate;
  private readonly maxOutstanding: number;
  private readonly finish: (end: AssociationEnd) => void;
  private end: AssociationEnd | undefined;
  private busy = false;
  private readonly idlers: (() => void)[] = [];

  constructor(association: Association, options: SessionOptions = {}) {
    this.association = association;
    this.maxOutstanding = options.maxOutstanding ?? MAX_OUTSTANDING;
    this.gate = new ReadGate(association);
    const { promise, resolve } = Promise.withResolvers<AssociationEnd>();
    this.finished = promise;
    this.finish = resolve;
    const { counters } = this;
    const onChange = (): void => this.update();
    const sender = new MessageSender(association, counters);
    this.scu = new Scu(association, sender, {
      counters,
      onChange,
      ...(options.responseTimeout === undefined ? {} : { responseTimeout: options.responseTimeout }),
    });
    this.dispatcher = new Dispatcher(association, sender, {
      services: options.services ?? [],
      peer: association.peer ?? options.peer,
      scu: this.scu,
      log: options.log ?? (() => undefined),
      counters,
      maxOutstanding: this.maxOutstanding,
      onChange,
    });
    this.receiver = new MessageReceiver(association, this.gate, this);
    association.attach(this.receiver);
  }

  /** Resolves when no request is under way, in either direction. Another may come afterwards. */
  idle(): Promise<void> {
    if (this.outstanding === 0) return Promise.resolve();
    return new Promise((resolve) => this.idlers.push(resolve));
  }

  message(message: IncomingMessage): void {
    if ((message.command.CommandField & RESPONSE) === 0) this.dispatcher.request(message);
    else this.scu.response(message);
  }

  messageEnded(bytes: number): void {
    this.counters.bytes += bytes;
    this.update();
  }

  releaseRequested(): void {
    this.scu.releaseRequested();
    this.dispatcher.releaseRequested();
  }

  ended(end: AssociationEnd): void {
    this.end = end;
    this.scu.ended(end);
    this.dispatcher.ended();
  }

  private get outstanding(): number {
    return this.dispatcher.outstanding + this.scu.outstanding;
  }

  private update(): void {
    if (this.outstanding === 0) for (const resolve of this.idlers.splice(0)) resolve();
    if (this.end !== undefined) {
      if (this.dispatcher.outstanding === 0) this.finish(this.end);
      return;
    }
    const { inMessage } = this.receiver;
    // The message under way has to come in whole, or its service would wait for ever.
    this.gate.hold(
      this.dispatcher.outstanding - (inMessage ? 1 : 0) >= this.maxOutstanding ||
        this.scu.undelivered >= MAX_UNDELIVERED,
    );
    // While a message comes in it is the peer's turn, and the idle timer counts.
    const busy = this.outstanding > 0 && !inMessage;
    if (busy === this.busy) return;
    this.busy = busy;
    this.association.setBusy(busy);
  }
}
