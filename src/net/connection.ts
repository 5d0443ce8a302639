import type { Socket } from 'node:net';
import { errorCode, errorMessage } from '../errors';
import { recogniseProtocol } from './first-bytes';
import { step } from './fsm';
import type { Action, Effect, State, UpperLayerEvent } from './fsm';
import { describeEnd, seconds } from './connection-owner';
import type { AbortFields, ConnectionOwner, ConnectionTimeouts, EventInput } from './connection-owner';
import type { Agreement, Refusal } from './negotiation';
import { PDU_TYPE, encodePdu } from './pdu';
import type { AssociateAcceptPdu, AssociateRequestPdu, Pdu } from './pdu';
import { ABORT_REASON } from './pdu-items';
import { PduReader } from './pdu-reader';
import type { PduEvent } from './pdu-reader';
import { SocketWriter, endedError, settled } from './socket-writer';
import { Deadline } from './timers';
import type { Clock } from './timers';
import type { AssociationEnd, AssociationUser } from './types';

const NOTHING: EventInput = {};
const UNEXPECTED: AbortFields = { source: 2, reason: ABORT_REASON.unexpectedPdu };
const USER_ABORT: AbortFields = { source: 0, reason: 0 };

/** PDUs as the standard names them, and the event that each of them is. */
const PDUS: Readonly<Record<Pdu['type'], { readonly name: string; readonly event: UpperLayerEvent }>> = {
  'associate-rq': { name: 'A-ASSOCIATE-RQ', event: 'associate-rq' },
  'associate-ac': { name: 'A-ASSOCIATE-AC', event: 'associate-ac' },
  'associate-rj': { name: 'A-ASSOCIATE-RJ', event: 'associate-rj' },
  'release-rq': { name: 'A-RELEASE-RQ', event: 'release-rq' },
  'release-rp': { name: 'A-RELEASE-RP', event: 'release-rp' },
  abort: { name: 'A-ABORT', event: 'abort' },
};

/**
 * Runs the state machine of PS3.8 on one socket, for either role: reading, writing, timers. It owns the socket and
 * destroys it on every way out.
 */
export class Connection {
  readonly id: string;
  readonly role: 'acceptor' | 'requestor';
  readonly socket: Socket;
  /** Resolves when the association is over. */
  readonly over: Promise<AssociationEnd>;
  private readonly owner: ConnectionOwner;
  private readonly timeouts: ConnectionTimeouts;
  private readonly reader: PduReader;
  private readonly writer: SocketWriter;
  /** ARTIM, and the other waits for the peer's next step; never more than one of them runs. */
  private readonly phase: Deadline;
  private readonly idle: Deadline;
  private state: State = 1;
  private agreement: Agreement | undefined;
  private user: AssociationUser | undefined;
  private end: AssociationEnd | undefined;
  private resolveOver!: (end: AssociationEnd) => void;
  private socketError: string | undefined;
  private paused = false;
  private busy = false;
  private releasing = false;
  /** The P-DATA-TF being read is for the user. */
  private delivering = false;
  /** Between the first fragment of a command or data set and its last. */
  private partOpen = false;
  private pumping = false;
  private pumpScheduled = false;
  private abortedAgain = false;

  constructor(options: {
    readonly socket: Socket;
    readonly role: 'acceptor' | 'requestor';
    readonly id: string;
    readonly owner: ConnectionOwner;
    /** Announced to the peer; P-DATA-TF beyond it is a protocol error. */
    readonly maximumLength: number;
    readonly timeouts: ConnectionTimeouts;
    readonly clock: Clock;
  }) {
    const { socket, clock, timeouts } = options;
    this.socket = socket;
    this.role = options.role;
    this.id = options.id;
    this.owner = options.owner;
    this.timeouts = timeouts;
    this.reader = new PduReader(options.maximumLength);
    this.writer = new SocketWriter(socket, clock, timeouts.writeStall, () => {
      this.drop({ kind: 'timeout', reason: `the peer took no data for ${seconds(timeouts.writeStall)}` });
    });
    this.phase = new Deadline(clock, () => this.phaseExpired());
    this.idle = new Deadline(clock, () => this.idleExpired());
    this.over = new Promise((resolve) => {
      this.resolveOver = resolve;
    });
    socket.on('data', (chunk: Buffer) => {
      this.idle.touch();
      this.reader.push(chunk);
      this.pump();
    });
    socket.on('error', (error) => {
      this.socketError ??= errorCode(error) ?? errorMessage(error);
    });
    socket.on('end', () => {
      this.fire('transport-closed');
      socket.destroy();
    });
    socket.on('close', () => this.socketClosed());
  }

  /** Acceptor: the socket is there (AE-5). */
  startAcceptor(): void {
    this.fire('transport-indication');
  }

  /** Requestor: the socket is connecting (AE-1). The request goes out when it is connected (AE-2). */
  startRequestor(request: AssociateRequestPdu, connectMilliseconds: number, connected: string): void {
    this.fire('associate-request');
    this.phase.start(connectMilliseconds);
    this.socket.once(connected, () => {
      if (this.fire('transport-confirm', { pdu: request }) !== undefined) {
        this.phase.start(this.timeouts.association);
      }
    });
  }

  /** Answers an A-ASSOCIATE-RQ; false where it came too late. */
  accept(answer: AssociateAcceptPdu, agreement: Agreement): boolean {
    if (this.fire('associate-accept', { pdu: answer }) === undefined) return false;
    this.establish(agreement);
    return true;
  }

  reject(refusal: Refusal): boolean {
    return this.fire('associate-reject', { refusal }) !== undefined;
  }

  /** Requestor: what the accepted request agreed on. */
  establish(agreement: Agreement): void {
    this.agreement = agreement;
    this.phase.stop();
    this.idle.start(this.timeouts.idle);
  }

  attach(user: AssociationUser): void {
    if (this.user !== undefined) throw new Error('an association has one user');
    if (this.end !== undefined) {
      const { end } = this;
      process.nextTick(() => user.ended(end));
      return;
    }
    this.user = user;
    this.schedulePump();
  }

  sendFragment(contextId: number, command: boolean, data: Buffer, last: boolean): Promise<void> {
    if (this.agreement === undefined || this.fire('data-request') === undefined) {
      return settled(Promise.reject(endedError(this.end?.reason ?? 'a release is under way')));
    }
    return this.writer.send(contextId, command, data, last, this.agreement.sendLimit);
  }

  pause(): void {
    this.paused = true;
    if (!this.pumping && this.held) this.socket.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.idle.touch();
    this.schedulePump();
  }

  setBusy(busy: boolean): void {
    this.busy = busy;
    this.idle.touch();
  }

  answerRelease(): void {
    this.writer.afterSends(() => void this.fire('release-response'));
  }

  async release(): Promise<void> {
    if (!this.releasing) {
      this.releasing = true;
      // The answer must be seen, whatever the user made of its data.
      this.resume();
      this.writer.afterSends(() => {
        if (this.fire('release-request') !== undefined) this.phase.start(this.timeouts.release);
        else this.fire('release-response');
        this.schedulePump();
      });
    }
    await this.over;
  }

  abort(source: 0 | 2, reason: number, why: string, kind: AssociationEnd['kind'] = 'aborted-by-us'): void {
    this.fire('abort-request', { abort: { source, reason }, end: { kind, reason: why } });
  }

  /** Ends everything at once, without a word to the peer. */
  drop(end: AssociationEnd): void {
    this.fire('transport-closed', { end });
    this.socket.destroy();
  }

  /** Closes what is no association: a last PDU that was queued (Sta13) still goes out, for as long as ARTIM runs. */
  dismiss(end: AssociationEnd): void {
    if (this.state === 13) this.socket.destroySoon();
    else this.drop(end);
  }

  private get held(): boolean {
    const { state } = this;
    if (this.user === undefined) return state === 6 || state === 8;
    return this.paused && state >= 6 && state <= 8;
  }

  /** Never from within a call of the user's: its callbacks must not interrupt it. */
  private schedulePump(): void {
    if (this.pumpScheduled) return;
    this.pumpScheduled = true;
    process.nextTick(() => {
      this.pumpScheduled = false;
      this.pump();
    });
  }

  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    try {
      while (!this.held) {
        const event = this.reader.next();
        if (event === undefined) break;
        this.receive(event);
      }
    } catch (error) {
      this.owner.faulted?.(error);
      this.abort(2, ABORT_REASON.notSpecified, 'internal error');
      if (this.end === undefined) this.drop({ kind: 'aborted-by-us', reason: 'internal error' });
    }
    this.pumping = false;
    if (this.held) this.socket.pause();
    else if (this.socket.isPaused()) this.socket.resume();
  }

  private receive(event: PduEvent): void {
    switch (event.type) {
      case 'data':
        this.take('data', 'P-DATA-TF', NOTHING);
        this.delivering = this.state === 6 || this.state === 7;
        break;
      case 'fragment-start':
        if (!this.delivering) break;
        if (this.agreement?.contexts.has(event.contextId) !== true) {
          this.violate(`PDV on presentation context ${event.contextId}, which was not accepted`, {
            source: 2,
            reason: ABORT_REASON.invalidParameter,
          });
          break;
        }
        this.partOpen = !event.last;
        this.user?.fragmentStart(event.contextId, event.command, event.last);
        break;
      case 'fragment-data':
        if (this.delivering) this.user?.fragmentData(event.bytes);
        break;
      case 'fragment-end':
        if (this.delivering) this.user?.fragmentEnd();
        break;
      case 'pdu': {
        const { name, event: taken } = PDUS[event.pdu.type];
        const refusal =
          event.pdu.type === 'associate-rq' && this.state === 2 ? this.owner.judge?.(event.pdu) : undefined;
        this.take(taken, name, { pdu: event.pdu, refusal });
        break;
      }
      case 'error': {
        // AA-1 speaks as the user (source 0), but a broken request is told what is wrong with it.
        const anonymous = this.state === 2 && event.header[0] !== PDU_TYPE.associateRequest;
        const abort = anonymous ? USER_ABORT : { source: 2, reason: event.reason };
        this.violate(event.message, abort, recogniseProtocol(event.header), 'invalid-pdu');
        break;
      }
    }
  }

  /** A PDU that came: the table says what it means; an unexpected one is a violation. */
  private take(event: UpperLayerEvent, name: string, input: EventInput): void {
    const { state } = this;
    const abort = state === 2 ? USER_ABORT : UNEXPECTED;
    const what = `unexpected ${name} in Sta${state}`;
    const action = this.fire(event, { ...input, abort, end: { kind: 'aborted-by-us', reason: what } });
    if (action === 'AA-1' || action === 'AA-8') {
      this.owner.violated?.({ what, looksLike: undefined, abort });
    }
  }

  private violate(
    what: string,
    abort: AbortFields,
    looksLike?: string,
    event: UpperLayerEvent = 'abort-request',
  ): void {
    const action = this.fire(event, { abort, end: { kind: 'aborted-by-us', reason: what } });
    if (action === 'AA-1' || action === 'AA-8') this.owner.violated?.({ what, looksLike, abort });
  }

  /** Runs one cell of the table; undefined where it is empty. */
  private fire(event: UpperLayerEvent, input: EventInput = NOTHING): Action | undefined {
    const conditions = { role: this.role, acceptable: input.refusal === undefined };
    const taken = step(this.state, event, conditions);
    if (taken === undefined) return undefined;
    this.state = taken.next;
    for (const effect of taken.effects) this.perform(effect, taken.action, input);
    if (this.state === 13 || this.state === 1) this.finish(taken.action, input);
    return taken.action;
  }

  private perform(effect: Effect, action: Action, input: EventInput): void {
    switch (effect) {
      case 'send-associate-rq':
      case 'send-associate-ac':
        if (input.pdu !== undefined) this.writer.write(encodePdu(input.pdu));
        break;
      case 'send-associate-rj':
        if (input.refusal !== undefined) {
          this.writer.write(encodePdu({ type: 'associate-rj', ...input.refusal.rejection }));
        }
        break;
      case 'send-release-rq':
        this.writer.write(encodePdu({ type: 'release-rq' }));
        break;
      case 'send-release-rp':
        this.writer.write(encodePdu({ type: 'release-rp' }));
        break;
      case 'send-user-abort':
      case 'send-provider-abort':
        // Once more at most: a peer that goes on and never reads must not fill our queue with answers.
        if (action === 'AA-7' && this.abortedAgain) break;
        this.abortedAgain = action === 'AA-7';
        this.writer.write(encodePdu({ type: 'abort', ...(input.abort ?? UNEXPECTED) }));
        break;
      case 'start-artim':
        this.phase.start(
          action === 'AA-1' || action === 'AA-8' ? this.timeouts.abortGrace : this.timeouts.association,
        );
        break;
      case 'stop-artim':
        this.phase.stop();
        break;
      case 'close-transport':
        if (action === 'AR-3') {
          this.socket.destroySoon();
          this.phase.start(this.timeouts.abortGrace);
        } else {
          this.socket.destroy();
        }
        break;
      case 'indicate-associate':
        this.phase.start(this.timeouts.association);
        if (input.pdu?.type === 'associate-rq') this.owner.associateRequested?.(input.pdu);
        break;
      case 'confirm-accept':
        if (input.pdu?.type === 'associate-ac') this.owner.associateAccepted?.(input.pdu);
        break;
      case 'confirm-reject':
        if (input.pdu?.type === 'associate-rj') this.owner.associateRejected?.(input.pdu);
        break;
      case 'indicate-release':
        if (this.state === 8) this.user?.releaseRequested();
        // Both sides asked (AR-8): there is nothing left to ask the user, the requestor answers first.
        else if (this.state === 9) this.fire('release-response');
        break;
      case 'confirm-release':
        if (this.state === 12) this.fire('release-response');
        break;
      case 'open-transport':
      case 'send-data':
      case 'indicate-data':
      case 'indicate-abort':
        // Done by who fired the event, or by `finish`.
        break;
    }
  }

  private phaseExpired(): void {
    const { association, release } = this.timeouts;
    switch (this.state) {
      case 1:
        this.socket.destroy();
        break;
      case 2:
      case 13:
        this.fire('artim-expired');
        break;
      case 3:
        this.owner.answerOverdue?.();
        break;
      case 4:
        this.abort(0, 0, 'no connection in time', 'timeout');
        break;
      case 5:
        this.abort(0, 0, `no answer to A-ASSOCIATE-RQ within ${seconds(association)}`, 'timeout');
        break;
      default:
        this.abort(2, 0, `no answer to A-RELEASE-RQ within ${seconds(release)}`, 'timeout');
        break;
    }
  }

  private idleExpired(): void {
    if (this.state !== 6 && this.state !== 8) return;
    const receiving = this.partOpen || this.reader.inPdu;
    // A peer that is still being sent to owes nothing; one that does not take it is the write-stall timer's.
    const working = this.busy || this.socket.writableLength > 0;
    if ((this.paused && this.user !== undefined) || (working && !receiving)) {
      this.idle.start(this.timeouts.idle);
      return;
    }
    const where = receiving ? 'in the middle of a message' : 'idle';
    this.abort(2, 0, `${where}: nothing received for ${seconds(this.timeouts.idle)}`, 'timeout');
  }

  private finish(action: Action, input: EventInput): void {
    if (this.end !== undefined) return;
    const end = describeEnd(action, input, this.timeouts, this.socketError);
    this.end = end;
    this.idle.clear();
    this.delivering = false;
    this.writer.fail(endedError(end.reason));
    const { user } = this;
    this.user = undefined;
    try {
      user?.ended(end);
    } catch (error) {
      this.owner.faulted?.(error);
    }
    this.resolveOver(end);
    this.owner.ended(end);
    // What still comes is read and ignored: unread bytes would turn our last PDU into a reset.
    if (this.state === 13) this.schedulePump();
  }

  private socketClosed(): void {
    this.fire('transport-closed');
    this.phase.clear();
    this.idle.clear();
    this.writer.close();
    this.owner.closed?.();
  }
}
