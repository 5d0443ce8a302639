import type { EntityQuery, QueryRow } from '../query-types';
import type { Level } from '../types';
import { LEVELS, type Layout } from './layout';
import { accessOf, type Access, type Segment } from './query-access';
import { returnedColumn, type Column } from './query-columns';
import { sqlCondition, type SqlCondition } from './query-conditions';
import { Matchers } from './query-functions';
import { childrenOf, makeStep, scanOf, termsOf, type Step } from './query-steps';

/** A raw row of each step, from the first to the last. */
export type Rows = readonly (readonly unknown[])[];

/** A query, checked and in SQL; which index it starts from is chosen after a look at the data. */
export interface QueryPlan {
  readonly matchers: Matchers;
  /** Undefined where a condition has no index. */
  readonly accesses: readonly Access[];
  /** Starts from one of them, or, undefined, from all rows of a level. */
  way(access: Access | undefined): Way;
}

/** From where matches are found down to the level asked for. */
export interface Way {
  readonly count: number;
  segment(number: number): Segment | undefined;
  steps(segment: Segment): readonly Step[];
  result(rows: Rows): QueryRow;
}

const at = (level: Level): number => LEVELS.indexOf(level);

/** @throws IsocenterError `CATALOG_FILTER` */
export function planQuery(layout: Layout, query: EntityQuery): QueryPlan {
  const matchers = new Matchers();
  const conditions = query.conditions.flatMap(
    (condition) => sqlCondition(layout, query.level, condition, matchers) ?? [],
  );
  const columns = [...new Set(query.columns)].map((keyword) => returnedColumn(layout, query.level, keyword));
  return {
    matchers,
    accesses: conditions.flatMap((condition) => accessOf(condition, matchers) ?? []),
    way: (access) => wayOf(layout, query.level, conditions, columns, access),
  };
}

function wayOf(
  layout: Layout,
  target: Level,
  conditions: readonly SqlCondition[],
  columns: readonly Column[],
  access: Access | undefined,
): Way {
  // Without an index the highest level with a condition: what it rejects takes all below with it.
  const start =
    access?.condition.column.level ??
    highest(
      conditions.map(({ column }) => column.level),
      target,
    );
  const scan = scanOf(start);
  const others = conditions.filter((condition) => condition !== access?.condition);
  const upper = (level: Level): boolean => at(level) <= at(start);
  const top = highest(
    [...columns, ...others.map(({ column }) => column)].map((column) => column.level),
    start,
  );
  const first = columns.filter((column) => upper(column.level));
  const lower = LEVELS.slice(at(start) + 1, at(target) + 1).map((level) => ({
    level: level as Exclude<Level, 'PATIENT'>,
    columns: columns.filter((column) => column.level === level),
  }));
  const below = lower.map(({ level, columns: own }) =>
    makeStep({
      layout,
      segment: childrenOf(level),
      conditions: termsOf(others, (one) => one === level),
      columns: own,
      top: level,
    }),
  );
  const made = new Map<string, Step>();
  const places = columns.map((column) => {
    const step = upper(column.level) ? 0 : at(column.level) - at(start);
    const own = step === 0 ? first : (lower[step - 1]?.columns ?? []);
    return { keyword: column.keyword, step, position: FIRST_COLUMN + own.indexOf(column) };
  });
  return {
    count: access?.count ?? 1,
    segment: (number) => (access === undefined ? (number === 0 ? scan : undefined) : access.segment(number)),
    steps: (segment) => {
      // A list of thousands of values has as many segments, and two or three texts.
      const shape = `${segment.index ?? ''} ${segment.range === undefined ? 'run' : 'span'} ${segment.terms.length}`;
      const known = made.get(shape);
      if (known !== undefined && segment.terms.length === 0) return [known, ...below];
      const step = makeStep({ layout, segment, conditions: termsOf(others, upper), columns: first, top });
      made.set(shape, step);
      return [step, ...below];
    },
    result: (rows) => {
      const row: Record<string, QueryRow[string]> = {};
      for (const { keyword, step, position } of places)
        row[keyword] = (rows[step]?.[position] ?? null) as QueryRow[string];
      return row;
    },
  };
}

/** Behind the row id and the key. */
const FIRST_COLUMN = 2;

function highest(levels: readonly Level[], none: Level): Level {
  const positions = levels.map(at);
  return LEVELS[Math.min(...positions, at(none))] ?? none;
}
