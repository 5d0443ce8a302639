/** One at a time for each key: whoever comes for one that is taken waits. */
export class Turns {
  private readonly taken = new Map<string, { readonly waiting: (() => void)[] }>();

  /** Resolves when the key is free, and takes it; undefined where it is free now. Whoever has it calls `end`. */
  begin(key: string): Promise<void> | undefined {
    const holder = this.taken.get(key);
    if (holder !== undefined) return new Promise((resolve) => holder.waiting.push(resolve));
    this.taken.set(key, { waiting: [] });
    return undefined;
  }

  /** Hands the key to the one that waits longest. */
  end(key: string): void {
    const next = this.taken.get(key)?.waiting.shift();
    if (next === undefined) this.taken.delete(key);
    else next();
  }
}
