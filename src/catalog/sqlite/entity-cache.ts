/** Rows kept between batches: 200 associations work on few entities each. */
const MOST_ENTITIES = 512;
/** A peer can send sequences of a megabyte; many such rows are not kept. In characters, rounded up by changes. */
const MOST_TEXT = 4 * 1024 * 1024;

/**
 * Entities used lately, in two generations: when the younger one is full the older one goes. Trimmed between batches
 * only, so that within one there is never a second copy of a row.
 */
export class EntityCache<T> {
  private young = new Map<string, T>();
  private old = new Map<string, T>();
  private text = 0;

  get(name: string): T | undefined {
    const entry = this.young.get(name);
    if (entry !== undefined) return entry;
    const aged = this.old.get(name);
    if (aged !== undefined) this.young.set(name, aged);
    return aged;
  }

  set(name: string, entry: T, textLength: number): void {
    this.young.set(name, entry);
    this.text += textLength;
  }

  /** Counts text that an entry gained. */
  grow(textLength: number): void {
    this.text += textLength;
  }

  delete(name: string): void {
    this.young.delete(name);
    this.old.delete(name);
  }

  clear(): void {
    this.young.clear();
    this.old.clear();
    this.text = 0;
  }

  trim(): void {
    if (this.young.size < MOST_ENTITIES && this.text < MOST_TEXT) return;
    // Over the limit by size alone the entries themselves are too large to keep a second generation.
    this.old = this.text < MOST_TEXT ? this.young : new Map<string, T>();
    this.young = new Map();
    this.text = 0;
  }
}
