import type Database from 'better-sqlite3';
import { badCursor, type Position } from './cursor';
import type { KeyRange } from './query-access';
import type { Step } from './query-steps';

/** Row id, key or null, columns. */
export type Row = readonly [id: number, key: string | null, ...columns: unknown[]];

/** Comes behind every text in SQLite's order. */
export const END = Buffer.alloc(0);

/** Rows that one statement looks at, however quick it was so far. */
const MOST_LOOKED_AT = 8_192;

/** Rows that one statement answers. */
const MOST_ROWS = 500;

/** How many rows a statement may look at, so that it takes a millisecond or two; learnt while a page is read. */
export class Pace {
  rows: number;
  private readonly now: () => number;

  constructor(now: () => number, rows: number) {
    this.now = now;
    this.rows = rows;
  }

  keep<T>(read: () => T): T {
    const started = this.now();
    const result = read();
    const elapsed = this.now() - started;
    if (elapsed < 1) this.rows = Math.min(MOST_LOOKED_AT, this.rows * 2);
    else if (elapsed > 2) this.rows = Math.max(1, this.rows >> 1);
    return result;
  }
}

export interface WalkParts {
  readonly statement: (text: string) => Database.Statement;
  readonly pace: Pace;
}

/**
 * Rows of one step in the order of its index, behind a place that moves on. By plain comparisons alone, so that SQLite always begins
 * where it left off: first the rest of a run of equal keys, by row ids, then the keys behind it.
 */
export class Walk {
  private readonly parts: WalkParts;
  private readonly step: Step;
  private readonly values: readonly (string | number)[];
  private readonly range: KeyRange | undefined;
  private key: string;
  /** Undefined: behind the whole run of the key. */
  private id: number | undefined;
  private last: number | undefined;

  /** @throws IsocenterError `CATALOG_CURSOR` for a position that is none of this walk. */
  constructor(
    parts: WalkParts,
    step: Step,
    values: readonly (string | number)[],
    range: KeyRange | undefined,
    resumed: Position | undefined,
  ) {
    this.parts = parts;
    this.step = step;
    this.values = values;
    this.range = range;
    const fresh: Position = range === undefined ? [0] : range.from === '' ? [''] : [range.from, 0];
    const position = resumed ?? fresh;
    const [first, second] = position;
    if ((range === undefined) !== (typeof first === 'number')) throw badCursor();
    this.key = typeof first === 'string' ? first : '';
    this.id = typeof first === 'number' ? first : second;
  }

  /** Behind the last row. */
  get position(): Position {
    if (this.range === undefined) return [this.id ?? 0];
    return this.id === undefined ? [this.key] : [this.key, this.id];
  }

  positionOf([id, key]: Row): Position {
    return this.range === undefined ? [id] : [key ?? '', id];
  }

  /** The row at the position, if it is still there and matches. */
  openRow(): Row | undefined {
    if (this.id === undefined) return undefined;
    return this.statement(this.step.texts.row).get(this.id, ...this.step.parameters) as Row | undefined;
  }

  /** Some of the next rows, perhaps none; `done`: there are no more. */
  next(wanted: number): { readonly rows: readonly Row[]; readonly done: boolean } {
    const limit = Math.min(wanted, MOST_ROWS);
    if (this.id === undefined) return this.span(limit, this.range ?? { key: '', from: '', to: undefined });
    const values = this.range === undefined ? this.values : [...this.values, this.key];
    const found = this.run(limit, this.id, values);
    if (!found.done || this.range === undefined) return found;
    this.id = undefined;
    return { rows: found.rows, done: false };
  }

  private run(limit: number, after: number, values: readonly (string | number)[]): ReturnType<Walk['next']> {
    const { texts, narrow } = this.step;
    const end = narrow ? this.runEnd(after, values) : undefined;
    const upTo = end ?? Number.MAX_SAFE_INTEGER;
    const rows = this.read(texts.run, [...values, after, upTo], limit);
    const full = rows.length >= limit;
    this.id = full ? rows.at(-1)?.[0] : upTo;
    return { rows, done: !full && end === undefined };
  }

  private runEnd(after: number, values: readonly (string | number)[]): number | undefined {
    const { rows } = this.parts.pace;
    const { texts, byRow } = this.step;
    if (!byRow) return this.end(texts.runEnd, [...values, after, rows - 1]) as number | undefined;
    // Row ids leave few gaps, and rows are long: counting is cheaper than walking.
    this.last ??= Number(this.end(texts.last, []) ?? 0);
    return after + rows < this.last ? after + rows : undefined;
  }

  private span(
    limit: number,
    { to = END }: { readonly to?: string | Buffer | undefined },
  ): ReturnType<Walk['next']> {
    const { texts, narrow } = this.step;
    const after = [...this.values, this.key];
    const end = narrow
      ? (this.end(texts.spanEnd, [...after, to, this.parts.pace.rows - 1]) as string | undefined)
      : undefined;
    const rows = this.read(texts.span, [...after, end ?? to], limit);
    const last = rows.at(-1);
    if (last !== undefined && rows.length >= limit) {
      this.key = last[1] ?? '';
      this.id = last[0];
      return { rows, done: false };
    }
    if (end === undefined) return { rows, done: true };
    this.key = end;
    this.id = 0;
    return { rows, done: false };
  }

  private read(text: string, place: readonly (string | number | Buffer)[], limit: number): Row[] {
    const statement = this.statement(text);
    const all = (): Row[] => statement.all(...place, ...this.step.parameters, limit) as Row[];
    return this.step.narrow ? this.parts.pace.keep(all) : all();
  }

  private end(text: string, parameters: readonly (string | number | Buffer)[]): unknown {
    return (this.statement(text).get(...parameters) as [unknown] | undefined)?.[0];
  }

  private statement(text: string): Database.Statement {
    return this.parts.statement(text).raw();
  }
}
