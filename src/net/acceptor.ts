import type { Socket } from 'node:net';
import type { Admission, Exhausted } from './admission';
import { createAssociation, nextAssociationId, plainAddress } from './association';
import { Connection } from './connection';
import type { ConnectionOwner, ConnectionTimeouts, ProtocolViolation } from './connection-owner';
import { acceptRequest, describeRequest, refuseRequest } from './negotiation';
import type { Implementation, Refusal } from './negotiation';
import type { AssociateRequestPdu } from './pdu';
import { REJECTION } from './reject-reasons';
import type { Clock } from './timers';
import type { AcceptorPolicy, Association, AssociationEnd, AssociateRequest, Rejection } from './types';

/** A caller, as far as it is known: titles are empty until its A-ASSOCIATE-RQ is in. */
export interface CallerInfo {
  readonly id: string;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly callingAETitle: string;
  readonly calledAETitle: string;
}

/** For the log: who was refused, with what, and what mends it. */
export interface RejectedInfo extends CallerInfo {
  readonly rejection: Rejection;
  readonly why: string;
}

/** For the log: what a connection did against the protocol. */
export interface ProtocolErrorInfo extends CallerInfo, Omit<ProtocolViolation, 'abort'> {
  /** Source and reason of the A-ABORT that answered it; undefined where none was sent. */
  readonly abort: { readonly source: number; readonly reason: number } | undefined;
}

export interface AcceptorOptions {
  readonly policy: () => AcceptorPolicy;
  readonly implementation: Implementation;
  readonly maximumLength: number;
  readonly timeouts: ConnectionTimeouts;
  readonly clock: Clock;
  readonly admission: Admission;
  /** Why no association is taken now (starting, stopping), or undefined: answered 2/3/1. */
  readonly unavailable: () => string | undefined;
  readonly onAssociation: (association: Association) => void;
  readonly onRejected: (info: RejectedInfo) => void;
  readonly onProtocolError: (info: ProtocolErrorInfo) => void;
  /** A policy function or a user of an association threw: a fault of ours. */
  readonly onFault: (error: unknown, associationId: string) => void;
}

const EXHAUSTED: Readonly<Record<Exhausted, string>> = {
  associations: 'all associations are in use; limits.associations raises their number',
  associationsPerRemote:
    'this address has all the associations it may have; limits.associationsPerRemote raises their number',
};

/** The acceptor's side of one connection: from the TCP accept to the established association. */
export class Acceptor implements ConnectionOwner {
  readonly connection: Connection;
  private readonly options: AcceptorOptions;
  private readonly onOver: () => void;
  private readonly onClosed: () => void;
  private readonly remoteAddress: string;
  private readonly remotePort: number;
  private request: AssociateRequest | undefined;
  private freeSlot: (() => void) | undefined;
  private established: Association | undefined;

  /** @param onOver the association is over, its slot free. @param onClosed the socket is gone. */
  constructor(socket: Socket, options: AcceptorOptions, onOver: () => void, onClosed: () => void) {
    this.options = options;
    this.onOver = onOver;
    this.onClosed = onClosed;
    this.remoteAddress = plainAddress(socket.remoteAddress);
    this.remotePort = socket.remotePort ?? 0;
    const { maximumLength, timeouts, clock } = options;
    this.connection = new Connection({
      socket,
      role: 'acceptor',
      id: nextAssociationId(),
      owner: this,
      maximumLength,
      timeouts,
      clock,
    });
    this.connection.startAcceptor();
  }

  /** The association, once it is established. */
  get association(): Association | undefined {
    return this.established;
  }

  get caller(): CallerInfo {
    return {
      id: this.connection.id,
      remoteAddress: this.remoteAddress,
      remotePort: this.remotePort,
      callingAETitle: this.request?.callingAETitle ?? '',
      calledAETitle: this.request?.calledAETitle ?? '',
    };
  }

  judge(pdu: AssociateRequestPdu): Refusal | undefined {
    this.request = describeRequest(pdu, { address: this.remoteAddress, port: this.remotePort });
    const refusal = refuseRequest(pdu) ?? this.admit();
    if (refusal !== undefined) this.options.onRejected({ ...this.caller, ...refusal });
    return refusal;
  }

  private admit(): Refusal | undefined {
    const unavailable = this.options.unavailable();
    if (unavailable !== undefined) return { rejection: REJECTION.temporaryCongestion, why: unavailable };
    const slot = this.options.admission.take(this.remoteAddress);
    if (typeof slot !== 'function') return { rejection: REJECTION.localLimit, why: EXHAUSTED[slot] };
    this.freeSlot = slot;
    return undefined;
  }

  associateRequested(pdu: AssociateRequestPdu): void {
    const { request } = this;
    if (request === undefined) return;
    // One policy for the whole association: a reload in between must not mix two.
    const policy = this.options.policy();
    try {
      const decision = policy.decideAccess(request);
      if (decision instanceof Promise) {
        decision.then(
          (decided) => this.answer(pdu, request, policy, decided),
          (error: unknown) => this.fail(error),
        );
      } else {
        this.answer(pdu, request, policy, decision);
      }
    } catch (error) {
      this.fail(error);
    }
  }

  private answer(
    pdu: AssociateRequestPdu,
    request: AssociateRequest,
    policy: AcceptorPolicy,
    decision: Awaited<ReturnType<AcceptorPolicy['decideAccess']>>,
  ): void {
    if (!decision.accepted) {
      this.refuse({ rejection: decision.rejection, why: decision.why });
      return;
    }
    const { implementation, maximumLength, onAssociation } = this.options;
    try {
      const own = { implementation, maximumLength };
      const { answer, agreement } = acceptRequest(pdu, request, decision, policy, own);
      if (!this.connection.accept(answer, agreement)) return;
      this.established = createAssociation(this.connection, { ...request, peer: decision.peer }, agreement);
      onAssociation(this.established);
    } catch (error) {
      this.fail(error);
    }
  }

  private refuse(refusal: Refusal): void {
    if (this.connection.reject(refusal)) this.options.onRejected({ ...this.caller, ...refusal });
  }

  /** A fault of ours, before or right after the answer. */
  private fail(error: unknown): void {
    this.options.onFault(error, this.connection.id);
    this.refuse({ rejection: REJECTION.internalError, why: 'internal error while deciding' });
    this.connection.abort(2, 0, 'internal error');
  }

  answerOverdue(): void {
    this.refuse({ rejection: REJECTION.temporaryCongestion, why: 'the access decision took too long' });
  }

  violated(violation: ProtocolViolation): void {
    this.options.onProtocolError({ ...this.caller, ...violation });
  }

  faulted(error: unknown): void {
    this.options.onFault(error, this.connection.id);
  }

  ended(end: AssociationEnd): void {
    this.freeSlot?.();
    const { bytesRead } = this.connection.socket;
    if (end.kind === 'timeout' && this.request === undefined && bytesRead > 0) {
      this.options.onProtocolError({
        ...this.caller,
        what: `${end.reason}, ${bytesRead} bytes came`,
        looksLike: undefined,
        abort: undefined,
      });
    }
    this.onOver();
  }

  closed(): void {
    this.onClosed();
  }
}
