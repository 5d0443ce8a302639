import { nameKey } from '../match-name';
import { behind, type Pattern } from '../pattern';
import type { Match } from '../query-types';
import { segment, severalSegment, together, type Access, type KeyRange, type Segment } from './query-access';
import { patternTerm, type SqlCondition } from './query-conditions';
import type { Matchers, Term } from './query-functions';

/** One index for each group of PatientName, the upper ones partial. */
const INDEXES = [
  'patients_PatientName_alphabetic',
  'patients_PatientName_ideographic',
  'patients_PatientName_phonetic',
] as const;

/**
 * Access by PatientName (CS-07). Keys without `=` run through the index of each group, leaving out what a group before has found; one
 * with `=` takes the index of a group that it has. Undefined where keys of both kinds are mixed.
 */
export function nameAccess(condition: SqlCondition, matchers: Matchers): Access | undefined {
  const { column, match } = condition;
  const { names } = column;
  const keys = keysOf(match);
  const [first, another] = keys;
  if (names === undefined || first === undefined) return undefined;
  const rest = severalSegment(condition, { several: 'patients_PatientName_several' });
  const open = (segments: readonly Segment[]): boolean => segments.some(({ range }) => range?.from === '');
  if (keys.every(({ grouped }) => !grouped)) {
    const patterns = keys.flatMap(({ groups: [pattern] }) => pattern ?? []);
    const found = (text: string): Term =>
      matchers.term(
        () => (group) => patterns.some((pattern) => pattern.matches(String(group ?? ''))),
        [text],
      );
    const segments = names.flatMap((text, group) => {
      const before = names.slice(0, group).map((one) => not(found(one)));
      const [only, second] = patterns;
      const own = only !== undefined && second === undefined ? patternTerm(text, only) : found(text);
      return groupSegments(condition, text, group, patterns, own, before);
    });
    return together(condition, [...segments, ...rest], open(segments));
  }
  if (another !== undefined) return undefined;
  const { groups } = first;
  const fixed = groups.findIndex((pattern) => pattern !== undefined && pattern.fixed !== '');
  const group = fixed < 0 ? groups.findIndex((pattern) => pattern !== undefined) : fixed;
  const pattern = groups[group];
  const text = names[group];
  if (pattern === undefined || text === undefined) return undefined;
  const segments = groupSegments(condition, text, group, [pattern], patternTerm(text, pattern), [
    condition.term,
  ]);
  return together(condition, [...segments, ...rest], open(segments));
}

function keysOf(match: Match): NonNullable<ReturnType<typeof nameKey>>[] {
  const wild = match.kind === 'wildcard';
  const texts = match.kind === 'values' ? match.values : wild ? match.patterns : [];
  return texts.flatMap((text) => nameKey(text, wild) ?? []);
}

function not({ text, parameters }: Term): Term {
  return { text: `NOT ${text}`, parameters };
}

/** @param own that one of the patterns matches the group. */
function groupSegments(
  condition: SqlCondition,
  text: string,
  group: number,
  patterns: readonly Pattern[],
  own: Term,
  terms: readonly Term[],
): Segment[] {
  const index = { index: INDEXES[group] ?? '', partial: group === 0 ? [] : [`${text} IS NOT NULL`] };
  const exact = new Set(patterns.flatMap((pattern) => pattern.exact ?? []));
  if (patterns.every((pattern) => pattern.exact !== undefined))
    return [...exact].map((name) => segment(condition, index, { equal: [text], values: [name], terms }));
  const single: Term = { text: `instr(${text}, '\\') = 0`, parameters: [] };
  return [segment(condition, index, { range: hull(text, patterns), terms: [own, single, ...terms] })];
}

/** From the first to the last text that one of the patterns can match. */
function hull(key: string, patterns: readonly Pattern[]): KeyRange {
  const fixed = patterns.map((pattern) => pattern.fixed).sort(byCharacters);
  const ends = fixed.map(behind);
  const known = ends.filter((end) => end !== undefined).sort(byCharacters);
  return { key, from: fixed[0] ?? '', to: known.length < ends.length ? undefined : known.at(-1) };
}

/** As SQLite orders text: UTF-8, byte by byte. */
function byCharacters(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
