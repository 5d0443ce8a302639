import type { Job, JobNews, Lane } from '../catalog/jobs';
import { errorMessage } from '../errors';
import { printable } from '../printable';
import type { JobHandler } from './jobs';
import {
  Batch,
  CATALOG_PAUSE,
  type JobClock,
  type LaneCounters,
  type LaneState,
  type RunnerParts,
  type Signals,
} from './jobs-batch';
import { Breaker } from './jobs-breaker';

/** Longest timer, in milliseconds: so that a clock that was set is noticed. */
const LONGEST_TIMER = 60_000;

const realClock: JobClock = {
  now: () => Date.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    return () => clearTimeout(timer);
  },
};

/**
 * Works on the queue: a lane for each destination and kind, so that none waits for another. Sleeps until a job is due or is added; claims no
 * more than it works on.
 */
export class JobRunner {
  private readonly parts: RunnerParts;
  private readonly clock: JobClock;
  private readonly random: () => number;
  private readonly handlers: ReadonlyMap<string, JobHandler>;
  private readonly lanes = new Map<string, LaneState>();
  private readonly breakers = new Map<string, Breaker>();
  private readonly work = new Set<Promise<void>>();
  private readonly unhandled = new Set<string>();
  private readonly stopping = new AbortController();
  private readonly cut = new AbortController();
  private started = false;

  constructor(parts: RunnerParts) {
    this.parts = parts;
    this.clock = parts.clock ?? realClock;
    this.random = parts.random ?? Math.random;
    this.handlers = new Map(parts.handlers.map((handler) => [handler.kind, handler]));
    parts.queue.onNews((news) => this.hear(news));
  }

  /** Looks at what waits, and begins. */
  async start(): Promise<void> {
    this.started = true;
    for (const { destination, kind, state } of await this.parts.queue.counts()) {
      if (state === 'waiting') this.hear({ destination, kind, dueAt: 0, retried: false });
    }
  }

  /** Begins nothing more; what runs has so many milliseconds to end, then it is cut off. What has no outcome waits for the next start. */
  async stop(milliseconds: number): Promise<void> {
    this.stopping.abort();
    for (const state of this.lanes.values()) state.cancelTimer?.();
    const cancel = this.clock.after(milliseconds, () => this.cut.abort());
    while (this.work.size > 0) await Promise.all(this.work);
    cancel();
  }

  counters(): readonly (Readonly<LaneCounters> & { readonly failing: boolean })[] {
    return [...this.lanes.values()].map(({ counters }) => ({
      ...counters,
      failing: this.breakerOf(counters.destination).announced,
    }));
  }

  private hear({ destination, kind, dueAt, retried }: JobNews): void {
    if (!this.started) return;
    const state = this.laneOf({ destination, kind });
    if (state === undefined) return;
    state.dueAt = Math.min(state.dueAt, dueAt);
    state.heard = Math.min(state.heard, dueAt);
    if (retried) this.breakerOf(destination).retry();
    this.look(state);
  }

  private laneOf(lane: Lane): LaneState | undefined {
    const key = JSON.stringify([lane.destination, lane.kind]);
    const known = this.lanes.get(key);
    if (known !== undefined) return known;
    const handler = this.handlers.get(lane.kind);
    if (handler === undefined) {
      if (!this.unhandled.has(lane.kind))
        this.parts.log('warn', `nothing here works on jobs of the kind ${printable(lane.kind, 64)}`);
      this.unhandled.add(lane.kind);
      return undefined;
    }
    const { destination, kind } = lane;
    const state: LaneState = {
      lane: { destination, kind },
      handler,
      counters: { destination, kind, done: 0, failed: 0, parked: 0 },
      dueAt: Infinity,
      heard: Infinity,
      claiming: false,
      running: 0,
      cancelTimer: undefined,
    };
    this.lanes.set(key, state);
    return state;
  }

  private breakerOf(destination: string): Breaker {
    let breaker = this.breakers.get(destination);
    if (breaker === undefined) {
      breaker = new Breaker(this.random);
      this.breakers.set(destination, breaker);
    }
    return breaker;
  }

  /** Begins what may begin, else sets the alarm. */
  private look(state: LaneState): void {
    state.cancelTimer?.();
    state.cancelTimer = undefined;
    if (this.stopping.signal.aborted || state.claiming || state.dueAt === Infinity) return;
    const { destination } = state.lane;
    if (state.running >= Math.max(1, state.handler.parallel?.(destination) ?? 1)) return;
    const now = this.clock.now();
    const breaker = this.breakerOf(destination);
    const startsAt = Math.max(state.dueAt, breaker.pausedUntil);
    if (startsAt > now) {
      state.cancelTimer = this.clock.after(Math.min(startsAt - now, LONGEST_TIMER), () => this.look(state));
      return;
    }
    const granted = breaker.grant(now, state.handler.batch ?? 1);
    // A probe of another lane runs: it looks again at all of them.
    if (granted === 0) return;
    state.claiming = true;
    state.running++;
    const work = this.takeBatch(state, breaker, granted).finally(() => {
      this.work.delete(work);
      state.running--;
      breaker.ended();
      for (const other of this.lanes.values()) if (other.lane.destination === destination) this.look(other);
    });
    this.work.add(work);
  }

  private async takeBatch(state: LaneState, breaker: Breaker, limit: number): Promise<void> {
    state.heard = Infinity;
    let jobs: Job[];
    try {
      const claimed = await this.parts.queue.claim(state.lane, { now: this.clock.now(), limit });
      jobs = claimed.jobs;
      state.dueAt = Math.min(claimed.nextDueAt ?? Infinity, state.heard);
    } catch (error) {
      this.parts.log('error', 'jobs could not be taken from the catalog', { error: errorMessage(error) });
      state.dueAt = this.clock.now() + CATALOG_PAUSE;
      return;
    } finally {
      state.claiming = false;
    }
    // Another batch of this lane may begin beside this one.
    this.look(state);
    if (jobs.length > 0)
      await new Batch(this.parts, this.clock, state, breaker, this.signals(), this.random).run(jobs);
  }

  private signals(): Signals {
    return { stopping: this.stopping.signal, signal: this.cut.signal };
  }
}
