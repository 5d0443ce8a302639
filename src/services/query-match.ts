import type { ItemCondition, Match } from '../catalog/query-types';
import { jsonTexts } from '../dicom/json-encoder';
import type { JsonAttribute, JsonDataSet } from '../dicom/json-model';
import { dateInterval, dateTimeInterval, timeInterval } from '../dicom/match-keys';
import { foldPersonName } from '../dicom/person-name';
import { isNumeric, numberOf } from '../dicom/values';
import { localOffset } from './query-keys';

/** Whether an item of a sequence meets all of these (PS3.4 C.2.2.2.6). */
export function itemMatches(item: JsonDataSet, conditions: readonly ItemCondition[]): boolean {
  return conditions.every(({ tag, vr, match }) => {
    const attribute = item[tag.toString(16).toUpperCase().padStart(8, '0')];
    if (match.kind === 'item') return itemsMatch(attribute, match.conditions);
    return valuesMatch(attribute === undefined ? [] : jsonTexts(attribute), vr, match);
  });
}

function itemsMatch(attribute: JsonAttribute | undefined, conditions: readonly ItemCondition[]): boolean {
  return (attribute?.Value ?? []).some((item) => itemMatches(item as JsonDataSet, conditions));
}

/** Whether the values of an attribute match (PS3.4 C.2.2.2, C.2.2.3): one of them has to. */
export function valuesMatch(values: readonly string[], vr: string, match: Match): boolean {
  const present = values.filter((value) => value !== '');
  switch (match.kind) {
    case 'empty':
      return present.length === 0;
    case 'every':
      return match.values.every((wanted) => present.some((value) => isEqual(value, wanted, vr)));
    case 'values':
      return match.values.some((wanted) => present.some((value) => isEqual(value, wanted, vr)));
    case 'wildcard':
      return match.patterns.some((pattern) => present.some((value) => fits(value, pattern, vr)));
    case 'range':
      return present.some((value) => isWithin(pointOf(value, vr), match));
    case 'fuzzy':
      // What sounds alike is the catalog's to say; here every name is good enough.
      return present.length > 0;
    case 'dateTime':
    case 'item':
      return false;
  }
}

/** Inclusive; a value that is no point in time lies nowhere. */
export function isWithin(
  point: string | undefined,
  { from, to }: { readonly from?: string; readonly to?: string },
): boolean {
  return point !== undefined && (from === undefined || point >= from) && (to === undefined || point <= to);
}

/** The beginning of what a stored date or time says, in the form of a range's bounds; undefined where it is none. */
export function pointOf(value: string, vr: string): string | undefined {
  if (vr === 'DA') return dateInterval(value)?.from;
  return (vr === 'TM' ? timeInterval(value) : dateTimeInterval(value, localOffset))?.from;
}

function isEqual(value: string, wanted: string, vr: string): boolean {
  if (vr === 'PN') return nameGroups(value, wanted).some(([group, key]) => group === key);
  if (vr === 'DA') return (pointOf(value, vr) ?? value) === wanted;
  if (vr === 'IS' || vr === 'DS' || isNumeric(vr)) return numberOf(value) === numberOf(wanted);
  return value === wanted;
}

function fits(value: string, pattern: string, vr: string): boolean {
  if (vr !== 'PN') return fitsPattern(value, pattern);
  return nameGroups(value, pattern).some(([group, key]) => fitsPattern(group, key));
}

/** Pairs of a group and its key of which one has to agree: with `=` in the key all of them at once, in one pair (CS-07). */
function nameGroups(value: string, key: string): [string, string][] {
  const groups = foldPersonName(value);
  const keys = foldPersonName(key);
  if (!key.includes('=')) return groups.filter((group) => group !== '').map((group) => [group, keys[0]]);
  const asked = keys.map((one, index) => [groups[index] ?? '', one] as const).filter(([, one]) => one !== '');
  return [[asked.map(([group]) => group).join('='), asked.map(([, one]) => one).join('=')]];
}

/** `*` any run, `?` one character, all else itself. Takes at most the product of both lengths, whatever the pattern. */
function fitsPattern(text: string, pattern: string): boolean {
  const characters = Array.from(text);
  const wanted = Array.from(pattern);
  let [at, place] = [0, 0];
  /** Behind the last star, and where its run ends so far. */
  let star: { readonly place: number; at: number } | undefined;
  while (at < characters.length) {
    const next = wanted[place];
    if (next === '*') {
      star = { place: ++place, at };
    } else if (next !== undefined && (next === '?' || next === characters[at])) {
      place++;
      at++;
    } else if (star !== undefined) {
      place = star.place;
      at = ++star.at;
    } else {
      return false;
    }
  }
  return wanted.slice(place).every((one) => one === '*');
}
