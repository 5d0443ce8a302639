import type { Action } from './fsm';
import type { Refusal } from './negotiation';
import type { AssociateAcceptPdu, AssociateRejectPdu, AssociateRequestPdu, Pdu } from './pdu';
import { describeAbort, describeRejection } from './reject-reasons';
import type { AssociationEnd } from './types';

/** All in milliseconds. */
export interface ConnectionTimeouts {
  /** ARTIM (PS3.8 9.1.5): the first PDU, the answer to a request, the close after a refusal or a release. */
  readonly association: number;
  /** Nothing received while no operation is outstanding, or in the middle of a message. */
  readonly idle: number;
  /** None of the unsent bytes taken by the peer. */
  readonly writeStall: number;
  /** A-RELEASE-RP, after we asked. */
  readonly release: number;
  /** How long an A-ABORT may take to reach the peer before the socket is destroyed. */
  readonly abortGrace: number;
}

export interface ProtocolViolation {
  readonly what: string;
  /** The protocol that the first bytes belong to, where it isn't DICOM. */
  readonly looksLike: string | undefined;
  /** The A-ABORT that answered it. */
  readonly abort: AbortFields;
}

/** The role's side of a connection: acceptor or requestor. */
export interface ConnectionOwner {
  /** Acceptor: why a request can't be served at all, or undefined (AE-6). */
  judge?(pdu: AssociateRequestPdu): Refusal | undefined;
  /** Acceptor: answer with `accept` or `reject`. */
  associateRequested?(pdu: AssociateRequestPdu): void;
  /** Acceptor: no answer was given in time. */
  answerOverdue?(): void;
  /** Requestor: the peer accepted; call `establish` or `abort`. */
  associateAccepted?(pdu: AssociateAcceptPdu): void;
  /** Requestor. */
  associateRejected?(pdu: AssociateRejectPdu): void;
  violated?(violation: ProtocolViolation): void;
  /** A callback threw: a fault of ours. The association is aborted. */
  faulted?(error: unknown): void;
  /** The association, or the attempt at one, is over; the socket may stay for a moment. Once. */
  ended(end: AssociationEnd): void;
  /** The socket is gone. Once, after `ended`. */
  closed?(): void;
}

/** Fields of an A-ABORT (PS3.8 9.3.8). */
export interface AbortFields {
  readonly source: number;
  readonly reason: number;
}

/** What an event of the state machine brings along. */
export interface EventInput {
  readonly pdu?: Pdu;
  readonly abort?: AbortFields;
  readonly refusal?: Refusal | undefined;
  readonly end?: AssociationEnd;
}

/** How an association ended, told from the action that ended it (PS3.8 tables 9-6 to 9-9). */
export function describeEnd(
  action: Action,
  { pdu, refusal, end }: EventInput,
  timeouts: ConnectionTimeouts,
  socketError: string | undefined,
): AssociationEnd {
  if (pdu?.type === 'abort') {
    return { kind: 'aborted-by-peer', reason: describeAbort(pdu.source, pdu.reason) };
  }
  if (action === 'AE-4' && pdu?.type === 'associate-rj')
    return { kind: 'rejected', reason: describeRejection(pdu).text };
  if (refusal !== undefined) return { kind: 'rejected', reason: refusal.why };
  if (action === 'AR-3' || action === 'AR-4') return { kind: 'released', reason: 'released' };
  if (end !== undefined) return end;
  if (action === 'AA-2') {
    return { kind: 'timeout', reason: `no A-ASSOCIATE-RQ within ${seconds(timeouts.association)}` };
  }
  return { kind: 'connection-lost', reason: socketError ?? 'connection closed by the peer' };
}

export function seconds(milliseconds: number): string {
  return `${milliseconds / 1000} s`;
}
