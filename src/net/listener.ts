import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { EXIT, IsocenterError, errorCode, errorMessage } from '../errors';
import { Acceptor } from './acceptor';
import type { AcceptorOptions } from './acceptor';
import { Admission } from './admission';
import type { AssociationLimits } from './admission';
import type { ConnectionTimeouts } from './connection-owner';
import { systemClock } from './timers';
import type { Clock } from './timers';
import type { AssociationEnd } from './types';

/** So many connections without an association may be open for each association that may: handshakes and goodbyes. */
const UNASSOCIATED_PER_ASSOCIATION = 2;
/** Probes on an idle TCP connection find a peer that was unplugged while we work for it. */
const KEEP_ALIVE_MILLISECONDS = 30_000;

export interface ListenerOptions extends Omit<AcceptorOptions, 'admission' | 'clock' | 'timeouts'> {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
  /** Read for each new caller. */
  readonly limits: () => AssociationLimits;
  /** Read for each new connection. */
  readonly timeouts: () => ConnectionTimeouts;
  readonly clock?: Clock;
  /**
   * Makes the server that hands out sockets ready for DIMSE; TLS comes in here, with its own handshake timer and error
   * handling.
   */
  readonly createServer?: (onSocket: (socket: Socket) => void) => Server;
  /** Errors of the listening socket, such as EMFILE. */
  readonly onServerError?: (error: Error) => void;
}

/** One live association, for `assoc list`. */
export interface AssociationInfo {
  readonly id: string;
  readonly remoteName: string;
  readonly callingAETitle: string;
  readonly calledAETitle: string;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly contexts: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly milliseconds: number;
}

const CLOSING: AssociationEnd = { kind: 'aborted-by-us', reason: 'the node stops' };

/**
 * Accepts connections and keeps the limits: associations in all and by address, and connections that are no
 * association (yet, or any more) apart from them, so that neither silence nor garbage takes an association's place.
 */
export class Listener {
  private readonly options: ListenerOptions;
  private readonly clock: Clock;
  private readonly server: Server;
  private readonly admission: Admission;
  private readonly acceptors = new Map<Acceptor, number>();
  /** In order of age; their addresses. */
  private readonly unassociated = new Map<Acceptor, string>();
  private draining = false;
  private onEmpty: (() => void) | undefined;
  private closing: Promise<void> | undefined;

  constructor(options: ListenerOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.admission = new Admission(options.limits);
    const onSocket = (socket: Socket): void => this.connected(socket);
    this.server = (
      options.createServer ?? ((take) => createServer({ noDelay: true, highWaterMark: 65536 }, take))
    )(onSocket);
  }

  /** @throws IsocenterError `LISTEN_FAILED` with what mends it. */
  async listen(): Promise<{ readonly port: number }> {
    const { host, port } = this.options;
    await new Promise<void>((resolve, reject) => {
      const failed = (error: Error): void => reject(listenError(error, host, port));
      this.server.once('error', failed);
      this.server.listen({ host, port, backlog: 511 }, () => {
        this.server.off('error', failed);
        resolve();
      });
    });
    // Without a listener an error while accepting would end the process.
    this.server.on('error', (error) => this.options.onServerError?.(error));
    return { port: (this.server.address() as AddressInfo).port };
  }

  /** Takes no new association: callers are answered 2/3/1, those that are in go on. The port stays open. */
  drain(): void {
    this.draining = true;
  }

  /** Closes the port, aborts what is left, and resolves when every socket is gone. Idempotent. */
  close(): Promise<void> {
    this.closing ??= this.closeAll();
    return this.closing;
  }

  /** Live associations, oldest first. */
  associations(): AssociationInfo[] {
    const now = this.clock.now();
    const infos: AssociationInfo[] = [];
    for (const [acceptor, since] of this.acceptors) {
      const { association, connection } = acceptor;
      if (association === undefined || this.unassociated.has(acceptor)) continue;
      infos.push({
        ...acceptor.caller,
        remoteName: association.peer?.name ?? '',
        contexts: association.contexts.size,
        bytesReceived: connection.socket.bytesRead,
        bytesSent: connection.socket.bytesWritten,
        milliseconds: Math.round(now - since),
      });
    }
    return infos;
  }

  /** Aborts one association; false where there is none of that id. */
  abort(id: string, why: string): boolean {
    for (const { association, connection } of this.acceptors.keys()) {
      if (association?.id !== id) continue;
      connection.abort(2, 0, why);
      return true;
    }
    return false;
  }

  /** Sockets that are open, associations or not; for metrics and leak tests. */
  get sockets(): number {
    return this.acceptors.size;
  }

  private connected(socket: Socket): void {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MILLISECONDS);
    const { options } = this;
    const acceptor: Acceptor = new Acceptor(
      socket,
      {
        ...options,
        timeouts: options.timeouts(),
        clock: this.clock,
        admission: this.admission,
        unavailable: () => (this.draining ? 'the node is shutting down' : options.unavailable()),
        onAssociation: (association) => {
          this.unassociated.delete(acceptor);
          options.onAssociation(association);
        },
      },
      () => this.keepUnassociated(acceptor),
      () => this.forget(acceptor),
    );
    this.acceptors.set(acceptor, this.clock.now());
    this.keepUnassociated(acceptor);
  }

  private forget(acceptor: Acceptor): void {
    this.acceptors.delete(acceptor);
    this.unassociated.delete(acceptor);
    if (this.acceptors.size === 0) this.onEmpty?.();
  }

  /**
   * Counts a connection among those without an association. Beyond the limit the oldest one goes, of the same address
   * where that address has more than its share: one host can't push out another's handshake.
   */
  private keepUnassociated(acceptor: Acceptor): void {
    if (!this.acceptors.has(acceptor)) return;
    const address = acceptor.caller.remoteAddress;
    this.unassociated.set(acceptor, address);
    const { associations, associationsPerRemote } = this.options.limits();
    const ofAddress = [...this.unassociated].filter(([, other]) => other === address);
    if (ofAddress.length > UNASSOCIATED_PER_ASSOCIATION * associationsPerRemote) this.dropFirst(ofAddress);
    else if (this.unassociated.size > UNASSOCIATED_PER_ASSOCIATION * associations) {
      this.dropFirst([...this.unassociated]);
    }
  }

  private dropFirst([first]: readonly (readonly [Acceptor, string])[]): void {
    if (first === undefined) return;
    this.forget(first[0]);
    first[0].connection.drop({
      kind: 'aborted-by-us',
      reason: 'too many connections without an association',
    });
  }

  private async closeAll(): Promise<void> {
    this.draining = true;
    const closed = new Promise<void>((resolve) => {
      // An error says that it was never open.
      this.server.close(() => resolve());
    });
    for (const acceptor of [...this.acceptors.keys()]) {
      if (this.unassociated.has(acceptor)) acceptor.connection.dismiss(CLOSING);
      else acceptor.connection.abort(2, 0, CLOSING.reason);
    }
    await closed;
    if (this.acceptors.size > 0) {
      await new Promise<void>((resolve) => {
        this.onEmpty = resolve;
      });
    }
  }
}

function listenError(error: Error, host: string, port: number): IsocenterError {
  const code = errorCode(error);
  const where = `${host}:${port}`;
  const [what, hint] =
    code === 'EADDRINUSE'
      ? ['another program listens there', 'stop it, or choose another listen.port']
      : code === 'EACCES'
        ? ['this user may not listen there', 'ports below 1024 need a privilege; choose another listen.port']
        : code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND'
          ? ['this machine has no such address', 'check listen.host; 0.0.0.0 means all of them']
          : [errorMessage(error), 'check listen.host and listen.port'];
  return new IsocenterError('LISTEN_FAILED', `can't listen on ${where}: ${what}`, {
    exitCode: EXIT.network,
    hint,
    cause: error,
  });
}
