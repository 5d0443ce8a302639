import { didYouMean } from '../config/suggest';
import type { AttributeLevel } from '../dicom/attributes';
import { type CharacterSet, parseCharacterSet } from '../dicom/charset';
import type { DataElement, DataSet } from '../dicom/data-set';
import { tagOf } from '../dicom/dictionary';
import type { Tag } from '../dicom/types';
import { EXIT, IsocenterError } from '../errors';
import { printable } from '../printable';
import {
  attributeName,
  FIND_MODELS,
  type FindFeature,
  type FindModel,
  type FindModelName,
} from '../services/find-scu';
import { type QueryKey, QueryKeys } from './query-keys';
import { defaultKeys, type Path, tagsOf } from './query-rows';

const SPECIFIC_CHARACTER_SET = 0x00080005;
const QUERY_RETRIEVE_LEVEL = 0x00080052;
const TIMEZONE_OFFSET_FROM_UTC = 0x00080201;

/** Unique keys by level; those above a query's need a value (PS3.4 C.4.1.2.2.1). */
const UNIQUE: readonly (readonly [AttributeLevel, string])[] = [
  ['PATIENT', 'PatientID'],
  ['STUDY', 'StudyInstanceUID'],
  ['SERIES', 'SeriesInstanceUID'],
];

const LEVELS: Readonly<Record<string, AttributeLevel>> = {
  patients: 'PATIENT',
  studies: 'STUDY',
  series: 'SERIES',
  instances: 'IMAGE',
};

/** A level as `find` names it, or as DICOM does. */
export function readLevel(text: string): AttributeLevel | undefined {
  const word = text.toLowerCase();
  if (Object.hasOwn(LEVELS, word)) return LEVELS[word];
  return Object.values(LEVELS).find((level) => level === text.toUpperCase());
}

export function levelsToChoose(text: string): string {
  const words = Object.keys(LEVELS);
  return `choose one of ${words.join(', ')}${didYouMean(text, words)}`;
}

/** Options of the command line that make the question. */
export interface QuestionOptions {
  readonly key?: readonly QueryKey[];
  readonly model?: FindModelName;
  readonly only?: true;
  readonly relational?: true;
  readonly datetime?: true;
  readonly fuzzy?: true;
  readonly timezone?: string;
  readonly emptyValue?: true;
  readonly multipleValue?: true;
  readonly charset?: string;
  readonly limit?: number;
}

/** What is asked, in every respect. */
export interface Question {
  readonly modelName: FindModelName;
  readonly model: FindModel;
  readonly level: AttributeLevel | undefined;
  readonly features: readonly FindFeature[];
  /** Columns of a table, as paths of keywords. */
  readonly columns: readonly Path[];
  /** 0: no limit. */
  readonly limit: number;
  /** Unique keys of upper levels that a hierarchical query needs and this one lacks. */
  readonly lacking: readonly string[];
  /** True for the path (`A.B`) of a key of the user's. */
  wasGiven(path: string): boolean;
  /** As it goes out to a peer that did not agree to these features. */
  identifier(refused: readonly FindFeature[]): DataSet;
}

function wrong(message: string, hint?: string): IsocenterError {
  return new IsocenterError('USAGE', message, {
    exitCode: EXIT.usage,
    ...(hint === undefined ? {} : { hint }),
  });
}

/**
 * Puts a question together.
 * @throws IsocenterError (exit 2) on what contradicts itself or can't be written
 */
export function ask(levelGiven: AttributeLevel | undefined, options: QuestionOptions): Question {
  const keys = new QueryKeys();
  const given = options.key ?? [];
  for (const key of given) keys.add(key);
  const givenPaths = new Set(given.map(({ path }) => path.map(attributeName).join('.')));
  const charsetKey = keys.take(SPECIFIC_CHARACTER_SET);
  const level = levelOf(levelGiven, keys.take(QUERY_RETRIEVE_LEVEL), options.model);
  const modelName = options.model ?? (level === 'PATIENT' ? 'patient' : 'study');
  const model: FindModel = FIND_MODELS[modelName];
  if (level !== undefined && !model.levels.includes(level))
    throw wrong(
      `the ${modelName} model has no level ${level}`,
      level === 'PATIENT' ? 'take --model patient' : 'take --model study or --model patient',
    );
  const features = featuresOf(options, modelName, model);
  const timezone = options.timezone === undefined ? undefined : parseTimezone(options.timezone);
  if (timezone !== undefined && keys.take(TIMEZONE_OFFSET_FROM_UTC) !== undefined)
    throw wrong('the timezone is given twice, with --timezone and as a key');
  if (keys.has('""') && options.emptyValue === undefined)
    throw wrong(
      'a key "" asks for what has no value',
      'give --empty-value too, for the peer must agree to it',
    );

  const columns = addDefaults(keys, modelName, level, options);
  if (keys.size === 0) throw wrong('--only needs a key to ask for', 'add -k KEYWORD');
  const set = charsetOf(options.charset ?? charsetKey, keys);
  // Encoded once before anything is sent: what can't be written is a mistake of usage.
  const encoded = keys.encode(set);
  return {
    modelName,
    model,
    level,
    features,
    columns,
    limit: options.limit ?? 0,
    lacking: lackingKeys(keys, model, level, features),
    wasGiven: (path) => givenPaths.has(path),
    identifier: (refused) => [
      ...(set.terms.length === 0 ? [] : [code(SPECIFIC_CHARACTER_SET, 'CS', set.terms.join('\\'))]),
      ...(level === undefined ? [] : [code(QUERY_RETRIEVE_LEVEL, 'CS', level)]),
      // Only where the peer agreed to adjust (PS3.4 C.4.1.1.3).
      ...(timezone === undefined || refused.includes('timezone')
        ? []
        : [code(TIMEZONE_OFFSET_FROM_UTC, 'SH', timezone)]),
      ...encoded,
    ],
  };
}

function code(tag: Tag, vr: string, value: string): DataElement {
  return { tag, vr, value: Buffer.from(value, 'latin1') };
}

function levelOf(
  given: AttributeLevel | undefined,
  key: string | undefined,
  model: FindModelName | undefined,
): AttributeLevel | undefined {
  const asKey = readLevel(key ?? '');
  if (key !== undefined && asKey === undefined)
    throw wrong(`the level "${printable(key, 64)}" is none: ${levelsToChoose(key)}`);
  if (given !== undefined && asKey !== undefined && given !== asKey)
    throw wrong(`the level is given twice, as ${given} and as ${asKey}`);
  const level = given ?? asKey;
  if (model !== 'worklist') return level ?? 'STUDY';
  if (level !== undefined) throw wrong('a worklist has no levels', 'leave the level out');
  return undefined;
}

function featuresOf(options: QuestionOptions, name: FindModelName, model: FindModel): FindFeature[] {
  const asked: readonly (readonly [FindFeature, string, boolean])[] = [
    ['relational', '--relational', options.relational === true],
    ['dateTime', '--datetime', options.datetime === true],
    ['fuzzy', '--fuzzy', options.fuzzy === true],
    ['timezone', '--timezone', options.timezone !== undefined],
    ['emptyValue', '--empty-value', options.emptyValue === true],
    ['multipleValue', '--multiple-value', options.multipleValue === true],
  ];
  return asked.flatMap(([feature, option, wanted]) => {
    if (!wanted) return [];
    if (model.features.includes(feature)) return [feature];
    throw wrong(
      `${option} can't be agreed upon for the ${name} model`,
      'worklists are never hierarchical, and always match a date and its time together (PS3.4 K.5.1)',
    );
  });
}

/** (0008,0201) as PS3.3 C.12.1.1.8 has it; `Z` and `+01:00` are taken too. */
function parseTimezone(text: string): string {
  if (/^(?:Z|UTC)$/i.test(text)) return '+0000';
  const match = /^([+-])(\d{2}):?([0-5]\d)$/.exec(text);
  const [, sign = '', hours = '', minutes = ''] = match ?? [];
  const offset = Number(`${sign}${hours}${minutes}`);
  if (match === null || offset < -1200 || offset > 1400)
    throw wrong(
      `--timezone is an offset from UTC, not "${printable(text, 32)}"`,
      'write it as +0100 or -0530',
    );
  return offset === 0 ? '+0000' : `${sign}${hours}${minutes}`;
}

function charsetOf(terms: string | undefined, keys: QueryKeys): CharacterSet {
  if (terms === undefined) return parseCharacterSet(keys.isAscii ? [] : ['ISO_IR 192']);
  const set = parseCharacterSet(terms.split('\\'));
  if (set.known && set.terms.length > 0) return set;
  throw wrong(
    `"${printable(terms, 64)}" is no character set of DICOM`,
    String.raw`write a defined term such as "ISO_IR 100", or several as "\ISO 2022 IR 87"`,
  );
}

/** Adds what is asked for unless `--only` is given; returns the columns of a table. */
function addDefaults(
  keys: QueryKeys,
  modelName: FindModelName,
  level: AttributeLevel | undefined,
  options: QuestionOptions,
): Path[] {
  const columns = new Map<string, Path>();
  if (options.only !== true) {
    const { shown, more } = defaultKeys(modelName, level);
    for (const path of [...shown, ...more]) keys.addDefault(tagsOf(path));
    for (const path of shown) columns.set(path.join('.'), path);
  }
  const upper = upperKeys(level);
  for (const { path, value } of options.key ?? []) {
    const names = path.map(attributeName);
    const [only] = path;
    const about = path.length === 1 && (only === SPECIFIC_CHARACTER_SET || only === QUERY_RETRIEVE_LEVEL);
    // One and the same in every row, and wide.
    const above = path.length === 1 && value !== undefined && upper.includes(names[0] ?? '');
    if (!about && !above) columns.set(names.join('.'), names);
  }
  return [...columns.values()];
}

function upperKeys(level: AttributeLevel | undefined): string[] {
  const at = UNIQUE.findIndex(([of]) => of === level);
  if (level === undefined) return [];
  return UNIQUE.slice(0, at < 0 ? UNIQUE.length : at).map(([, keyword]) => keyword);
}

function lackingKeys(
  keys: QueryKeys,
  model: FindModel,
  level: AttributeLevel | undefined,
  features: readonly FindFeature[],
): string[] {
  if (level === undefined || features.includes('relational')) return [];
  const needed = upperKeys(level).filter((_, index) => model.levels.includes(UNIQUE[index]?.[0] ?? 'IMAGE'));
  return needed.filter((keyword) => keys.valueOf(tagOf(keyword) ?? 0) === undefined);
}
