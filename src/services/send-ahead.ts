import type { AcceptedContext } from '../net/types';
import type { OutgoingInstance } from './outgoing';
import type { ContextTable } from './send-contexts';
import { Memory } from './send-memory';
import { Source, START, WHOLE } from './send-source';
import type { StoreOptions } from './send-types';

/** Instances that are read before their turn: one is ready while the receiver answers, the other hides a slow read. */
const DEPTH = 2;
/** Bytes in memory for one association, those under way included; a single instance is always let in. */
const BUDGET = 16 * 1024 * 1024;

/** Where instances come from, and go back to if they weren't started. */
export interface Supply {
  /** The next one; undefined at the end. Called again only after the call before has been answered. */
  next(): Promise<OutgoingInstance | undefined>;
  putBack(instances: readonly OutgoingInstance[]): void;
}

interface Taken {
  readonly instance: OutgoingInstance;
  /** Its bytes aren't needed any more. */
  release(): Promise<void>;
}

export interface Ready extends Taken {
  readonly problem: undefined;
  readonly context: AcceptedContext;
  readonly data: Buffer | AsyncIterable<Buffer>;
  readonly source: Source;
}

/** An instance that is ready to go out, or the reason why it can't. */
export type Prepared = Ready | (Taken & { readonly problem: string });

/** Takes instances from a supply and reads them before their turn, in bounded memory. */
export class ReadAhead {
  private readonly supply: Supply;
  private readonly table: ContextTable;
  private readonly options: StoreOptions;
  private readonly wire: { readonly memory: Memory; readonly unsent: () => number };
  private readonly queue: Promise<Prepared | undefined>[] = [];
  private turn: Promise<unknown> = Promise.resolve();
  private held = 0;
  private wake: (() => void) | undefined;
  private ended = false;

  constructor(supply: Supply, table: ContextTable, options: StoreOptions, unsent: () => number) {
    this.supply = supply;
    this.table = table;
    this.options = options;
    this.wire = { memory: new Memory(), unsent };
  }

  /** The next instance; undefined at the end. @throws what the supply throws. */
  async take(): Promise<Prepared | undefined> {
    this.fill();
    const first = this.queue.shift();
    this.fill();
    return first;
  }

  /** It was not sent after all. */
  untake(prepared: Prepared): void {
    this.queue.unshift(Promise.resolve(prepared));
  }

  /** Puts back what nobody took. Nothing can be taken afterwards. */
  async stop(): Promise<void> {
    this.ended = true;
    const unsent: OutgoingInstance[] = [];
    for (const waiting of this.queue.splice(0)) {
      // Where the supply failed there is nothing to put back.
      const prepared = await waiting.catch(() => undefined);
      if (prepared === undefined) continue;
      unsent.push(prepared.instance);
      await prepared.release();
    }
    this.supply.putBack(unsent);
  }

  private fill(): void {
    while (!this.ended && this.queue.length < DEPTH) {
      // Taken from the supply one after the other; the reading itself may overlap.
      const taken = this.turn.then(() => this.next());
      this.turn = taken.catch(() => (this.ended = true));
      const prepared = taken.then((instance) =>
        instance === undefined ? undefined : this.prepare(instance),
      );
      prepared.catch(() => undefined);
      this.queue.push(prepared);
    }
  }

  private async next(): Promise<OutgoingInstance | undefined> {
    if (this.ended) return undefined;
    const instance = await this.supply.next();
    if (instance === undefined) {
      this.ended = true;
      return undefined;
    }
    while (this.held > 0 && this.held + footprint(instance) > BUDGET) {
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    this.held += footprint(instance);
    return instance;
  }

  private async prepare(instance: OutgoingInstance): Promise<Prepared> {
    const context = this.table.choose(instance, this.options);
    const source = context === undefined ? undefined : new Source(instance, context, this.options, this.wire);
    let released = false;
    const release = async (): Promise<void> => {
      if (released) return;
      released = true;
      await source?.close();
      this.held -= footprint(instance);
      this.wake?.();
    };
    if (context === undefined || source === undefined) {
      return { instance, release, problem: this.table.refusal(instance) };
    }
    try {
      return { instance, release, problem: undefined, context, data: await source.open(), source };
    } catch {
      return { instance, release, problem: source.failure ?? 'it can not be read' };
    }
  }
}

/** Bytes of an instance that are in memory before and while it goes out. */
function footprint({ dataSetLength }: OutgoingInstance): number {
  return dataSetLength <= WHOLE ? dataSetLength : START;
}
