import { isNumeric, numberOf } from '../../dicom/values';
import { compileMatch, hasSeveral } from '../match';
import { nameKey, type NameKey } from '../match-name';
import { particular } from '../particular';
import { patternOf, wildcards, type Pattern } from '../pattern';
import type { Condition, Match } from '../query-types';
import type { Level } from '../types';
import type { Layout } from './layout';
import { columnOf, unusable, type Column } from './query-columns';
import type { Matchers, Term } from './query-functions';

/** A condition as SQL, with what is needed to find an index for it. */
export interface SqlCondition {
  readonly column: Column;
  readonly match: Match;
  readonly term: Term;
  /** The same as a call of the function, right for several values as well. */
  readonly call: Term;
}

/**
 * What SQLite can do itself it does, because a call costs as much as ten comparisons: single values, patterns, dates of eight digits.
 * All else, and values of several, is a call of the matcher.
 * @returns undefined where nothing is asked for.
 * @throws IsocenterError `CATALOG_FILTER`
 */
export function sqlCondition(
  layout: Layout,
  level: Level,
  { keyword, match }: Condition,
  matchers: Matchers,
): SqlCondition | undefined {
  const column = columnOf(layout, level, keyword);
  const asked = particular(column.vr, match, (why) => {
    throw unusable(keyword, why);
  });
  if (asked === undefined) return undefined;
  const call = matchers.term(() => compileMatch(column.vr, asked), operands(layout, column, asked));
  let term: Term | undefined;
  return {
    column,
    match: asked,
    // Often an index stands for it, and a list may be long.
    get term() {
      return (term ??= termOf(column, asked, call));
    },
    call,
  };
}

function operands(layout: Layout, column: Column, match: Match): readonly string[] {
  if (column.names !== undefined) return column.names;
  if (match.kind !== 'dateTime') return [column.text];
  const time = columnOf(layout, column.level, match.time);
  if (time.level !== column.level) throw unusable(match.time, `is no time of ${column.keyword}`);
  return [column.text, time.text];
}

function termOf(column: Column, match: Match, call: Term): Term {
  const { text, vr, names } = column;
  if (match.kind === 'empty') return { text: `${text} IS NULL`, parameters: [] };
  if (names !== undefined) {
    const key = soleNameKey(match);
    return key === undefined ? call : whereSingle(text, nameTerm(names, key), call);
  }
  if (vr === 'DA' && match.kind === 'range') return whereDate(text, match, call);
  if (SPOKEN_VRS.has(vr)) return call;
  if (isNumeric(vr)) return column.single ? numberTerm(text, match, call) : call;
  return textTerm(column, match, call);
}

/** VRs whose text doesn't say by itself whether two values are equal. */
const SPOKEN_VRS: ReadonlySet<string> = new Set(['DA', 'TM', 'DT', 'IS', 'DS', 'FL', 'SQ']);

export function isSeveral(column: Column): boolean {
  return !column.single && hasSeveral(column.vr);
}

function numberTerm(text: string, match: Match, call: Term): Term {
  if (match.kind !== 'values' || match.values.length !== 1) return call;
  const number = numberOf(match.values[0] ?? '');
  return number === undefined ? call : { text: `${text} = ?`, parameters: [number] };
}

function textTerm(column: Column, match: Match, call: Term): Term {
  const { text } = column;
  const several = isSeveral(column);
  if (match.kind === 'values') {
    const [value = '', another] = match.values;
    if (another !== undefined)
      return several
        ? call
        : { text: `${text} IN (SELECT value FROM json_each(?))`, parameters: [JSON.stringify(match.values)] };
    return several
      ? { text: `instr('\\' || ${text} || '\\', ?) > 0`, parameters: [`\\${value}\\`] }
      : { text: `${text} = ?`, parameters: [value] };
  }
  const pattern = solePattern(match);
  if (pattern === undefined) return call;
  const term = patternTerm(text, pattern);
  return several ? whereSingle(text, term, call) : term;
}

/** The one pattern of text, or undefined. */
export function solePattern(match: Match): Pattern | undefined {
  if (match.kind !== 'wildcard' || match.patterns.length !== 1) return undefined;
  return patternOf(wildcards(match.patterns[0] ?? ''));
}

/** The one key of a name, or undefined. */
export function soleNameKey(match: Match): NameKey | undefined {
  const keys = match.kind === 'values' ? match.values : match.kind === 'wildcard' ? match.patterns : [];
  const [key, another] = keys;
  return key === undefined || another !== undefined ? undefined : nameKey(key, match.kind === 'wildcard');
}

function nameTerm(names: readonly [string, string, string], { grouped, groups }: NameKey): Term {
  const parts = names.flatMap((text, index) => {
    const pattern = groups[grouped ? index : 0];
    return pattern === undefined ? [] : [patternTerm(text, pattern)];
  });
  return {
    text: `(${parts.map((part) => part.text).join(grouped ? ' AND ' : ' OR ')})`,
    parameters: parts.flatMap((part) => part.parameters),
  };
}

export function patternTerm(text: string, { exact, globs }: Pattern): Term {
  if (exact !== undefined) return { text: `${text} = ?`, parameters: [exact] };
  return { text: `(${globs.map(() => `${text} GLOB ?`).join(' OR ')})`, parameters: globs };
}

/** @param text column that tells whether there are several values. */
function whereSingle(text: string, term: Term, call: Term): Term {
  return {
    text: `CASE WHEN instr(${text}, '\\') = 0 THEN ${term.text} ELSE ${call.text} END`,
    parameters: [...term.parameters, ...call.parameters],
  };
}

/** Eight digits compare as text; the old form and several values don't. */
function whereDate(text: string, { from, to }: Match & { readonly kind: 'range' }, call: Term): Term {
  return {
    text: `CASE WHEN length(${text}) = 8 AND ${text} NOT GLOB '*[^0-9]*' THEN ${text} BETWEEN ? AND ?
      ELSE ${call.text} END`,
    parameters: [from ?? '00000000', to ?? '99999999', ...call.parameters],
  };
}
