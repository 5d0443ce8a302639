import type { Association } from '../net/types';

/** Unread bytes of data sets at which the socket is paused, and at which it is read again, for each association. */
const HIGH_WATER = 1024 * 1024;
const LOW_WATER = 256 * 1024;

/**
 * Decides whether an association's socket is read. Two reasons stop it: bytes that nobody has fetched yet, and a user
 * that has enough to do (`hold`).
 */
export class ReadGate {
  private readonly association: Pick<Association, 'pause' | 'resume'>;
  private unread = 0;
  private held = false;
  private paused = false;

  constructor(association: Pick<Association, 'pause' | 'resume'>) {
    this.association = association;
  }

  added(bytes: number): void {
    this.unread += bytes;
    if (this.unread >= HIGH_WATER) this.update();
  }

  removed(bytes: number): void {
    this.unread -= bytes;
    if (this.paused) this.update();
  }

  hold(held: boolean): void {
    if (held === this.held) return;
    this.held = held;
    this.update();
  }

  private update(): void {
    const pause = this.held || this.unread >= (this.paused ? LOW_WATER + 1 : HIGH_WATER);
    if (pause === this.paused) return;
    this.paused = pause;
    if (pause) this.association.pause();
    else this.association.resume();
  }
}
