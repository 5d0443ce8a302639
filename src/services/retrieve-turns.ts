/** Associations with a destination, for some time. */
export interface Turn {
  /** How many. */
  readonly associations: number;
  /** Others wait for theirs. */
  readonly contested: boolean;
  /** The shortest time in which an association with this destination was opened, in milliseconds. */
  readonly opening: number | undefined;
  /** An association was opened in so many milliseconds. */
  opened(milliseconds: number): void;
  /** Gives them back. Idempotent. */
  end(): void;
}

/** What an operation has had of a destination so far, all its turns together; undefined before the first. */
export interface Account {
  served: number | undefined;
}

/** Operations that come so many milliseconds after the first one on an idle destination have begun together with it: they are to end together. */
const TOGETHER = 1000;

interface Waiter {
  readonly account: Account;
  readonly give: (turn: Turn) => void;
}

interface Line {
  /** When the destination ceased to be idle. */
  readonly since: number;
  limit: number;
  taken: number;
  opening: number | undefined;
  /** In the order in which they came. */
  readonly waiting: Waiter[];
  readonly holding: Set<Account>;
}

/**
 * Shares the associations that a destination is allowed among the operations that want some. Of those that wait the one that has had least is
 * next; it gets all that are free, less what others wait for. Whoever has a turn that is contested is to end it soon, and get in line again.
 */
export class DestinationTurns {
  private readonly lines = new Map<string, Line>();
  private readonly now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  /**
   * Undefined where `signal` is aborted first.
   * @param account Its first turn: it begins with as much as the one that has had least, so that it neither waits for those that are far ahead nor
   * overtakes them all. Without one: behind all that are there.
   */
  take(
    destination: string,
    limit: number,
    signal: AbortSignal,
    account?: Account,
  ): Promise<Turn | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    const line = this.lines.get(destination) ?? {
      since: this.now(),
      limit,
      taken: 0,
      opening: undefined,
      waiting: [],
      holding: new Set(),
    };
    line.limit = limit;
    this.lines.set(destination, line);
    return new Promise((resolve) => {
      const waiter: Waiter = {
        account: entered(line, account, this.now()),
        give: (turn) => {
          signal.removeEventListener('abort', cancel);
          resolve(turn);
        },
      };
      const cancel = (): void => {
        line.waiting.splice(line.waiting.indexOf(waiter), 1);
        this.forget(destination, line);
        resolve(undefined);
      };
      signal.addEventListener('abort', cancel, { once: true });
      line.waiting.push(waiter);
      this.serve(destination, line);
    });
  }

  private serve(destination: string, line: Line): void {
    while (line.taken < line.limit) {
      const next = leastServed(line.waiting);
      if (next === undefined) return;
      const associations = Math.max(1, Math.floor((line.limit - line.taken) / line.waiting.length));
      line.waiting.splice(line.waiting.indexOf(next), 1);
      line.holding.add(next.account);
      line.taken += associations;
      let ended = false;
      next.give({
        associations,
        get contested() {
          return line.waiting.length > 0;
        },
        get opening() {
          return line.opening;
        },
        opened: (milliseconds) => {
          line.opening = Math.min(line.opening ?? Infinity, milliseconds);
        },
        end: () => {
          if (ended) return;
          ended = true;
          line.taken -= associations;
          line.holding.delete(next.account);
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

function entered({ since, waiting, holding }: Line, account: Account | undefined, now: number): Account {
  if (account?.served !== undefined) return account;
  const others = [...waiting.map((one) => one.account), ...holding].map(servedOf);
  if (account === undefined) return { served: Math.max(0, ...others) };
  account.served = others.length === 0 || now - since < TOGETHER ? 0 : Math.min(...others);
  return account;
}

function leastServed(waiting: readonly Waiter[]): Waiter | undefined {
  let least = waiting[0];
  for (const one of waiting)
    if (least !== undefined && servedOf(one.account) < servedOf(least.account)) least = one;
  return least;
}

function servedOf({ served = 0 }: Account): number {
  return served;
}
