import type { Match } from '../catalog/query-types';
import type { CharacterSet } from '../dicom/charset';
import type { ValueElement } from '../dicom/data-set';
import { formatTag, keywordOf } from '../dicom/dictionary';
import { dateInterval, dateTimeInterval, timeInterval, type Interval } from '../dicom/match-keys';
import type { Tag } from '../dicom/types';
import { isNumeric, numberOf, numericValues, textValues } from '../dicom/values';
import { valueRepresentation } from '../dicom/vr';
import { STATUS } from '../dimse/status';
import { DimseError } from '../errors';

/** What was agreed on how keys are to be read (PS3.4 C.5.1.1). */
export interface KeyRules {
  readonly fuzzyNames: boolean;
  readonly emptyValue: boolean;
  readonly multipleValues: boolean;
}

/** No value of a VR that can be matched is as long; a pattern of it would only cost time. */
const LONGEST_KEY = 1024;

/** VRs in which `*` and `?` are wildcards (PS3.4 C.2.2.2.4). */
const WILDCARD_VRS: ReadonlySet<string> = new Set([
  'AE',
  'CS',
  'LO',
  'LT',
  'PN',
  'SH',
  'ST',
  'UC',
  'UR',
  'UT',
]);

/** An identifier that doesn't fit its SOP class. No value stands in the comment: it may be a patient's. */
export function misfit(tag: Tag, comment: string): DimseError {
  return new DimseError(STATUS.DataSetDoesNotMatchSOPClass, comment, { offendingElements: [tag] });
}

/** A keyword as it stands in comments, or the tag. */
export function nameOf(tag: Tag): string {
  return keywordOf(tag) ?? formatTag(tag);
}

/** The values of a key as text, trimmed, in the attribute's own VR: the one in the data set may be wrong. */
export function keyValues({ value, vr: encoded }: ValueElement, vr: string, set: CharacterSet): string[] {
  const opaque = encoded === 'UN' || /^O[BDFLVW]$/.test(encoded);
  const read = opaque ? vr : encoded;
  if (isNumeric(read) && (value.length > 0 || isNumeric(vr))) return numericValues(value, read).map(String);
  const values = textValues(value, isNumeric(vr) ? 'IS' : vr, set);
  return valueRepresentation(vr)?.text === true ? values : values.map((one) => one.trim());
}

/**
 * What the values of a key ask for (PS3.4 C.2.2.2), or undefined for universal matching: no value, or `*` alone.
 * @throws DimseError A900 with the element for what can't be a value of its VR.
 */
export function matchOf(tag: Tag, vr: string, values: readonly string[], rules: KeyRules): Match | undefined {
  const given = values.filter((value) => value !== '');
  if (given.length === 0) return undefined;
  for (const value of given)
    if (value.length > LONGEST_KEY) throw misfit(tag, `${nameOf(tag)} is too long for a key`);
  if (rules.emptyValue && given.length === 1 && given[0] === '""') return { kind: 'empty' };
  // C.2.2.2.8 is for other attributes than UIDs: a list of those is one of alternatives.
  const every = rules.multipleValues && given.length > 1 && vr !== 'UI';
  const particular = given.filter((value) => !isUniversal(vr, value));
  if (particular.length === 0 || (!every && particular.length < given.length)) return undefined;
  if (every) return { kind: 'every', values: plainValues(tag, vr, particular) };
  if (vr === 'DA' || vr === 'TM' || vr === 'DT') return temporal(tag, vr, particular);
  if (WILDCARD_VRS.has(vr)) return textual(vr, particular, rules);
  return { kind: 'values', values: plainValues(tag, vr, particular) };
}

/** `*` alone; of a name also what has no component that asks for anything, such as `^` or `*=*`. */
function isUniversal(vr: string, value: string): boolean {
  return vr === 'PN' ? /^[*^= ]+$/.test(value) : /^\*+$/.test(value);
}

function textual(vr: string, values: readonly string[], rules: KeyRules): Match {
  const patterns = values.map((value) => value.replaceAll('\uFFFD', '?'));
  if (patterns.some(hasWildcard)) return { kind: 'wildcard', patterns };
  const [name] = values;
  if (vr === 'PN' && rules.fuzzyNames && name !== undefined && values.length === 1)
    return { kind: 'fuzzy', name };
  return { kind: 'values', values };
}

/** `*` and `?`; in a key also what couldn't be decoded, which stands for any character (CS-08). */
export function hasWildcard(value: string): boolean {
  return /[*?\uFFFD]/.test(value);
}

/** Values to be compared whole, in the form that the catalog compares. */
function plainValues(tag: Tag, vr: string, values: readonly string[]): string[] {
  return values.map((value) => {
    if (vr === 'DA' || vr === 'TM' || vr === 'DT') return singleTime(tag, vr, value);
    if (hasWildcard(value)) throw misfit(tag, `${nameOf(tag)} takes no wildcards here`);
    if (vr !== 'IS' && vr !== 'DS' && !isNumeric(vr)) return value;
    const number = numberOf(value);
    if (number === undefined) throw misfit(tag, `${nameOf(tag)} has to be a number`);
    return String(number);
  });
}

/** Among several values each has to be one date; of times and date-times the text itself counts then. */
function singleTime(tag: Tag, vr: string, value: string): string {
  const interval = readInterval(tag, vr, value);
  if (vr !== 'DA') return value;
  if (interval.from === undefined || interval.from !== interval.to)
    throw misfit(tag, `${nameOf(tag)} takes one range, or a list of dates`);
  return interval.from;
}

function temporal(tag: Tag, vr: string, values: readonly string[]): Match {
  const [only, second] = values;
  if (only === undefined || second !== undefined) {
    if (vr !== 'DA') throw misfit(tag, `${nameOf(tag)} takes one value or range`);
    return { kind: 'values', values: plainValues(tag, vr, values) };
  }
  const interval = readInterval(tag, vr, only);
  if (vr === 'DA' && interval.from !== undefined && interval.from === interval.to)
    return { kind: 'values', values: [interval.from] };
  return { kind: 'range', ...interval };
}

const WHAT = { DA: 'date', TM: 'time', DT: 'date and time' } as const;

function readInterval(tag: Tag, vr: string, key: string): Interval {
  const interval =
    vr === 'DA' ? dateInterval(key) : vr === 'TM' ? timeInterval(key) : dateTimeInterval(key, localOffset);
  if (interval !== undefined) return interval;
  const what = WHAT[vr as keyof typeof WHAT];
  throw misfit(tag, `${nameOf(tag)} is no ${what}${hasWildcard(key) ? ', and takes no wildcards' : ''}`);
}

/** Minutes east of UTC of this process's time zone at an instant. */
export function localOffset(instant: number): number {
  return -new Date(instant).getTimezoneOffset();
}
