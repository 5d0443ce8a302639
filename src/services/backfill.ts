import { setTimeout } from 'node:timers/promises';
import type { BackfillState, Catalog, StoredArrival } from '../catalog/types';
import type { AttributeValue } from '../dicom/types';
import { errorMessage, IsocenterError } from '../errors';
import type { NodeEventBus } from '../events';
import type { LogFn } from '../log';
import type { Store } from '../store/types';
import { skimHeader, type HeaderRules } from './arrivals';
import { isNotWhole } from './exchange';

/** Arrivals asked for at a time. */
const PAGE = 256;
/** Arrivals in one step: it is what a kill loses, and what a record that comes meanwhile waits for in the writer (about a millisecond). */
const STEP = 32;
/** Rests for so many times as long as it worked: half of the time, and a twentieth of it while records wait for the catalog. */
const REST = 1;
const REST_UNDER_LOAD = 19;
const LONGEST_REST = 2000;
/** So many files in a row that can't be opened or read are the volume's fault, not theirs. */
const FAILURES_IN_A_ROW = 8;
const PROGRESS_TIME = 10_000;

export interface BackfillParts {
  readonly store: Store;
  readonly catalog: Catalog;
  readonly rules: HeaderRules;
  readonly events: NodeEventBus;
  readonly log: LogFn;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
  readonly pause?: (milliseconds: number, signal: AbortSignal) => Promise<unknown>;
}

interface Skimmed {
  readonly arrivals: {
    readonly arrivalId: string;
    readonly values: Readonly<Record<string, AttributeValue>>;
  }[];
  readonly unreadable: string[];
}

/**
 * Fills in attributes that are kept since later than the first arrivals came: walks over those in arrival order, reads their headers, and
 * hands the values to the catalog, whose rule for the first value holds for them as for all others. The place of the walk is committed with
 * the values, so that it goes on where it stopped, however it stopped. Files that can't be read are passed over and counted.
 */
export class Backfill {
  private readonly parts: BackfillParts;
  private readonly now: () => number;
  private readonly pause: (milliseconds: number, signal: AbortSignal) => Promise<unknown>;
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private failuresInARow = 0;

  constructor(parts: BackfillParts) {
    this.parts = parts;
    this.now = parts.now ?? (() => performance.now());
    this.pause = parts.pause ?? ((ms, signal) => setTimeout(ms, undefined, { signal, ref: false }));
  }

  /** Begins where there is something to do. Resolves when the walk has ended, or was stopped; it never rejects. */
  start(): Promise<void> {
    this.running ??= this.run();
    return this.running;
  }

  /** Lets the step under way end, and no other begin. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { catalog, log, events } = this.parts;
    const state = catalog.backfill;
    if (state === undefined || this.stopping.signal.aborted) return;
    const named = state.keywords.join(', ');
    log(
      'info',
      `attributes are filled in from the stored files; queries for them are incomplete until that is done: ${named}`,
      { remaining: state.total - state.done },
    );
    try {
      const end = await this.walk(state);
      if (!end.finished) return;
      log('info', `attributes are filled in: ${named}`, { count: end.done });
      if (end.skipped > 0) {
        events.emit('alert', {
          code: 'BACKFILL_SKIPPED',
          message: `Attributes could not be filled in from files that are damaged or can't be read (${named}). Restore the files from a backup and run "isocenter reindex".`,
          details: { count: end.skipped },
        });
      }
    } catch (error) {
      events.emit('alert', {
        code: 'BACKFILL_STOPPED',
        message: `Attributes are not filled in any further (${named}): ${errorMessage(error)}. The next start goes on with it.`,
      });
    }
  }

  private async walk(from: BackfillState): Promise<BackfillState> {
    const { catalog, log } = this.parts;
    let state = from;
    let said = this.now();
    for (;;) {
      const page = await catalog.arrivalsAfter({ after: state.after, until: state.until, limit: PAGE });
      const isLast = page.length < PAGE;
      // An empty page still ends the walk.
      for (let at = 0; at === 0 || at < page.length; at += STEP) {
        if (this.stopping.signal.aborted) return state;
        const step = page.slice(at, at + STEP);
        state = await this.take(step, isLast && at + STEP >= page.length, state);
        if (state.finished) return state;
        if (this.now() - said < PROGRESS_TIME) continue;
        said = this.now();
        log('info', 'filling in attributes', { count: state.done, remaining: state.total - state.done });
      }
    }
  }

  private async take(
    step: readonly StoredArrival[],
    last: boolean,
    state: BackfillState,
  ): Promise<BackfillState> {
    const { catalog } = this.parts;
    const begun = this.now();
    let isBusy = catalog.waiting > 0;
    const skimmed: Skimmed = { arrivals: [], unreadable: [] };
    for (const arrival of step) {
      await this.skim(arrival, state.keywords, skimmed);
      isBusy ||= catalog.waiting > 0;
    }
    const after = await catalog.fill({
      ...skimmed,
      to: step.at(-1)?.arrivalId ?? state.after,
      walked: step.length,
      last,
    });
    if (after === undefined) throw new IsocenterError('BACKFILL_GONE', 'the catalog knows of no such walk');
    if (!last) await this.rest((this.now() - begun) * (isBusy ? REST_UNDER_LOAD : REST));
    return after;
  }

  /** Adds what one file says, or that it says nothing any more. */
  private async skim(
    arrival: StoredArrival,
    keywords: readonly string[],
    { arrivals, unreadable }: Skimmed,
  ): Promise<void> {
    const { store, rules } = this.parts;
    const { arrivalId } = arrival;
    if (arrival.damaged !== undefined) {
      unreadable.push(arrivalId);
      return;
    }
    try {
      const header = await skimHeader(store, arrival, rules);
      const values = keywords.flatMap((keyword): [string, AttributeValue][] => {
        const value = header.values[keyword];
        return value === undefined ? [] : [[keyword, value]];
      });
      if (values.length > 0) arrivals.push({ arrivalId, values: Object.fromEntries(values) });
      this.failuresInARow = 0;
    } catch (error) {
      unreadable.push(arrivalId);
      if (isNotWhole(error)) return;
      if (++this.failuresInARow >= FAILURES_IN_A_ROW) throw error;
    }
  }

  private async rest(milliseconds: number): Promise<void> {
    await this.pause(Math.min(milliseconds, LONGEST_REST), this.stopping.signal).catch(() => undefined);
  }
}
