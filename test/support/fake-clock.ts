import type { Clock } from '../../src/net/timers';

/** Time that stands still until a test moves it. */
export class FakeClock implements Clock {
  private time = 1000;
  private readonly timers = new Set<{ at: number; callback: () => void }>();
  /** How often a timer was set: the cost of a packet must not be one. */
  set = 0;

  now(): number {
    return this.time;
  }

  after(milliseconds: number, callback: () => void): () => void {
    this.set += 1;
    const timer = { at: this.time + milliseconds, callback };
    this.timers.add(timer);
    return () => {
      this.timers.delete(timer);
    };
  }

  get pending(): number {
    return this.timers.size;
  }

  /** Moves on, calling what is due in its order and at its time. */
  advance(milliseconds: number): void {
    const until = this.time + milliseconds;
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.timers.delete(next);
      this.time = Math.max(this.time, next.at);
      next.callback();
    }
    this.time = until;
  }
}
