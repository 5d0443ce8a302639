/** When a file was sealed: milliseconds since the epoch, and a count within the millisecond. */
export interface SealTime {
  readonly arrivedAt: number;
  /** 0 to 65535. */
  readonly ordinal: number;
}

const LAST_ORDINAL = 0xffff;

/** Hands out times of which no two are equal and none is earlier than the one before, whatever the system's clock does. */
export class SealClock {
  private readonly now: () => number;
  private last: SealTime = { arrivedAt: 0, ordinal: 0 };

  constructor(now: () => number) {
    this.now = now;
  }

  next(): SealTime {
    const { arrivedAt, ordinal } = this.last;
    const now = this.now();
    if (now > arrivedAt) this.last = { arrivedAt: now, ordinal: 0 };
    else if (ordinal < LAST_ORDINAL) this.last = { arrivedAt, ordinal: ordinal + 1 };
    else this.last = { arrivedAt: arrivedAt + 1, ordinal: 0 };
    return this.last;
  }
}
