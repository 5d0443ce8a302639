import { dateOf } from '../match';
import { behind } from '../pattern';
import type { Match } from '../query-types';
import type { Level } from '../types';
import { isSeveral, solePattern, type SqlCondition } from './query-conditions';
import { nameAccess } from './query-access-names';
import type { Matchers, Term } from './query-functions';

/** One run through an index, or through the rows of a table; in the order of the key and of row ids. */
export interface Segment {
  readonly level: Level;
  /** Undefined: rows by their ids. */
  readonly index: string | undefined;
  /** Columns that have one value each, in the order of the index. */
  readonly equal: readonly string[];
  readonly values: readonly (string | number)[];
  /** The column that the index goes on with, and between which of its values; undefined: row ids follow. */
  readonly range: KeyRange | undefined;
  /** Nothing that depends on a parameter: what a partial index says of its rows. */
  readonly partial: readonly string[];
  /** What is left of the condition. */
  readonly terms: readonly Term[];
}

export interface KeyRange {
  readonly key: string;
  /** Inclusive. */
  readonly from: string;
  /** Exclusive; undefined: to the end. */
  readonly to: string | undefined;
}

/** How an index finds every match of one condition: disjoint segments, to be run through one after the other. */
export interface Access {
  readonly condition: SqlCondition;
  readonly count: number;
  segment(number: number): Segment | undefined;
  /** Rows expected, as far as the key tells; undefined: to be counted. */
  readonly cost: number | undefined;
  /** The whole index is read: cheaper than the rows, no more. */
  readonly whole: boolean;
}

export interface Index {
  readonly index: string;
  /** Rows below one key, roughly. */
  readonly weight?: number;
  readonly partial?: readonly string[];
  /** Index of the rows with several values, where there may be such. */
  readonly several?: string;
}

const INDEXES: Readonly<Record<string, Index>> = {
  SOPInstanceUID: { index: 'instances_key', weight: 1, partial: ['instances.version = 0'] },
  SeriesInstanceUID: { index: 'series_SeriesInstanceUID', weight: 2 },
  StudyInstanceUID: { index: 'studies_StudyInstanceUID', weight: 3 },
  AccessionNumber: {
    index: 'studies_AccessionNumber',
    weight: 4,
    partial: ['studies.AccessionNumber IS NOT NULL'],
    several: 'studies_AccessionNumber_several',
  },
  PatientID: { index: 'patients_PatientID', weight: 5, several: 'patients_PatientID_several' },
  StudyDate: { index: 'studies_StudyDate', several: 'studies_StudyDate_several' },
};

/** Undefined where no index serves a condition. */
export function accessOf(condition: SqlCondition, matchers: Matchers): Access | undefined {
  const { column, match } = condition;
  if (column.keyword === 'PatientName') return nameAccess(condition, matchers);
  const index = Object.hasOwn(INDEXES, column.keyword) ? INDEXES[column.keyword] : undefined;
  if (index === undefined) return undefined;
  if (column.vr === 'DA') return dateAccess(condition, index);
  if (match.kind === 'values') {
    return listed(condition, index, [...new Set(match.values)], index.weight);
  }
  const pattern = solePattern(match);
  if (pattern === undefined) return undefined;
  const range = { key: column.text, from: pattern.fixed, to: behind(pattern.fixed) };
  if (pattern.fixed === '')
    return together(condition, [segment(condition, index, { range, terms: [condition.term] })], true);
  return together(condition, [
    segment(condition, index, { range, terms: [condition.term, ...notSeveral(condition)] }),
    ...severalSegment(condition, index),
  ]);
}

/** One segment for each value, made when its turn comes: a list may hold thousands. */
function listed(
  condition: SqlCondition,
  index: Index,
  values: readonly string[],
  weight: number | undefined,
): Access {
  const rest = severalSegment(condition, index);
  return {
    condition,
    count: values.length + rest.length,
    segment: (number) => {
      const value = values[number];
      if (value === undefined) return rest[number - values.length];
      return segment(condition, index, { equal: [condition.column.text], values: [value] });
    },
    cost: weight === undefined ? undefined : weight * values.length,
    whole: false,
  };
}

export function together(condition: SqlCondition, segments: readonly Segment[], whole = false): Access {
  return {
    condition,
    count: segments.length,
    segment: (number) => segments[number],
    cost: undefined,
    whole,
  };
}

export function segment(condition: SqlCondition, { index, partial }: Index, more: Partial<Segment>): Segment {
  return {
    level: condition.column.level,
    index,
    equal: [],
    values: [],
    range: undefined,
    partial: partial ?? [],
    terms: [],
    ...more,
  };
}

function notSeveral({ column }: SqlCondition): Term[] {
  return isSeveral(column) ? [{ text: `instr(${column.text}, '\\') = 0`, parameters: [] }] : [];
}

/** Rows with several values, of which there are next to none: a list of them all is looked through. */
export function severalSegment(condition: SqlCondition, { several }: Pick<Index, 'several'>): Segment[] {
  const { text } = condition.column;
  if (several === undefined) return [];
  return [
    segment(
      condition,
      { index: several, partial: [`instr(${text}, '\\') > 0`] },
      { range: { key: text, from: '', to: undefined }, terms: [condition.call] },
    ),
  ];
}

/** Both forms of a date, and the few rows with several (PS3.5 6.2 DA). */
function dateAccess(condition: SqlCondition, index: Index): Access | undefined {
  const { column, match, term } = condition;
  if (match.kind === 'values') {
    const values = match.values.flatMap((value) => {
      const date = dateOf(value);
      return date === undefined ? [value] : [date, dotted(date)];
    });
    return listed(condition, index, [...new Set(values)], undefined);
  }
  const days = daysOf(match);
  if (days === undefined) return undefined;
  const { from, to } = days;
  const key = column.text;
  const oneForm = (form: (date: string) => string, shape: string): Segment =>
    segment(condition, index, {
      range: {
        key,
        from: from === undefined ? '0' : form(from),
        to: to === undefined ? behind('9') : behind(form(to)),
      },
      terms: [term, { text: `${key} ${shape}`, parameters: [] }],
    });
  return together(condition, [
    oneForm((date) => date, "NOT GLOB '*[^0-9]*'"),
    oneForm(dotted, "GLOB '????.??.??'"),
    ...severalSegment(condition, index),
  ]);
}

function dotted(date: string): string {
  return `${date.slice(0, 4)}.${date.slice(4, 6)}.${date.slice(6)}`;
}

interface Days {
  readonly from: string | undefined;
  readonly to: string | undefined;
}

function daysOf(match: Match): Days | undefined {
  if (match.kind !== 'range' && match.kind !== 'dateTime') return undefined;
  const [from, to] = [match.from?.slice(0, 8), match.to?.slice(0, 8)];
  const complete = [from, to].every((bound) => bound === undefined || /^\d{8}$/.test(bound));
  return complete ? { from, to } : undefined;
}
