import { EventEmitter } from 'node:events';

/** One association's life, summed up when it ends. */
export interface AssociationSummary {
  readonly id: string;
  readonly role: 'acceptor' | 'requestor';
  readonly remoteName: string;
  readonly callingAETitle: string;
  readonly calledAETitle: string;
  readonly remoteAddress: string;
  readonly contexts: number;
  readonly instances: number;
  readonly bytes: number;
  readonly milliseconds: number;
  /** `released`, `aborted by peer`, `aborted: why`, `connection lost`, `idle`, … */
  readonly outcome: string;
}

/** An instance that was taken, after its row was committed and before it is answered. What recovery adopts before anybody calls isn't told. */
export interface StoredEvent {
  readonly arrivalId: string;
  readonly associationId: string;
  readonly remoteName: string;
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
  readonly bytes: number;
  readonly outcome: 'stored' | 'duplicate' | 'replaced';
}

/** A C-MOVE or C-GET that has ended: counters as in its last response. */
export interface RetrievedEvent {
  readonly command: 'C-MOVE' | 'C-GET';
  readonly associationId: string;
  /** Who asked. */
  readonly remoteName: string;
  /** Who got them: a remote's name; of C-GET the same as `remoteName`. */
  readonly destination: string;
  readonly level: string;
  /** Of the last response; undefined where there was none, since the caller was gone. */
  readonly status: number | undefined;
  readonly completed: number;
  readonly warning: number;
  readonly failed: number;
  /** Not begun: cancelled, or nobody was there any more to send them for. */
  readonly remaining: number;
  /** Of the data sets that were delivered, as they are kept. */
  readonly bytes: number;
  readonly milliseconds: number;
}

/** Something that a person has to look at: a warning log line with a code, counted by code. */
export interface AlertEvent {
  readonly code: string;
  /** No patient data. */
  readonly message: string;
  readonly details?: Readonly<Record<string, string | number>>;
}

/** A person's decision on a quarantined file. */
export interface QuarantineEvent {
  readonly action: 'release' | 'discard';
  readonly arrivalId: string;
  readonly reason: string;
}

export interface NodeEvents {
  associationEnded: [AssociationSummary];
  stored: [StoredEvent];
  retrieved: [RetrievedEvent];
  alert: [AlertEvent];
  quarantine: [QuarantineEvent];
}

/**
 * Observers' side of the node: audit, metrics and logs subscribe here and can't change an outcome. A listener that
 * throws is reported, never propagated into the data path.
 */
export class NodeEventBus {
  private readonly emitter = new EventEmitter();
  private readonly onListenerError: (error: unknown) => void;

  constructor(onListenerError: (error: unknown) => void) {
    this.onListenerError = onListenerError;
  }

  on<K extends keyof NodeEvents>(event: K, listener: (...args: NodeEvents[K]) => void): void {
    this.emitter.on(event, (...args: unknown[]) => {
      try {
        listener(...(args as NodeEvents[K]));
      } catch (error) {
        this.onListenerError(error);
      }
    });
  }

  emit<K extends keyof NodeEvents>(event: K, ...args: NodeEvents[K]): void {
    this.emitter.emit(event, ...args);
  }
}
