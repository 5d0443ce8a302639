import type { Level } from '../types';
import { LEVELS, type Layout } from './layout';
import type { Segment } from './query-access';
import type { Column } from './query-columns';
import type { SqlCondition } from './query-conditions';
import type { Term } from './query-functions';

/** One table on the way from where the matches are found down to the level asked for. */
export interface Step {
  readonly level: Level;
  readonly texts: StepTexts;
  /** Of the conditions; behind those that say where to read. */
  readonly parameters: readonly (string | number)[];
  /** Rows that are read may not match: how many are read at a time is bounded by where they end. */
  readonly narrow: boolean;
  /** Undefined: the index goes on with row ids. */
  readonly key: string | undefined;
  /** Rows by their ids alone. */
  readonly byRow: boolean;
}

/** A row is its id, its key or null, and the columns of the step. */
export interface StepTexts {
  /** Parameters: id. */
  readonly row: string;
  /** Rows that are equal up to row ids: the equal columns, the key if there is one, after which id, up to which, conditions, limit. */
  readonly run: string;
  /** Rows by key: the equal columns, after which key, before which, conditions, limit. */
  readonly span: string;
  /** The id at which so many rows of a run are read: equal columns, key, after which id, how many less one. */
  readonly runEnd: string;
  /** The key likewise: equal columns, after which key, before which, how many less one. */
  readonly spanEnd: string;
  /** The highest row id. */
  readonly last: string;
  /** How many rows there are, up to a limit: equal columns, from which key, before which, limit. */
  readonly count: string;
}

export interface StepParts {
  readonly layout: Layout;
  readonly segment: Segment;
  readonly conditions: readonly Term[];
  readonly columns: readonly Column[];
  /** The highest table that conditions or columns need. */
  readonly top: Level;
}

export function makeStep({ layout, segment, conditions, columns, top }: StepParts): Step {
  const { level, index, equal, range, partial } = segment;
  const { table } = layout[level];
  const id = `${table}.id`;
  const key = range?.key;
  const source = `${table} ${index === undefined ? 'NOT INDEXED' : `INDEXED BY ${index}`}`;
  const terms = [...segment.terms, ...conditions];
  const select = [id, key ?? 'NULL', ...columns.map((column) => column.text)].join(', ');
  const found = [live(layout, level), ...terms.map((term) => term.text)];
  const where = (...texts: readonly string[]): string => `WHERE ${texts.join(' AND ')}`;
  const is = (column: string): string => `${column} = ?`;
  const alike = [...equal, ...(key === undefined ? [] : [key])].map(is);
  const spanned = [...equal.map(is), ...(key === undefined ? [] : [`${key} > ?`, `${key} < ?`])];
  const counted = [...equal.map(is), ...(key === undefined ? [] : [`${key} >= ?`, `${key} < ?`])];
  const up = upward(layout, level, top);
  return {
    level,
    key,
    byRow: index === undefined,
    narrow: terms.length > 0,
    parameters: terms.flatMap((term) => term.parameters),
    texts: {
      row: `SELECT ${select} FROM ${table}${up} ${where(`${id} = ?`, ...found)}`,
      run: `SELECT ${select} FROM ${source}${up}
        ${where(...alike, `${id} > ?`, `${id} <= ?`, ...partial, ...found)} ORDER BY ${id} LIMIT ?`,
      span: `SELECT ${select} FROM ${source}${up}
        ${where(...spanned, ...partial, ...found)} ORDER BY ${key ?? id}, ${id} LIMIT ?`,
      runEnd: `SELECT ${id} FROM ${source} ${where(...alike, `${id} > ?`, ...partial)} ORDER BY ${id} LIMIT 1 OFFSET ?`,
      spanEnd: `SELECT ${key ?? id} FROM ${source} ${where(...spanned, ...partial)} ORDER BY ${key ?? id} LIMIT 1 OFFSET ?`,
      last: `SELECT max(${id}) FROM ${table}`,
      count: `SELECT count(*) FROM (SELECT 1 FROM ${source} ${where(...counted, ...partial)} LIMIT ?)`,
    },
  };
}

/** CROSS JOIN fixes the order: from the table that is read up to the patients, by row ids. */
function upward(layout: Layout, from: Level, top: Level): string {
  let text = '';
  for (let position = LEVELS.indexOf(from); position > LEVELS.indexOf(top); position--) {
    const lower = layout[LEVELS[position] ?? from];
    const upper = layout[LEVELS[position - 1] ?? top].table;
    text += ` CROSS JOIN ${upper} ON ${upper}.id = ${lower.table}.${lower.parent ?? ''}`;
  }
  return text;
}

/** Entities that hold a current instance. */
function live(layout: Layout, level: Level): string {
  const { table, counted } = layout[level];
  if (level === 'IMAGE') return 'instances.version = 0';
  return `${table}.${counted.find((column) => column.endsWith('RelatedInstances')) ?? ''} > 0`;
}

/** Everything of a level, by row ids. */
export function scanOf(level: Level): Segment {
  return { ...BARE, level, index: undefined };
}

const BARE = { equal: [], values: [], range: undefined, partial: [], terms: [] } as const;

/** What lies below one entity of the level above; the value is its row id. */
export function childrenOf(level: Exclude<Level, 'PATIENT'>): Segment {
  switch (level) {
    case 'STUDY':
      return below(level, 'studies_key', 'studies.patient', 'studies.StudyInstanceUID');
    case 'SERIES':
      return below(level, 'series_key', 'series.study', 'series.SeriesInstanceUID');
    case 'IMAGE':
      return { ...BARE, level, index: 'instances_series', equal: ['instances.series'] };
  }
}

function below(level: Level, index: string, parent: string, key: string): Segment {
  return { ...BARE, level, index, equal: [parent], range: { key, from: '', to: undefined } };
}

/** The conditions of a level, or of those up to it. */
export function termsOf(conditions: readonly SqlCondition[], at: (level: Level) => boolean): Term[] {
  return conditions.filter(({ column }) => at(column.level)).map(({ term }) => term);
}
