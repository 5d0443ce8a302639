/** Associations with a destination, for some time. */
export interface Turn {
  /** How many. */
  readonly associations: number;
  /** Others wait for theirs. */
  readonly contested: boolean;
  /** Gives them back. Idempotent. */
  end(): void;
}

interface Line {
  limit: number;
  taken: number;
  readonly waiting: ((turn: Turn) => void)[];
}

/**
 * Shares the associations that a destination is allowed among the operations that want some: whoever comes first gets all that are free, less
 * what others wait for; whoever has a turn that is contested is to end it soon, and get in line again.
 */
export class DestinationTurns {
  private readonly lines = new Map<string, Line>();

  /** In the order of the calls. Undefined where `signal` is aborted first. */
  take(destination: string, limit: number, signal: AbortSignal): Promise<Turn | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    const line = this.lines.get(destination) ?? { limit, taken: 0, waiting: [] };
    line.limit = limit;
    this.lines.set(destination, line);
    return new Promise((resolve) => {
      const given = (turn: Turn): void => {
        signal.removeEventListener('abort', cancel);
        resolve(turn);
      };
      const cancel = (): void => {
        line.waiting.splice(line.waiting.indexOf(given), 1);
        this.forget(destination, line);
        resolve(undefined);
      };
      signal.addEventListener('abort', cancel, { once: true });
      line.waiting.push(given);
      this.serve(destination, line);
    });
  }

  private serve(destination: string, line: Line): void {
    while (line.waiting.length > 0 && line.taken < line.limit) {
      const associations = Math.max(1, Math.floor((line.limit - line.taken) / line.waiting.length));
      const given = line.waiting.shift();
      line.taken += associations;
      let ended = false;
      given?.({
        associations,
        get contested() {
          return line.waiting.length > 0;
        },
        end: () => {
          if (ended) return;
          ended = true;
          line.taken -= associations;
          this.serve(destination, line);
          this.forget(destination, line);
        },
      });
    }
  }

  private forget(destination: string, line: Line): void {
    if (line.taken === 0 && line.waiting.length === 0 && this.lines.get(destination) === line)
      this.lines.delete(destination);
  }
}
