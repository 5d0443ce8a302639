import type { Condition, ItemCondition, Match } from '../../src/catalog/query-types';
import { soundOf } from '../../src/catalog/name-words';
import { foldText } from '../../src/dicom/person-name';

/** A matcher of its own, as plain as can be: what the catalog's is compared with. */

/** VRs of the attributes that are matched; the others are text. */
const VRS: Readonly<Record<string, string>> = {
  PatientName: 'PN',
  ReferringPhysicianName: 'PN',
  PatientBirthDate: 'DA',
  StudyDate: 'DA',
  SeriesDate: 'DA',
  StudyTime: 'TM',
  SeriesTime: 'TM',
  SeriesNumber: 'IS',
  InstanceNumber: 'IS',
  Rows: 'US',
  RequestAttributesSequence: 'SQ',
  ConceptNameCodeSequence: 'SQ',
};

type Values = Readonly<Record<string, string | number | undefined>>;

export function meets(values: Values, { keyword, match }: Condition): boolean {
  const value = values[keyword];
  const vr = VRS[keyword] ?? 'LO';
  if (vr === 'SQ')
    return sequenceMeets(value === undefined ? [] : (JSON.parse(String(value)) as Item[]), match);
  const times = match.kind === 'dateTime' ? list(values[match.time]) : [];
  return listMeets(vr, list(value), match, times);
}

function list(value: string | number | undefined): string[] {
  return value === undefined ? [] : String(value).split('\\');
}

function listMeets(vr: string, values: readonly string[], match: Match, times: readonly string[]): boolean {
  switch (match.kind) {
    case 'empty':
      return values.every((one) => one === '');
    case 'every':
      return split(match.values)
        .filter((wanted) => !asksNothing(vr, wanted, false))
        .every((wanted) => values.some((one) => one !== '' && same(vr, one, wanted)));
    case 'values':
    case 'wildcard': {
      const wild = match.kind === 'wildcard';
      const keys = split(wild ? match.patterns : match.values);
      if (keys.length === 0 || keys.some((key) => asksNothing(vr, key, wild))) return true;
      const meets = wild ? like : same;
      return keys.some((key) => values.some((one) => one !== '' && meets(vr, one, key)));
    }
    case 'range':
      return values.some((one) => inside(moment(vr, one), match.from, match.to));
    case 'dateTime':
      return values.some((one, index) => {
        const day = moment('DA', one);
        return (
          day !== undefined &&
          inside(day + (moment('TM', times[index] ?? '') ?? '000000.000000'), match.from, match.to)
        );
      });
    case 'fuzzy': {
      const { name } = match;
      if (asksNothing(vr, name, true)) return true;
      return values.some((one) => like(vr, one, name) || wordsMeet(one, name));
    }
    case 'item':
      return false;
  }
}

/** Several values in one text are a list; those of zero length ask for nothing. */
function split(keys: readonly string[]): string[] {
  return keys.flatMap((key) => key.split('\\')).filter((key) => key !== '');
}

function asksNothing(vr: string, key: string, wild: boolean): boolean {
  if (vr === 'PN') return (wild ? /^[*^= ]*$/ : /^[\^= ]*$/).test(key);
  return wild && /^\*+$/.test(key);
}

function inside(point: string | undefined, from = '', to = '~'): boolean {
  return point !== undefined && from <= point && point <= to;
}

function moment(vr: string, value: string): string | undefined {
  if (vr === 'DA') return /^\d{4}\.\d\d\.\d\d$|^\d{8}$/.test(value) ? value.replaceAll('.', '') : undefined;
  if (!/^\d\d(:\d\d(:\d\d(\.\d+)?)?)?$|^\d\d(\d\d(\d\d(\.\d+)?)?)?$/.test(value)) return undefined;
  const [clock = '', fraction = ''] = value.replaceAll(':', '').split('.');
  return `${clock.padEnd(6, '0')}.${fraction.padEnd(6, '0')}`;
}

function same(vr: string, value: string, wanted: string): boolean {
  if (vr === 'PN') return like(vr, value, wanted.replaceAll('*', '\\*').replaceAll('?', '\\?'));
  if (value === wanted) return true;
  if (vr === 'IS' || vr === 'US') return Number(value) === Number(wanted);
  const point = vr === 'LO' ? undefined : moment(vr, wanted);
  return point !== undefined && moment(vr, value) === point;
}

function like(vr: string, value: string, pattern: string): boolean {
  if (vr !== 'PN') return new RegExp(`^${regular(pattern)}$`, 'su').test(value);
  const groups = [0, 1, 2].map((index) => folded(value.split('=')[index] ?? ''));
  const wanted = [0, 1, 2].map((index) => pattern.split('=')[index] ?? '');
  const fits = (group: string, key: string): boolean => group !== '' && namePattern(key).test(group);
  if (!pattern.includes('=')) return groups.some((group) => fits(group, pattern));
  return wanted.every((key, index) => asksNothing('PN', key, true) || fits(groups[index] ?? '', key));
}

function folded(group: string): string {
  return group
    .split('^')
    .map((component) => foldText(component).trim())
    .join('^')
    .replace(/\^+$/, '');
}

function namePattern(key: string): RegExp {
  let text = folded(key);
  let more = false;
  for (let cut = /\^\**$/.exec(text); cut !== null; cut = /\^\**$/.exec(text)) {
    more ||= cut[0].length > 1;
    text = text.slice(0, cut.index);
  }
  return new RegExp(`^${regular(text)}${more ? '(\\^.*)?' : ''}$`, 'su');
}

/** A backslash before `*` and `?` takes them for themselves. */
function regular(pattern: string): string {
  const literal = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  return (pattern.match(/\\[*?]|./gsu) ?? [])
    .map((one) => (one === '*' ? '.*' : one === '?' ? '.' : literal(/^\\./.test(one) ? one.slice(1) : one)))
    .join('');
}

function wordsMeet(name: string, key: string): boolean {
  const words = (text: string): string[] =>
    foldText(text)
      .split(/[^\p{L}\p{N}\p{M}]+/u)
      .filter((word) => word !== '');
  const wanted = words(key);
  return (
    wanted.length > 0 &&
    wanted.every((word) =>
      words(name).some(
        (one) => one.startsWith(word) || (soundOf(word) !== '' && soundOf(word) === soundOf(one)),
      ),
    )
  );
}

type Item = Readonly<Record<string, { vr: string; Value?: unknown[] } | undefined>>;

function sequenceMeets(items: readonly Item[], match: Match): boolean {
  if (match.kind === 'empty') return items.length === 0;
  if (match.kind !== 'item') return false;
  const asking = match.conditions.filter((condition) => !isUniversal(condition));
  return asking.length === 0 || items.some((item) => asking.every((condition) => itemMeets(item, condition)));
}

function isUniversal({ vr, match }: ItemCondition): boolean {
  if (match.kind === 'item') return match.conditions.every(isUniversal);
  if (match.kind === 'every') return split(match.values).every((value) => asksNothing(vr, value, false));
  if (match.kind !== 'values' && match.kind !== 'wildcard') return false;
  const wild = match.kind === 'wildcard';
  const keys = split(wild ? match.patterns : match.values);
  return keys.length === 0 || keys.some((key) => asksNothing(vr, key, wild));
}

function itemMeets(item: Item, { tag, vr, match }: ItemCondition): boolean {
  const attribute = item[tag.toString(16).toUpperCase().padStart(8, '0')];
  const values = attribute?.Value ?? [];
  if (vr === 'SQ') return sequenceMeets(values as Item[], match);
  const texts = values.map((value) => {
    if (typeof value === 'string' || typeof value === 'number') return String(value);
    const { Alphabetic = '', Ideographic = '' } = (value ?? {}) as Record<string, string>;
    return value === null ? '' : `${Alphabetic}=${Ideographic}`;
  });
  return listMeets(vr, texts, match, []);
}
