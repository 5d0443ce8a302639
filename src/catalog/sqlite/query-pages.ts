import type Database from 'better-sqlite3';
import type { EntityQuery, QueryPage, QueryRow } from '../query-types';
import { badCursor, readPlace, writePlace, type Place, type Position } from './cursor';
import type { Layout } from './layout';
import type { Access } from './query-access';
import type { Matchers } from './query-functions';
import { planQuery, type QueryPlan, type Way } from './query-plan';
import { makeStep, type Step } from './query-steps';
import { END, Pace, Walk, type Row, type WalkParts } from './query-walk';

/** How long a call may take before it hands over what it has, in milliseconds. Single statements are cut to a part of it. */
const SLICE = 6;

/** Rows of upper levels that are read ahead. */
const READ_AHEAD = 50;

/** Beyond so many rows one index is as bad as another. */
const MOST_COUNTED = 2_000;
/** Keys of a list that are counted; the rest is taken to be like them. */
const MOST_COUNTED_KEYS = 20;
/** A key that is expected to lead to fewer rows is taken without a look at others. */
const FEW = 50;

export interface QueryParts {
  readonly layout: Layout;
  readonly statement: (text: string) => Database.Statement;
  /** Makes the matchers of a query those that SQL calls. */
  readonly present: (matchers: Matchers) => void;
  /** Milliseconds. */
  readonly now: () => number;
  /** How many rows the first statement of a page may look at; it learns from there. */
  readonly window: number;
}

/** Answers one page of a query. */
export function queryPage(
  parts: QueryParts,
  query: EntityQuery,
  limit: number,
  after: string | undefined,
): QueryPage {
  const plan = planQuery(parts.layout, query);
  parts.present(plan.matchers);
  const place = after === undefined ? undefined : readPlace(after);
  const number = place?.access ?? chooseAccess(parts, plan);
  const access = plan.accesses[number];
  if (number >= 0 && access === undefined) throw badCursor();
  return new Page(parts, plan.way(access), limit, number).read(place);
}

/** The index that leaves the fewest rows; -1 for none. */
function chooseAccess(parts: QueryParts, { accesses }: QueryPlan): number {
  const best = { number: -1, cost: Infinity };
  const consider = (number: number, cost: number): void => {
    if (cost < best.cost) Object.assign(best, { number, cost });
  };
  for (const [number, { cost }] of accesses.entries()) if (cost !== undefined) consider(number, cost);
  if (best.cost <= FEW) return best.number;
  const ranges = [...accesses.entries()].filter(([, { cost, whole }]) => cost === undefined && !whole);
  const [only] = ranges;
  if (best.number < 0 && only !== undefined && ranges.length === 1) return only[0];
  for (const [number, access] of ranges) consider(number, countRows(parts, access));
  if (best.number >= 0) return best.number;
  return accesses.findIndex(({ whole }) => whole);
}

function countRows({ layout, statement }: QueryParts, access: Access): number {
  let rows = 0;
  const counted = Math.min(access.count, MOST_COUNTED_KEYS);
  for (let number = 0; number < counted && rows < MOST_COUNTED; number++) {
    const segment = access.segment(number);
    if (segment === undefined) break;
    const { level, range, values } = segment;
    const { texts } = makeStep({ layout, segment, conditions: [], columns: [], top: level });
    const bounds = range === undefined ? [] : [range.from, range.to ?? END];
    rows += Number(
      statement(texts.count)
        .pluck()
        .get(...values, ...bounds, MOST_COUNTED),
    );
  }
  return rows * (access.count / counted);
}

/** Walks on until there are enough rows, or the time is up. */
class Page {
  private readonly parts: WalkParts;
  private readonly now: () => number;
  private readonly way: Way;
  private readonly limit: number;
  private readonly access: number;
  private readonly until: number;
  private readonly rows: QueryRow[] = [];
  /** The row of each step that is open, and how far the last one has come. */
  private readonly open: Row[] = [];
  private readonly path: Position[] = [];

  constructor(parts: QueryParts, way: Way, limit: number, access: number) {
    this.parts = { statement: parts.statement, pace: new Pace(parts.now, parts.window) };
    this.now = parts.now;
    this.way = way;
    this.limit = limit;
    this.access = access;
    this.until = parts.now() + SLICE;
  }

  read(place: Place | undefined): QueryPage {
    const { count } = this.way;
    for (let number = place?.segment ?? 0; number < count; number++) {
      const segment = this.way.segment(number);
      const resumed = number === place?.segment ? place.path : [];
      const steps = segment === undefined ? [] : this.way.steps(segment);
      const [first] = steps;
      if (segment === undefined || first === undefined || resumed.length > steps.length) throw badCursor();
      const walk = new Walk(this.parts, first, segment.values, segment.range, resumed[0]);
      if (!this.walk(walk, steps, 0, resumed)) return this.upTo(number, this.path);
      if (this.isOver() && number + 1 < count) return this.upTo(number + 1, []);
    }
    if (place !== undefined && place.segment >= count) throw badCursor();
    return { rows: this.rows, next: undefined };
  }

  private upTo(segment: number, path: readonly Position[]): QueryPage {
    return { rows: this.rows, next: writePlace({ access: this.access, segment, path }) };
  }

  private isOver(): boolean {
    return this.rows.length >= this.limit || this.now() >= this.until;
  }

  /** @returns whether there is nothing more to come; otherwise `path` tells where it stopped. */
  private walk(walk: Walk, steps: readonly Step[], depth: number, resumed: readonly Position[]): boolean {
    const leaf = depth === steps.length - 1;
    if (resumed.length > depth + 1) {
      // It may be gone since, or match no more.
      const row = walk.openRow();
      if (row !== undefined) {
        this.path[depth] = walk.position;
        if (!this.descend(row, steps, depth, resumed)) return false;
        if (this.isOver()) return this.stop(depth, walk.position);
      }
    }
    for (;;) {
      const { rows, done } = walk.next(leaf ? this.limit - this.rows.length : READ_AHEAD);
      for (const row of rows) {
        if (leaf) {
          this.open[depth] = row;
          this.rows.push(this.way.result(this.open));
          continue;
        }
        this.path[depth] = walk.positionOf(row);
        if (!this.descend(row, steps, depth, [])) return false;
        if (this.isOver()) return this.stop(depth, walk.positionOf(row));
      }
      if (done) return true;
      if (this.isOver()) return this.stop(depth, walk.position);
    }
  }

  private descend(row: Row, steps: readonly Step[], depth: number, resumed: readonly Position[]): boolean {
    const step = steps[depth + 1];
    if (step === undefined) return true;
    this.open[depth] = row;
    const range = step.key === undefined ? undefined : { key: step.key, from: '', to: undefined };
    const walk = new Walk(this.parts, step, [row[0]], range, resumed[depth + 1]);
    return this.walk(walk, steps, depth + 1, resumed);
  }

  private stop(depth: number, position: Position): false {
    this.path[depth] = position;
    this.path.length = depth + 1;
    return false;
  }
}
