import { dateTimeInterval, timeInterval } from '../dicom/match-keys';
import { foldPersonName } from '../dicom/person-name';
import type { AttributeValue } from '../dicom/types';
import { isNumeric, numberOf } from '../dicom/values';
import { fuzzyName, nameKey, nameMatches, namesOf, type NameGroups } from './match-name';
import { patternOf, wildcards } from './pattern';
import type { ItemCondition, Match } from './query-types';

/**
 * Whether what the catalog holds matches, by the columns that it is kept in: one, of a person name the three folded groups, of
 * `dateTime` the date and the time.
 */
export type Matcher = (...columns: (AttributeValue | null)[]) => boolean;

/** VRs of one value each (PS3.5 6.4): a backslash is text. */
const WHOLE_VRS: ReadonlySet<string> = new Set(['LT', 'ST', 'UT', 'UR']);

export function hasSeveral(vr: string): boolean {
  return vr !== 'SQ' && !WHOLE_VRS.has(vr) && !isNumeric(vr);
}

type Tester<T> = (values: readonly T[]) => boolean;

/** @param match one that `particular` has looked at. */
export function compileMatch(vr: string, match: Match): Matcher {
  if (match.kind === 'item') {
    const test = itemTester(match.conditions);
    return (json) => itemsOf(json ?? null).some(test);
  }
  if (match.kind === 'dateTime') return dateTimeTester(match);
  if (vr === 'PN') {
    const test = nameTester(match);
    return (...groups) => test(namesOf(...(groups as (string | null)[])));
  }
  const test = textTester(vr, match);
  return (value) => test(elementsOf(vr, value ?? null));
}

/** The values of a column; none for NULL. */
function elementsOf(vr: string, value: AttributeValue | null): readonly string[] {
  if (value === null) return [];
  const text = String(value);
  return hasSeveral(vr) && text.includes('\\') ? text.split('\\') : [text];
}

/** PS3.4 C.2.2.3: of several values one has to match. */
function textTester(vr: string, match: Match): Tester<string> {
  switch (match.kind) {
    case 'empty':
      return (values) => values.every((value) => value === '');
    case 'every': {
      const wanted = match.values.map((value) => equals(vr, [value]));
      return (values) => wanted.every((test) => values.some(test));
    }
    case 'values':
      return anyOf(equals(vr, match.values));
    case 'wildcard': {
      const patterns = match.patterns.map((pattern) => patternOf(wildcards(pattern)));
      return anyOf((value) => patterns.some((pattern) => pattern.matches(value)));
    }
    case 'range':
      return anyOf((value) => isWithin(pointOf(vr, value), match));
    case 'fuzzy':
      return anyOf(equals(vr, [match.name]));
    case 'item':
    case 'dateTime':
      return () => false;
  }
}

function anyOf(test: (value: string) => boolean): Tester<string> {
  return (values) => values.some((value) => value !== '' && test(value));
}

/** Numbers and points in time by what they say, all else and what is none of them by its text. */
function equals(vr: string, wanted: readonly string[]): (value: string) => boolean {
  const meaning = meaningOf(vr);
  const texts = new Set(wanted);
  if (meaning === undefined) return (value) => texts.has(value);
  const meanings = new Set(wanted.map(meaning).filter((one) => one !== undefined));
  return (value) => {
    if (texts.has(value)) return true;
    const one = meaning(value);
    return one !== undefined && meanings.has(one);
  };
}

function meaningOf(vr: string): ((text: string) => string | number | undefined) | undefined {
  if (vr === 'DA' || vr === 'TM' || vr === 'DT') return (text) => pointOf(vr, text);
  if (vr === 'FL')
    return (text) => {
      const number = numberOf(text);
      return number === undefined ? undefined : Math.fround(number);
    };
  return vr === 'IS' || vr === 'DS' || isNumeric(vr) ? numberOf : undefined;
}

/** Any name is tried as a whole: with `=` the groups of one and the same name have to match. */
function nameTester(match: Match): Tester<NameGroups> {
  const oneOf = (keys: readonly string[], wild: boolean): Tester<NameGroups> => {
    const parsed = keys.map((key) => nameKey(key, wild)).filter((key) => key !== undefined);
    return (names) => names.some((name) => parsed.some((key) => nameMatches(key, name)));
  };
  switch (match.kind) {
    case 'empty':
      return (names) => names.length === 0;
    case 'values':
      return oneOf(match.values, false);
    case 'wildcard':
      return oneOf(match.patterns, true);
    case 'every': {
      const wanted = match.values.map((value) => oneOf([value], false));
      return (names) => wanted.every((test) => test(names));
    }
    case 'fuzzy': {
      const test = fuzzyName(match.name) ?? (() => true);
      return (names) => names.some(test);
    }
    case 'range':
    case 'item':
    case 'dateTime':
      return () => false;
  }
}

/** Inclusive; a value that is no point in time lies nowhere. */
function isWithin(
  point: string | undefined,
  { from, to }: { readonly from?: string; readonly to?: string },
): boolean {
  return point !== undefined && (from === undefined || point >= from) && (to === undefined || point <= to);
}

/** The beginning of what a stored value says, in the form of a range's bounds; undefined where it is no date or time. */
export function pointOf(vr: string, value: string): string | undefined {
  if (vr === 'DA') return dateOf(value);
  // A hyphen in a TM would make it a range; in a DT it belongs to the offset.
  if (vr === 'TM') return value.includes('-') ? undefined : timeInterval(value)?.from;
  return vr === 'DT' ? dateTimeInterval(value, localOffset)?.from : undefined;
}

/** `YYYYMMDD`, also from the old form `YYYY.MM.DD`. Any eight digits: a date that no calendar has still lies between others. */
export function dateOf(value: string): string | undefined {
  if (/^\d{8}$/.test(value)) return value;
  return /^\d{4}\.\d\d\.\d\d$/.test(value) ? value.replaceAll('.', '') : undefined;
}

function localOffset(instant: number): number {
  return -new Date(instant).getTimezoneOffset();
}

function dateTimeTester(bounds: { readonly from?: string; readonly to?: string }): Matcher {
  return (dates, times) => {
    const clock = elementsOf('TM', times ?? null);
    return elementsOf('DA', dates ?? null).some((value, index) => {
      const date = dateOf(value);
      if (date === undefined) return false;
      const time = pointOf('TM', clock[index] ?? '') ?? '000000.000000';
      return isWithin(date + time, bounds);
    });
  };
}

type JsonItem = Readonly<Record<string, { readonly Value?: unknown } | undefined>>;

/** The items of a sequence's column: DICOM JSON model (PS3.18 F.2). */
function itemsOf(json: AttributeValue | null): JsonItem[] {
  if (typeof json !== 'string') return [];
  try {
    return listOf(JSON.parse(json)) as JsonItem[];
  } catch {
    return [];
  }
}

/** PS3.4 C.2.2.2.6: one item meets all of the conditions, at whatever depth. */
export function itemTester(conditions: readonly ItemCondition[]): (item: JsonItem | null) => boolean {
  const tests = conditions.map(({ tag, vr, match }): ((item: JsonItem) => boolean) => {
    const key = keyOf(tag);
    const valuesIn = (item: JsonItem, at: string): unknown[] => listOf(item[at]?.Value);
    if (match.kind === 'item') {
      const test = itemTester(match.conditions);
      return (item) => (valuesIn(item, key) as (JsonItem | null)[]).some(test);
    }
    if (match.kind === 'empty') return (item) => valuesIn(item, key).every((value) => value === null);
    if (match.kind === 'dateTime') {
      const test = dateTimeTester(match);
      const joined = (item: JsonItem, at: string): string => valuesIn(item, at).map(textOf).join('\\');
      return (item) => test(joined(item, key), joined(item, match.time));
    }
    if (vr === 'PN') {
      const test = nameTester(match);
      return (item) => test(valuesIn(item, key).map((value) => foldPersonName(textOf(value))));
    }
    const test = textTester(vr, match);
    return (item) => test(valuesIn(item, key).map(textOf));
  });
  return (item) => item !== null && tests.every((test) => test(item));
}

function keyOf(tag: number): string {
  return tag.toString(16).toUpperCase().padStart(8, '0');
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

/** A value of the JSON model as text; of a person name with `=` between its groups. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  if (typeof value !== 'object' || value === null) return '';
  const { Alphabetic = '', Ideographic = '', Phonetic = '' } = value as Record<string, string | undefined>;
  return `${Alphabetic}=${Ideographic}=${Phonetic}`;
}
