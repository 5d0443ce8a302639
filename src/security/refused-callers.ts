import type { Caller } from './explain';
import { plainAddress } from './hosts';

/** A caller that no rule fits, as often as it called. Texts are as the peer sent them: print them through `printable`. */
export interface RefusedCaller {
  readonly callingAETitle: string;
  readonly calledAETitle: string;
  readonly address: string;
  /** Of its last call, each once, at most 32. */
  readonly abstractSyntaxes: readonly string[];
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly firstSeen: number;
  readonly lastSeen: number;
}

/** Any machine that reaches the port can make entries: their number and size are bounded, the one longest unseen goes first. */
const MAX_ENTRIES = 256;
const MAX_SYNTAXES = 32;

/** Who was refused lately: the list from which a new device is admitted. */
export class RefusedCallers {
  /** In the order of the last call, the oldest first. */
  private readonly entries = new Map<string, RefusedCaller>();

  record(caller: Caller, now: number): void {
    const address = plainAddress(caller.remoteAddress);
    const key = JSON.stringify([caller.callingAETitle, caller.calledAETitle, address]);
    const before = this.entries.get(key);
    this.entries.delete(key);
    this.entries.set(key, {
      callingAETitle: caller.callingAETitle.slice(0, 16),
      calledAETitle: caller.calledAETitle.slice(0, 16),
      address,
      abstractSyntaxes: [
        ...new Set(caller.contexts.map((context) => context.abstractSyntax.slice(0, 64))),
      ].slice(0, MAX_SYNTAXES),
      count: (before?.count ?? 0) + 1,
      firstSeen: before?.firstSeen ?? now,
      lastSeen: now,
    });
    const [oldest] = this.entries.keys();
    if (this.entries.size > MAX_ENTRIES && oldest !== undefined) this.entries.delete(oldest);
  }

  /** The last caller first. */
  list(): RefusedCaller[] {
    return [...this.entries.values()].reverse();
  }
}
