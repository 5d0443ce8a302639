import type { Job, JobEnd, JobQueue, Lane } from '../catalog/jobs';
import { errorMessage } from '../errors';
import type { NodeEventBus } from '../events';
import type { LogFn } from '../log';
import { printable } from '../printable';
import { isUnreached, type JobHandler, type JobOutcome } from './jobs';
import { JITTER, type Breaker } from './jobs-breaker';

/** Tries of a job, then it is parked. Times when its destination could not be reached don't count. */
export const MOST_TRIES = 20;
/** Wait after the first failed try, and the longest, in milliseconds: 20 tries take about 15 hours. */
const FIRST_WAIT = 10_000;
const LONGEST_WAIT = 3_600_000;

/** A job that waits for so long is parked where its destination has failed for an hour without a break, in milliseconds. */
const LONGEST_LIFE = 7 * 24 * 3_600_000;
const HOPELESS_AFTER = 3_600_000;

/** Outcomes are committed when there are so many, or so many milliseconds after the last ones. */
const ENDS_AT_ONCE = 25;
const ENDS_WITHIN = 1000;

/** Pause after the catalog took no change, in milliseconds. */
export const CATALOG_PAUSE = 10_000;

export interface JobClock {
  /** Milliseconds since 1970. */
  now(): number;
  /** @returns what takes it back. */
  after(milliseconds: number, callback: () => void): () => void;
}

export interface RunnerParts {
  readonly queue: JobQueue;
  readonly handlers: readonly JobHandler[];
  readonly events: NodeEventBus;
  readonly log: LogFn;
  readonly clock?: JobClock;
  /** 0 to 1. */
  readonly random?: () => number;
}

/** What was done since the start, for one lane. */
export interface LaneCounters extends Lane {
  done: number;
  /** Tries that failed. */
  failed: number;
  parked: number;
}

export interface LaneState {
  readonly lane: Lane;
  readonly handler: JobHandler;
  readonly counters: LaneCounters;
  /** When the next job is due, as far as is known. */
  dueAt: number;
  /** The earliest of what was heard while a claim was under way. */
  heard: number;
  claiming: boolean;
  running: number;
  cancelTimer: (() => void) | undefined;
}

export interface Signals {
  readonly stopping: AbortSignal;
  readonly signal: AbortSignal;
}

/** Jobs that were claimed together, until each has its end in the catalog. */
export class Batch {
  private readonly parts: RunnerParts;
  private readonly clock: JobClock;
  private readonly state: LaneState;
  private readonly breaker: Breaker;
  private readonly signals: Signals;
  private readonly random: () => number;
  private readonly open = new Map<number, Job>();
  private readonly notes = new Map<string, number>();
  private readonly startedAt: number;
  private ends: JobEnd[] = [];
  private endedAt: number;
  private done = 0;
  private parked = 0;
  /** Why the destination takes nothing, as far as outcomes say so. */
  private refusal: string | undefined;

  constructor(
    parts: RunnerParts,
    clock: JobClock,
    state: LaneState,
    breaker: Breaker,
    signals: Signals,
    random: () => number,
  ) {
    this.parts = parts;
    this.clock = clock;
    this.state = state;
    this.breaker = breaker;
    this.signals = signals;
    this.random = random;
    this.startedAt = clock.now();
    this.endedAt = this.startedAt;
  }

  async run(jobs: readonly Job[]): Promise<void> {
    const { lane, handler } = this.state;
    for (const job of jobs) this.open.set(job.id, job);
    // One that takes the process with it each time is seen by its tries.
    for (const { id, attempts } of jobs) {
      if (attempts > MOST_TRIES)
        this.take({ id, outcome: 'hopeless', reason: 'the node ended while it ran, again and again' });
    }
    let thrown: unknown;
    try {
      const context = { destination: lane.destination, ...this.signals };
      const left = [...this.open.values()];
      if (left.length > 0) {
        for await (const outcome of handler.run(left, context)) {
          this.take(outcome);
          if (this.ends.length >= ENDS_AT_ONCE || this.clock.now() - this.endedAt >= ENDS_WITHIN)
            await this.commit();
        }
      }
    } catch (error) {
      thrown = error;
    }
    this.finish(thrown);
    await this.commit();
    await this.conclude(thrown);
  }

  private take(outcome: JobOutcome): void {
    const job = this.open.get(outcome.id);
    if (job === undefined) return;
    this.open.delete(outcome.id);
    const { counters } = this.state;
    const { id } = job;
    if (outcome.outcome === 'done') {
      this.done++;
      counters.done++;
      if (outcome.note !== undefined) this.notes.set(outcome.note, 1 + (this.notes.get(outcome.note) ?? 0));
      this.ends.push({ id, end: 'done' });
      return;
    }
    const { reason } = outcome;
    if (outcome.outcome === 'failed' && job.attempts < MOST_TRIES) {
      counters.failed++;
      if (outcome.destination === true) this.refusal ??= reason;
      const wait = Math.min(FIRST_WAIT * 2 ** (job.attempts - 1), LONGEST_WAIT);
      const dueAt = this.clock.now() + Math.round(wait * (1 + JITTER * this.random()));
      this.ends.push({ id, end: 'again', dueAt, reason });
      this.state.dueAt = Math.min(this.state.dueAt, dueAt);
      return;
    }
    if (outcome.outcome === 'failed') counters.failed++;
    counters.parked++;
    this.parked++;
    this.ends.push({ id, end: 'parked', reason });
  }

  /** Jobs without an outcome. */
  private finish(thrown: unknown): void {
    const untried = this.signals.stopping.aborted || isUnreached(thrown);
    const reason = thrown === undefined ? 'nothing was said of it' : errorMessage(thrown);
    for (const { id, dueAt } of [...this.open.values()]) {
      if (untried) {
        this.ends.push({ id, end: 'released' });
        this.state.dueAt = Math.min(this.state.dueAt, dueAt);
      } else this.take({ id, outcome: 'failed', reason, destination: true });
    }
    this.open.clear();
  }

  /** What is not written stays `running` until the next start: tried until it is, or the node stops. */
  private async commit(): Promise<void> {
    while (this.ends.length > 0) {
      try {
        await this.parts.queue.end(this.ends);
        this.ends = [];
      } catch (error) {
        this.parts.log('error', 'what became of jobs could not be written', { error: errorMessage(error) });
        if (this.signals.stopping.aborted) return;
        await this.pause();
      }
    }
    this.endedAt = this.clock.now();
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.clock.after(CATALOG_PAUSE, resolve);
      this.signals.stopping.addEventListener(
        'abort',
        () => {
          cancel();
          resolve();
        },
        { once: true },
      );
    });
  }

  private async conclude(thrown: unknown): Promise<void> {
    const { lane } = this.state;
    const { log } = this.parts;
    for (const [note, count] of this.notes)
      log('info', `jobs had nothing to do: ${printable(note, 200)}`, { remote: lane.destination, count });
    if (this.parked > 0) this.alertParked(this.parked);
    if (this.signals.stopping.aborted) return;
    if (this.done > 0) {
      if (this.breaker.done()) log('info', 'jobs get through again', { remote: lane.destination });
      return;
    }
    const failure = thrown === undefined ? this.refusal : errorMessage(thrown);
    if (failure === undefined) {
      // Answered, if only with failures of these very jobs.
      if (this.breaker.done()) log('info', 'jobs get through again', { remote: lane.destination });
      return;
    }
    const now = this.clock.now();
    if (this.breaker.failed(this.startedAt, now)) {
      log('warn', 'jobs do not get through; they wait and are tried again', {
        remote: lane.destination,
        reason: printable(failure, 200),
      });
    }
    const since = this.breaker.failingSince ?? now;
    if (now - since >= HOPELESS_AFTER) await this.parkOld(now - LONGEST_LIFE, failure);
  }

  private async parkOld(addedBefore: number, reason: string): Promise<void> {
    const { lane, counters } = this.state;
    try {
      const parked = await this.parts.queue.parkOlder(lane.destination, addedBefore, reason);
      counters.parked += parked;
      if (parked > 0) this.alertParked(parked);
    } catch (error) {
      this.parts.log('error', 'old jobs could not be parked', { error: errorMessage(error) });
    }
  }

  private alertParked(count: number): void {
    const { destination } = this.state.lane;
    this.parts.events.emit('alert', {
      code: 'JOB_PARKED',
      message: `Jobs for a remote are not tried any more: see "isocenter jobs list --state parked", mend the reason, then "isocenter jobs retry --all --destination ${printable(destination, 64)}".`,
      details: { remote: destination, count },
    });
  }
}
