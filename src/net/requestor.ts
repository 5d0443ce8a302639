import { connect as connectSocket } from 'node:net';
import type { Socket } from 'node:net';
import { EXIT, IsocenterError } from '../errors';
import { createAssociation, nextAssociationId, plainAddress } from './association';
import { Connection } from './connection';
import type { ConnectionTimeouts } from './connection-owner';
import { asciiText, isTitle, readAnswer } from './negotiation';
import type { Implementation, Proposal } from './negotiation';
import { DICOM_APPLICATION_CONTEXT, encodeAddressing } from './pdu';
import type { AssociateAcceptPdu, AssociateRejectPdu, AssociateRequestPdu } from './pdu';
import { ABORT_REASON } from './pdu-items';
import { describeRejection } from './reject-reasons';
import type { RejectionTriple } from './reject-reasons';
import { systemClock } from './timers';
import type { Clock } from './timers';
import type { Association, AssociationEnd, UserIdentity } from './types';

const KEEP_ALIVE_MILLISECONDS = 30_000;
const CONNECT_MILLISECONDS = 10_000;

export interface RequestorOptions extends Proposal {
  readonly host: string;
  readonly port: number;
  readonly callingAETitle: string;
  readonly calledAETitle: string;
  readonly implementation: Implementation;
  /** Announced: the longest P-DATA-TF PDU to be sent to us. */
  readonly maximumLength: number;
  readonly userIdentity?: UserIdentity;
  readonly timeouts: ConnectionTimeouts & {
    /** TCP connect, and TLS handshake; default 10 s. */
    readonly connect?: number;
  };
  readonly clock?: Clock;
  /** Gives up: before the association stands it rejects `connect`, later it has no effect. */
  readonly signal?: AbortSignal;
  /** TLS comes in here: a socket that is connecting, and the event that says it is ready. */
  readonly openSocket?: () => { readonly socket: Socket; readonly ready: 'connect' | 'secureConnect' };
}

/** The peer answered A-ASSOCIATE-RJ. `code` is `ASSOCIATION_REJECTED`. */
export class AssociationRejectedError extends IsocenterError {
  readonly rejection: RejectionTriple;

  constructor(message: string, hint: string, rejection: RejectionTriple) {
    super('ASSOCIATION_REJECTED', message, { exitCode: EXIT.refused, hint });
    this.rejection = rejection;
  }
}

/**
 * Opens an association. Attach its user before the next turn of the event loop, or nothing is read.
 * @throws IsocenterError `ASSOCIATION_REJECTED` (with the triple), `ASSOCIATION_ABORTED`: exit code 4;
 * `CONNECT_FAILED`, `CONNECT_TIMEOUT`, `ASSOCIATION_TIMEOUT`, `CONNECTION_LOST`: exit code 5; `ASSOCIATION_INVALID`
 * where the request itself can't be made.
 */
export function connect(options: RequestorOptions): Promise<Association> {
  return new Promise((resolve, reject) => {
    const request = buildRequest(options);
    const { host, port, calledAETitle, timeouts, signal } = options;
    const who = `${calledAETitle} at ${host}:${port}`;
    if (signal?.aborted === true) {
      reject(new IsocenterError('CONNECT_CANCELLED', `the association with ${who} was cancelled`));
      return;
    }
    const { socket, ready } = options.openSocket?.() ?? {
      socket: connectSocket({ host, port, noDelay: true }),
      ready: 'connect',
    };
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MILLISECONDS);
    let connected = false;
    socket.once(ready, () => {
      connected = true;
    });

    const failed = (error: IsocenterError): void => {
      signal?.removeEventListener('abort', cancel);
      reject(error);
    };
    const connection: Connection = new Connection({
      socket,
      role: 'requestor',
      id: nextAssociationId(),
      maximumLength: options.maximumLength,
      timeouts,
      clock: options.clock ?? systemClock,
      owner: {
        associateAccepted(pdu) {
          const answer = readAnswer(options, pdu);
          if ('violation' in answer) {
            connection.abort(2, ABORT_REASON.invalidParameter, answer.violation);
            return;
          }
          connection.establish(answer.agreement);
          signal?.removeEventListener('abort', cancel);
          resolve(createAssociation(connection, partiesOf(options, socket, pdu), answer.agreement));
        },
        associateRejected(pdu) {
          failed(rejectedError(who, pdu));
        },
        // Before the association stands this is the failure; afterwards the promise is settled and it says nothing.
        ended(end) {
          failed(failedError(who, end, connected));
        },
      },
    });
    const cancel = (): void => {
      connection.drop({ kind: 'aborted-by-us', reason: 'cancelled' });
    };
    signal?.addEventListener('abort', cancel, { once: true });
    connection.startRequestor(request, timeouts.connect ?? CONNECT_MILLISECONDS, ready);
  });
}

function buildRequest(options: RequestorOptions): AssociateRequestPdu {
  const { callingAETitle, calledAETitle, contexts } = options;
  for (const [key, title] of [
    ['calling', callingAETitle],
    ['called', calledAETitle],
  ] as const) {
    if (!isTitle(title) || title.trim() === '') {
      throw invalid(`the ${key} AE title must have 1 to 16 printable characters, without a backslash`);
    }
  }
  const ids = new Set(contexts.map(({ id }) => id));
  const wellNumbered = [...ids].every((id) => id % 2 === 1 && id > 0 && id < 256);
  if (contexts.length === 0 || ids.size !== contexts.length || !wellNumbered) {
    throw invalid('an association needs 1 to 128 presentation contexts with odd ids, each once');
  }
  return {
    type: 'associate-rq',
    protocolVersion: 1,
    addressing: encodeAddressing(calledAETitle, callingAETitle),
    applicationContext: DICOM_APPLICATION_CONTEXT,
    contexts,
    userInformation: {
      maximumLength: options.maximumLength,
      implementationClassUID: options.implementation.classUID,
      implementationVersionName: options.implementation.versionName,
      asyncWindow: options.asyncWindow,
      roles: options.roles ?? [],
      extendedNegotiation: options.extendedNegotiation ?? [],
      commonExtendedNegotiation: [],
      userIdentity: options.userIdentity,
      userIdentityResponse: undefined,
    },
  };
}

function partiesOf(options: RequestorOptions, socket: Socket, pdu: AssociateAcceptPdu) {
  const info = pdu.userInformation;
  return {
    callingAETitle: options.callingAETitle.trim(),
    calledAETitle: options.calledAETitle.trim(),
    remoteAddress: plainAddress(socket.remoteAddress),
    remotePort: socket.remotePort ?? options.port,
    peer: undefined,
    userIdentity: options.userIdentity,
    implementationClassUID: asciiText(info.implementationClassUID),
    implementationVersionName: asciiText(info.implementationVersionName),
  };
}

function invalid(message: string): IsocenterError {
  return new IsocenterError('ASSOCIATION_INVALID', message, { exitCode: EXIT.usage });
}

function rejectedError(who: string, pdu: AssociateRejectPdu): AssociationRejectedError {
  const { text, advice } = describeRejection(pdu);
  const { result, source, reason } = pdu;
  return new AssociationRejectedError(`${who} ${text}`, advice, { result, source, reason });
}

const CONNECT_HINTS: Readonly<Record<string, string>> = {
  ECONNREFUSED:
    'nothing listens on that port, or a firewall refuses; check port and that the other side runs',
  ENOTFOUND: 'the name is unknown to DNS; check host',
  EAI_AGAIN: 'DNS does not answer; check the resolver, or use an address as host',
  EHOSTUNREACH: 'there is no way to that host; check network and host',
  ENETUNREACH: 'there is no way to that network; check network and host',
  ETIMEDOUT: 'the host does not answer; check host, port and firewalls',
};

function failedError(who: string, end: AssociationEnd, connected: boolean): IsocenterError {
  const network = (code: string, message: string, hint: string): IsocenterError =>
    new IsocenterError(code, message, { exitCode: EXIT.network, hint });
  switch (end.kind) {
    case 'timeout':
      return connected
        ? network(
            'ASSOCIATION_TIMEOUT',
            `${who}: ${end.reason}`,
            'check that the port speaks DICOM, and plain or TLS',
          )
        : network(
            'CONNECT_TIMEOUT',
            `${who} can't be reached: ${end.reason}`,
            CONNECT_HINTS['ETIMEDOUT'] ?? '',
          );
    case 'connection-lost':
      return connected
        ? network(
            'CONNECTION_LOST',
            `${who} closed the connection before it answered: ${end.reason}`,
            'check that the port speaks DICOM, and plain or TLS; the other side may not know our address',
          )
        : network(
            'CONNECT_FAILED',
            `${who} can't be reached: ${end.reason}`,
            CONNECT_HINTS[end.reason] ?? 'check host, port and firewalls',
          );
    case 'aborted-by-us':
      if (end.reason === 'cancelled') {
        return new IsocenterError('CONNECT_CANCELLED', `the association with ${who} was cancelled`);
      }
      return refused(
        `${who} broke the protocol: ${end.reason}`,
        'check that the port speaks DICOM, and plain or TLS',
      );
    case 'aborted-by-peer':
      return refused(`${who} answered with an ${end.reason}`, 'look into the log of the other side');
    case 'released':
    case 'rejected':
      return refused(`${who}: ${end.reason}`, 'look into the log of the other side');
  }
}

function refused(message: string, hint: string): IsocenterError {
  return new IsocenterError('ASSOCIATION_ABORTED', message, { exitCode: EXIT.refused, hint });
}
