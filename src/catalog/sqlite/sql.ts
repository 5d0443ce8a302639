import { EXIT, IsocenterError } from '../../errors';
import { foldPersonName } from '../../dicom/person-name';
import type { FindFilter, Level } from '../types';
import { LEVELS, SETS, isNumeric, type Layout } from './layout';

/** SQL text and what is bound to it. Column names come from the layout, everything else is a parameter. */
export interface Query {
  readonly text: string;
  readonly parameters: readonly (string | number)[];
}

/** Longest key of a filter in characters: far above any value, below what SQLite takes for a pattern. */
const LONGEST_KEY = 1024;

/** Greater than every string that continues a prefix. */
const LAST_CHARACTER = '\u{10FFFF}';

/** A `InstanceLocation`, to be continued with WHERE. */
export function locationSelect(): string {
  return `SELECT instances.arrivalId, instances.SOPClassUID, instances.SOPInstanceUID, studies.StudyInstanceUID,
    series.SeriesInstanceUID, instances.TransferSyntaxUID, instances.dataSetOffset, instances.dataSetLength,
    instances.sha256, CASE instances.version WHEN 0 THEN 'current' ELSE 'version' END AS state, instances.damaged
    FROM instances CROSS JOIN series ON series.id = instances.series CROSS JOIN studies ON studies.id = series.study`;
}

interface Condition {
  readonly level: Level;
  readonly text: string;
  readonly parameters: readonly (string | number)[];
  /** How few rows its index leaves, lower is fewer; undefined where no index serves it. */
  readonly rank: number | undefined;
}

/**
 * One page of `Catalog.find`, in the order of row ids, which never change: `after` resumes behind the last one. The
 * table with the most selective indexed key is read first, the others hang on it by their keys.
 * @throws IsocenterError `CATALOG_FILTER` for a keyword that has no column at this level or above, or a key that is too long.
 */
export function findQuery(layout: Layout, filter: FindFilter, after: number, limit: number): Query {
  const levels = LEVELS.slice(0, LEVELS.indexOf(filter.level) + 1);
  const conditions = Object.entries(filter.keys).flatMap(([keyword, key]) =>
    condition(layout, levels, keyword, key),
  );
  const ranked = conditions.filter((one) => one.rank !== undefined);
  ranked.sort((a, b) => (a.rank ?? 0) - (b.rank ?? 0));
  const start = ranked[0]?.level ?? filter.level;
  const target = layout[filter.level].table;
  // With an index to read, the plus keeps SQLite from walking the whole table in the order of ids instead.
  const id = ranked.length > 0 ? `+${target}.id` : `${target}.id`;
  const live =
    filter.level === 'IMAGE'
      ? 'instances.version = 0'
      : `${target}.${instanceCounter(layout, filter.level)} > 0`;
  const where = [`${id} > ?`, live, ...conditions.map((one) => one.text)];
  return {
    text: `SELECT ${target}.id AS id, ${selected(layout, levels)} FROM ${joined(layout, levels, start)}
      WHERE ${where.join(' AND ')} ORDER BY ${id} LIMIT ?`,
    parameters: [after, ...conditions.flatMap((one) => one.parameters), limit],
  };
}

function instanceCounter(layout: Layout, level: Level): string {
  return layout[level].counted.find((column) => column.endsWith('RelatedInstances')) ?? '';
}

function selected(layout: Layout, levels: readonly Level[]): string {
  return levels
    .flatMap((level) => {
      const { table, counted, attributes } = layout[level];
      const columns = [...attributes.map(({ keyword }) => keyword), ...counted];
      const transferSyntax =
        level === 'IMAGE' ? ['instances.TransferSyntaxUID AS AvailableTransferSyntaxUID'] : [];
      return [...columns.map((column) => `${table}.${column} AS ${column}`), ...transferSyntax];
    })
    .join(', ');
}

/** CROSS JOIN fixes the order: from the starting table down to the one asked for, then up to the patients. */
function joined(layout: Layout, levels: readonly Level[], start: Level): string {
  const index = levels.indexOf(start);
  let text = layout[start].table;
  for (const [position, level] of levels.entries()) {
    const upper = levels[position - 1];
    if (position <= index || upper === undefined) continue;
    const { table, parent } = layout[level];
    text += ` CROSS JOIN ${table} ON ${table}.${parent ?? ''} = ${layout[upper].table}.id`;
  }
  for (let position = index; position > 0; position--) {
    const lower = layout[levels[position] ?? start];
    const upper = layout[levels[position - 1] ?? start].table;
    text += ` CROSS JOIN ${upper} ON ${upper}.id = ${lower.table}.${lower.parent ?? ''}`;
  }
  return text;
}

/** Ranks of what an index serves: exact key, and the beginning of a pattern or a range. */
const INDEXED: Readonly<Record<string, readonly [exact: number, range: number]>> = {
  SOPInstanceUID: [0, 6],
  SeriesInstanceUID: [1, 6],
  StudyInstanceUID: [2, 6],
  AccessionNumber: [3, 6],
  PatientID: [3, 6],
  PatientName: [4, 5],
  StudyDate: [5, 7],
};

function condition(layout: Layout, levels: readonly Level[], keyword: string, key: string): Condition[] {
  if (key.length > LONGEST_KEY) throw unusable(keyword, `is longer than ${LONGEST_KEY} characters`);
  for (const level of levels) {
    const { table, attributes, counted, names } = layout[level];
    const position = attributes.findIndex((one) => one.keyword === keyword);
    const attribute = attributes[position];
    const isCounted = counted.includes(keyword);
    const isSyntax = level === 'IMAGE' && keyword === 'AvailableTransferSyntaxUID';
    if (attribute === undefined && !isCounted && !isSyntax) continue;
    if (/^\**$/.test(key)) return [];
    const column = `${table}.${isSyntax ? 'TransferSyntaxUID' : keyword}`;
    if ((SETS as readonly string[]).includes(keyword)) return [inSet(level, column, key)];
    if (isCounted || (attribute !== undefined && isNumeric(attribute))) return [numeric(level, column, key)];
    const name = names.find((one) => one.position === position);
    const ranks = INDEXED[keyword];
    if (name !== undefined) {
      return [
        personName(
          level,
          name.columns.map((one) => `${table}.${one}`),
          key,
          ranks,
        ),
      ];
    }
    const range = attribute?.vr === 'DA' ? /^(\d*)-(\d*)$/.exec(key) : null;
    if (range !== null) return [dateRange(level, column, range[1] ?? '', range[2] ?? '', ranks)];
    const text = matches(column, key);
    return [{ level, ...text, rank: rankOf(key, ranks) }];
  }
  throw unusable(keyword, `can't be asked for at level ${levels.at(-1) ?? ''}`);
}

function unusable(keyword: string, why: string): IsocenterError {
  // The keyword may be anything that was typed; the key may be a patient's name.
  const shown = /^\w{1,64}$/.test(keyword) ? keyword : 'A keyword';
  return new IsocenterError('CATALOG_FILTER', `${shown} ${why}`, {
    exitCode: EXIT.usage,
    hint: 'the conformance statement lists the keys of each level',
  });
}

function rankOf(key: string, ranks: readonly [number, number] | undefined): number | undefined {
  if (ranks === undefined) return undefined;
  if (!/[*?]/.test(key)) return ranks[0];
  return /^[*?]/.test(key) ? undefined : ranks[1];
}

/** Exact, or by `*` and `?` (PS3.4 C.2.2.2.4) with the fixed beginning as a range that an index can serve. */
function matches(column: string, key: string): Pick<Condition, 'text' | 'parameters'> {
  const fixed = /^[^*?]*/.exec(key)?.[0] ?? '';
  if (fixed === key) return { text: `${column} = ?`, parameters: [key] };
  const pattern = globPattern(key);
  if (fixed === '') return { text: `${column} GLOB ?`, parameters: [pattern] };
  return {
    text: `(${column} >= ? AND ${column} < ? AND ${column} GLOB ?)`,
    parameters: [fixed, fixed + LAST_CHARACTER, pattern],
  };
}

/** GLOB knows `*` and `?` as DICOM does, and sets in brackets, which must stand for themselves. */
export function globPattern(key: string): string {
  return key.replaceAll('[', '[[]').replaceAll(/\*+/g, '*');
}

/** A key without `=` is tried against each component group, one with `=` group by group. */
function personName(
  level: Level,
  columns: readonly string[],
  key: string,
  ranks: readonly [number, number] | undefined,
): Condition {
  const groups = foldPersonName(key);
  const wanted = key.includes('=') ? groups : columns.map(() => groups[0]);
  const parts = columns.flatMap((column, index) => {
    const group = wanted[index] ?? '';
    return /^\**$/.test(group) ? [] : [{ ...matches(column, group), rank: rankOf(group, ranks) }];
  });
  if (parts.length === 0) return { level, text: 'true', parameters: [], rank: undefined };
  const together = key.includes('=') ? ' AND ' : ' OR ';
  const served = parts.map((part) => part.rank).filter((rank) => rank !== undefined);
  return {
    level,
    text: `(${parts.map((part) => part.text).join(together)})`,
    parameters: parts.flatMap((part) => part.parameters),
    rank: served.length === 0 ? undefined : Math.min(...served),
  };
}

/** `a-b`, `-b`, `a-`, inclusive (PS3.4 C.2.2.2.5); a row without the date doesn't match. */
function dateRange(
  level: Level,
  column: string,
  from: string,
  to: string,
  ranks: readonly [number, number] | undefined,
): Condition {
  const text = [`${column} >= ?`, ...(to === '' ? [] : [`${column} <= ?`])].join(' AND ');
  return { level, text: `(${text})`, parameters: to === '' ? [from] : [from, to], rank: ranks?.[1] };
}

function numeric(level: Level, column: string, key: string): Condition {
  const number = key.trim() === '' ? NaN : Number(key);
  if (!Number.isFinite(number)) return { level, text: 'false', parameters: [], rank: undefined };
  return { level, text: `${column} = ?`, parameters: [number], rank: undefined };
}

/** One of the values of a set joined by `\`. */
function inSet(level: Level, column: string, key: string): Condition {
  return {
    level,
    text: `('\\' || ${column} || '\\') GLOB ?`,
    parameters: [`*\\${globPattern(key)}\\*`],
    rank: undefined,
  };
}
