import type { AcceptedContext } from '../net/types';
import type { OutgoingInstance, Transcoder } from './outgoing';

/** SOP class and transfer syntax in which instances are kept: what presentation contexts are planned from. */
export interface OutgoingKind {
  readonly SOPClassUID: string;
  readonly TransferSyntaxUID: string;
}

export type Instances = AsyncIterable<OutgoingInstance> | Iterable<OutgoingInstance>;

/** What became of one instance. Every instance that was started has exactly one. */
export interface SendResult {
  readonly instance: OutgoingInstance;
  /** By the class of the peer's status (PS3.7 Annex C); without an answer it is `failed`. */
  readonly outcome: 'completed' | 'warning' | 'failed';
  /** Of the peer's response; undefined where there was none. */
  readonly status?: number;
  /** Of a warning or a failure: the status with the peer's comment, or what happened here. No patient data. */
  readonly reason?: string;
  /**
   * Without an answer because the association ended. `ended`: by the peer or the network, before the answer; `silent`: by us, since none
   * came in time; `cut`: by us, since half of the object had gone out when the rest could not be read. The peer may hold the object all the same.
   */
  readonly lost?: 'ended' | 'silent' | 'cut';
  /** Why no association could be had: this instance and the rest weren't sent. */
  readonly unreachable?: unknown;
}

/** How instances go out, on whatever association. */
export interface StoreOptions {
  /** `lossless` (default): into another syntax where the stored one isn't taken, and the transcoder can; `never`: as stored or not at all. */
  readonly transcode?: 'never' | 'lossless';
  readonly transcoder?: Transcoder;
  /** Priority of the C-STORE requests (PS3.7 9.3.1.1); default MEDIUM. */
  readonly priority?: number;
  /** The C-MOVE that asked for it (PS3.7 9.3.1.1); nothing in C-GET. */
  readonly moveOriginator?: { readonly aeTitle: string; readonly messageId: number };
  /** Aborted: what is under way is finished, nothing further is started. */
  readonly signal?: AbortSignal;
  /** Aborted: what is being sent is cut off by A-ABORT; what waits for its answer still does. */
  readonly kill?: AbortSignal;
  /** Bytes that aren't what they were, or are gone: to be marked and alarmed. Must not throw. */
  readonly onDamaged?: (instance: OutgoingInstance, reason: string) => void;
}

export interface OverOptions extends StoreOptions {
  /** Contexts that may be used: accepted, and on them we may be SCU. */
  readonly contexts: Iterable<AcceptedContext>;
  /** Requests under way at once; default and most: what was agreed. */
  readonly window?: number;
}
