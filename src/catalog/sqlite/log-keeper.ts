/** From here on the maintenance thread copies the log: 16 MiB, so that its two fsyncs are paid once in thousands of records. */
const CHECKPOINT_AT = 4_000;

/**
 * From here on the writer itself finishes the copy between two batches. Under a load without pauses the thread beside it
 * never meets a moment when all is copied, and the log would grow for ever. By then little is left to do. 64 MiB.
 */
const RESTART_AT = 16_000;

export interface LogKeeperParts {
  /** On the maintenance thread. */
  readonly checkpoint: () => Promise<void>;
  /** On the writer. */
  readonly restart: () => Promise<void>;
}

/** Decides when the write-ahead log is copied into the database and by whom. */
export class LogKeeper {
  private readonly parts: LogKeeperParts;
  private running: Promise<void> | undefined;
  /** Log length at which the next copy is worth it. */
  private next = CHECKPOINT_AT;

  constructor(parts: LogKeeperParts) {
    this.parts = parts;
  }

  /** @param pages length of the log, copied pages included: it starts anew only when all of them are. */
  look(pages: number): void {
    if (pages < CHECKPOINT_AT) this.next = CHECKPOINT_AT;
    if (this.running !== undefined || pages < this.next) return;
    this.next = pages + CHECKPOINT_AT;
    this.running = this.copy(pages)
      // A copy that failed is done by the next one, or by `close`; the commits it would have copied are safe in the log.
      .catch(() => undefined)
      .finally(() => (this.running = undefined));
  }

  async idle(): Promise<void> {
    await this.running;
  }

  private async copy(pages: number): Promise<void> {
    await this.parts.checkpoint();
    if (pages >= RESTART_AT) await this.parts.restart();
  }
}
