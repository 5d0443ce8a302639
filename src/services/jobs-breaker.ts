/** Pauses while a destination fails, in milliseconds: each twice the one before. */
const FIRST_PAUSE = 5_000;
const LONGEST_PAUSE = 5 * 60_000;

/** Failures in a row after which it is said that a destination fails. */
const SAID_AFTER = 3;

/** Up to this share of a time is added, so that what failed together doesn't come back together. */
export const JITTER = 0.25;

/**
 * Keeps a destination that fails from being called again and again: from the first failure on there are pauses, and between them one job is
 * tried. The first that is done ends that.
 */
export class Breaker {
  private readonly random: () => number;
  private failures = 0;
  private failedAt = 0;
  private since = 0;
  private openUntil = 0;
  private said = false;
  private probing = false;

  constructor(random: () => number) {
    this.random = random;
  }

  /** Jobs may be tried only from then on; 0 = now. */
  get pausedUntil(): number {
    return this.openUntil;
  }

  /** Since when it has failed without a break, or undefined. */
  get failingSince(): number | undefined {
    return this.failures === 0 ? undefined : this.since;
  }

  /** Whether it was said that the destination fails. */
  get announced(): boolean {
    return this.said;
  }

  /** How many jobs may be tried together, 0 for none. What it grants has to end with `done` or `failed`, and then `ended`. */
  grant(now: number, wanted: number): number {
    if (now < this.openUntil) return 0;
    if (this.failures === 0) return wanted;
    if (this.probing) return 0;
    this.probing = true;
    return 1;
  }

  /** What was granted is over, whatever came of it. */
  ended(): void {
    this.probing = false;
  }

  /** @returns true where the destination was said to fail, and works again. */
  done(): boolean {
    const recovered = this.said;
    this.failures = 0;
    this.openUntil = 0;
    this.said = false;
    return recovered;
  }

  /** @param startedAt of the try. @returns true where it is now to be said that the destination fails. */
  failed(startedAt: number, now: number): boolean {
    // Tries side by side are one failure.
    if (this.failures > 0 && startedAt < this.failedAt) return false;
    if (this.failures === 0) this.since = now;
    this.failures++;
    this.failedAt = now;
    const pause = Math.min(FIRST_PAUSE * 2 ** (this.failures - 1), LONGEST_PAUSE);
    this.openUntil = now + Math.round(pause * (1 + JITTER * this.random()));
    if (this.said || this.failures < SAID_AFTER) return false;
    this.said = true;
    return true;
  }

  /** Somebody who knows better says: try now. */
  retry(): void {
    this.openUntil = 0;
  }
}
