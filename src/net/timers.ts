/** Time as the timers see it; monotonic, in milliseconds. Tests bring their own. */
export interface Clock {
  now(): number;
  /** Calls back once after `milliseconds`; the function returned cancels. */
  after(milliseconds: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    return () => {
      clearTimeout(timer);
    };
  },
};

/**
 * A deadline that is pushed back on every packet: that costs a look at the clock, no timer operation. The timer behind
 * it stays where it is and, when it fires early, is set again for what remains.
 */
export class Deadline {
  private readonly clock: Clock;
  private readonly onExpired: () => void;
  private milliseconds = 0;
  private since = 0;
  private active = false;
  private cancelTimer: (() => void) | undefined;

  constructor(clock: Clock, onExpired: () => void) {
    this.clock = clock;
    this.onExpired = onExpired;
  }

  get running(): boolean {
    return this.active;
  }

  /** Starts, or starts again with another duration. */
  start(milliseconds: number): void {
    if (milliseconds !== this.milliseconds) this.clear();
    this.milliseconds = milliseconds;
    this.since = this.clock.now();
    this.active = true;
    if (this.cancelTimer === undefined) this.arm(milliseconds);
  }

  /** Something happened: the time runs anew. */
  touch(): void {
    if (this.active) this.since = this.clock.now();
  }

  /** Stops; the timer behind may fire once more, without effect. */
  stop(): void {
    this.active = false;
  }

  /** Stops and lets go of the timer. */
  clear(): void {
    this.active = false;
    this.cancelTimer?.();
    this.cancelTimer = undefined;
  }

  private arm(milliseconds: number): void {
    this.cancelTimer = this.clock.after(milliseconds, () => {
      this.cancelTimer = undefined;
      if (!this.active) return;
      const left = this.since + this.milliseconds - this.clock.now();
      if (left > 0) {
        this.arm(Math.ceil(left));
      } else {
        this.active = false;
        this.onExpired();
      }
    });
  }
}
