import { additionProblem, LEVEL_WORDS, type AddedAttribute } from '../dicom/attributes';
import { keywords, tagOf } from '../dicom/dictionary';
import { printable } from '../printable';
import { parseHost } from '../security/hosts';
import { isPattern, titleProblem } from '../security/titles';
import { Unquoted } from './document';
import { closest, didYouMean } from './suggest';

/** What reading one scalar gives: its value, or what is wrong with it. */
export type Reading<T> = { readonly value: T } | { readonly problem: string };
export type Reader<T> = (raw: unknown) => Reading<T>;

const show = (text: string): string => `"${printable(text, 60)}"`;

function sourceOf(raw: unknown): string | undefined {
  if (typeof raw === 'string') return raw;
  return raw instanceof Unquoted ? raw.source : undefined;
}

function wrongKind(raw: unknown, wanted: string): { readonly problem: string } {
  const source = sourceOf(raw);
  if (source !== undefined) return { problem: `${show(source)} is not ${wanted}` };
  return { problem: `this has to be ${wanted}, not ${Array.isArray(raw) ? 'a list' : 'a group of keys'}` };
}

/** Text that must be text in YAML too: an unquoted 00123 reaches us as the number 123. */
export const text: Reader<string> = (raw) => {
  if (raw instanceof Unquoted)
    return {
      problem: `${printable(raw.source, 60)} is a ${typeof raw.value === 'number' ? 'number' : 'truth value'} to YAML: quote it, "${printable(raw.source, 60)}"`,
    };
  if (typeof raw !== 'string') return wrongKind(raw, 'text');
  return raw === '' ? { problem: 'this is empty' } : { value: raw };
};

/** Reads text and then looks closer. */
function textThat<T>(check: (value: string) => Reading<T>): Reader<T> {
  return (raw) => {
    const read = text(raw);
    return 'problem' in read ? read : check(read.value);
  };
}

/** Digits only; in quotes too, which a variable within { } needs. */
export function integer(minimum: number, maximum: number): Reader<number> {
  const wanted = `a whole number from ${String(minimum)} to ${String(maximum)}`;
  return (raw) => {
    const source = sourceOf(raw);
    if (source === undefined || !/^\d{1,15}$/.test(source)) return wrongKind(raw, wanted);
    const value = Number(source);
    return value < minimum || value > maximum ? wrongKind(raw, wanted) : { value };
  };
}

export const truth: Reader<boolean> = (raw) => {
  const source = sourceOf(raw);
  return source === 'true' || source === 'false'
    ? { value: source === 'true' }
    : wrongKind(raw, 'true or false');
};

export function oneOf<const T extends string>(words: readonly T[]): Reader<T> {
  return (raw) => {
    const source = sourceOf(raw);
    const found = words.find((word) => word === source);
    if (found !== undefined) return { value: found };
    if (source === undefined) return wrongKind(raw, words.join(' or '));
    return {
      problem: `${show(source)} is not one of ${words.join(', ')}${didYouMean(source, words)}`,
    };
  };
}

const TIME_UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;
/** A day: far below the 2^31 ms at which a Node timer overflows and fires at once. */
const MAX_DURATION = 24 * TIME_UNITS.h;

/** `500ms`, `10s`, `2m`, `1h` in milliseconds, from 1 ms to 24 h. */
export const duration: Reader<number> = (raw) => {
  const source = sourceOf(raw);
  if (source === undefined) return wrongKind(raw, 'a duration such as 10s');
  const match = /^(\d{1,9}(?:\.\d{1,3})?) ?(ms|s|m|h)$/.exec(source);
  if (match?.[1] === undefined) {
    const unitless = /^\d+$/.test(source) ? `: write a unit, ${printable(source, 20)}s` : '';
    return unitless === ''
      ? wrongKind(raw, 'a duration such as 500ms, 10s, 2m or 1h')
      : { problem: `${show(source)} has no unit${unitless}` };
  }
  const value = Math.round(Number(match[1]) * TIME_UNITS[match[2] as keyof typeof TIME_UNITS]);
  return value < 1 || value > MAX_DURATION
    ? { problem: `${show(source)} is not between 1ms and 24h` }
    : { value };
};

export function durationText(milliseconds: number): string {
  for (const unit of ['h', 'm', 's'] as const)
    if (milliseconds % TIME_UNITS[unit] === 0) return `${String(milliseconds / TIME_UNITS[unit])}${unit}`;
  return `${String(milliseconds)}ms`;
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

function sizeOf(source: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,3})?) ?([KMGT]i?B|B)?$/i.exec(source);
  if (match?.[1] === undefined) return undefined;
  const unit = Object.keys(SIZE_UNITS).find((name) => name.toLowerCase() === (match[2] ?? 'B').toLowerCase());
  const bytes = Math.floor(Number(match[1]) * (SIZE_UNITS[unit ?? 'B'] ?? 1));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Bytes, or with a unit: `131072`, `128KiB`, `20MiB`. */
export function size(minimum: number, maximum: number): Reader<number> {
  return (raw) => {
    const source = sourceOf(raw);
    const value = source === undefined ? undefined : sizeOf(source);
    if (value === undefined) return wrongKind(raw, 'a size such as 131072, 128KiB or 20MiB');
    return value < minimum || value > maximum
      ? wrongKind(raw, `a size from ${sizeText(minimum)} to ${sizeText(maximum)}`)
      : { value };
  };
}

export function sizeText(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB', 'TB', 'GB', 'MB', 'KB']) {
    const factor = SIZE_UNITS[unit] ?? 1;
    if (bytes > 0 && bytes % factor === 0) return `${String(bytes / factor)}${unit}`;
  }
  return String(bytes);
}

/** Space that is kept free: a share of the volume, or bytes. */
export type Reserve = { readonly percent: number } | { readonly bytes: number };

/** `5%` or `2GiB`. A bare number is neither. */
export const reserve: Reader<Reserve> = (raw) => {
  const source = sourceOf(raw);
  if (source === undefined) return wrongKind(raw, 'a share or a size');
  const percent = /^(\d{1,2}(?:\.\d{1,3})?) ?%$/.exec(source)?.[1];
  if (percent !== undefined && Number(percent) <= 90) return { value: { percent: Number(percent) } };
  const bytes = /[a-z]$/i.test(source) || source === '0' ? sizeOf(source) : undefined;
  if (bytes !== undefined) return { value: { bytes } };
  return { problem: `${show(source)} is not a share from 0% to 90% or a size such as 2GiB` };
};

export function reserveText(value: Reserve): string {
  return 'percent' in value ? `${String(value.percent)}%` : sizeText(value.bytes);
}

/** An AE title of this node, or of a peer that is meant by its whole title (PS3.5 6.2). */
export const aeTitle = textThat((value) => {
  const problem = titleProblem(value);
  if (problem !== undefined) return { problem: `${show(value)}: ${problem}` };
  if (isPattern(value))
    return {
      problem: `${show(value)}: * and ? are wildcards and have no meaning here; access.calledAeTitle: ignore answers to any title`,
    };
  return { value };
});

/** The title of a remote, with `*` and `?`. */
export const aeTitlePattern = textThat((value) => {
  const problem = titleProblem(value);
  return problem === undefined ? { value } : { problem: `${show(value)}: ${problem}` };
});

export const host = textThat((value) => {
  const parsed = parseHost(value);
  return parsed.kind === 'problem' ? { problem: `${show(value)}: ${parsed.problem}` } : { value };
});

/** An address or a name to listen on. */
export const listenHost = textThat((value) => {
  const parsed = parseHost(value);
  if (parsed.kind === 'problem') return { problem: `${show(value)}: ${parsed.problem}` };
  return value.includes('/')
    ? { problem: `${show(value)} is a range: listen on one address, 0.0.0.0 or "::" for all` }
    : { value };
});

/** Defined terms of Specific Character Set (PS3.3 C.12.1.1.2). */
const CHARACTER_SETS = [
  'ISO_IR 6',
  ...[13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 192, 203].map((n) => `ISO_IR ${String(n)}`),
  'GB18030',
  'GBK',
  ...[6, 13, 58, 87, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149, 159, 166, 203].map(
    (n) => `ISO 2022 IR ${String(n)}`,
  ),
];
const FAMILIAR_NAMES: Readonly<Record<string, string>> = {
  utf8: 'ISO_IR 192',
  latin1: 'ISO_IR 100',
  iso88591: 'ISO_IR 100',
  iso88592: 'ISO_IR 101',
  ascii: 'ISO_IR 6',
};

/** One defined term, or several joined by a backslash where code extensions are used. */
export const characterSet = textThat((value) => {
  for (const term of value.split('\\')) {
    if (CHARACTER_SETS.includes(term)) continue;
    const familiar = FAMILIAR_NAMES[term.toLowerCase().replace(/[^a-z0-9]/g, '')];
    const suggestion = familiar ?? closest(term, CHARACTER_SETS);
    const mean = suggestion === undefined ? '' : ` - did you mean "${suggestion}"?`;
    return { problem: `${show(term)} is not a DICOM character set such as ISO_IR 100${mean}` };
  }
  return { value };
});

/** Keyword of an attribute that can be added to the table. */
export const addableKeyword = textThat((value) => {
  const tag = tagOf(value);
  if (tag === undefined) {
    return {
      problem: `${show(value)} is not a keyword of the standard such as StudyComments${didYouMean(value, keywords())}`,
    };
  }
  const problem = additionProblem(tag);
  return problem === undefined ? { value } : { problem: `${value} ${problem}` };
});

export const attributeLevel = oneOf(Object.keys(LEVEL_WORDS) as AddedAttribute['level'][]);
