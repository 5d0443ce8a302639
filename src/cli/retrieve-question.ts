import { InvalidArgumentError, type Command } from 'commander';
import { parseCharacterSet } from '../dicom/charset';
import type { AttributeLevel } from '../dicom/attributes';
import type { DataSet } from '../dicom/data-set';
import { tagOf } from '../dicom/dictionary';
import { EXIT, IsocenterError } from '../errors';
import { didYouMean } from '../config/suggest';
import { printable } from '../printable';
import { RETRIEVE_MODELS, type RetrieveModel, type RetrieveModelName } from '../services/retrieve-scu';
import type { UniqueKeys } from '../services/retrieve-scu-inventory';
import { parseKey, pathName, QueryKeys, type QueryKey } from './query-keys';
import { levelsToChoose, readLevel } from './query-question';

const QUERY_RETRIEVE_LEVEL = 0x00080052;

/** Unique keys, from the top (PS3.4 C.6), each with its option. */
const UNIQUE = [
  { level: 'PATIENT', keyword: 'PatientID', option: '--patient ID' },
  { level: 'STUDY', keyword: 'StudyInstanceUID', option: '--study UID' },
  { level: 'SERIES', keyword: 'SeriesInstanceUID', option: '--series UID' },
  { level: 'IMAGE', keyword: 'SOPInstanceUID', option: '--instance UID' },
] as const satisfies readonly { level: AttributeLevel; keyword: keyof UniqueKeys; option: string }[];

/** What names patients, studies, series and instances on a command line. */
export interface SelectionOptions {
  readonly patient?: string;
  readonly study?: readonly string[];
  readonly series?: readonly string[];
  readonly instance?: readonly string[];
}

export interface RetrieveOptions extends SelectionOptions {
  readonly key?: readonly QueryKey[];
  readonly model?: RetrieveModelName;
}

/** What is to be retrieved, in every respect. */
export interface RetrieveQuestion {
  readonly modelName: RetrieveModelName;
  readonly model: RetrieveModel;
  readonly level: AttributeLevel;
  readonly keys: UniqueKeys;
  /** Options that a hierarchical retrieval needs and this one lacks. */
  readonly lacking: readonly string[];
  readonly identifier: DataSet;
  /** The same question for certain instances of a series, or a whole series. */
  narrowed(keys: UniqueKeys, level: AttributeLevel): DataSet;
}

function wrong(message: string, hint?: string): IsocenterError {
  return new IsocenterError('USAGE', message, {
    exitCode: EXIT.usage,
    ...(hint === undefined ? {} : { hint }),
  });
}

const several = (text: string, before: readonly string[] | undefined): string[] => [
  ...(before ?? []),
  ...text.split(/[\\,]/).filter((uid) => uid !== ''),
];

/** Adds `--study` and its like to a command. */
export function selectionOptions(command: Command): Command {
  return command
    .option('--study <uid>', 'Study Instance UID; may be repeated', several)
    .option('--series <uid>', 'Series Instance UID; may be repeated', several)
    .option('--instance <uid>', 'SOP Instance UID; may be repeated', several)
    .option('--patient <id>', 'Patient ID');
}

/** Adds what `get` and `move` have in common. */
export function retrieveOptions(command: Command): Command {
  return selectionOptions(command)
    .option(
      '-k, --key <key=value>',
      'a unique key: PatientID, StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID; may be repeated',
      (text: string, before: readonly QueryKey[] | undefined) => [...(before ?? []), parseKey(text)],
    )
    .option(
      '-m, --model <model>',
      'study, patient or patient-study; default: study, with a patient patient',
      parseModel,
    );
}

export function parseLevel(text: string): AttributeLevel {
  const level = readLevel(text);
  if (level === undefined) throw new InvalidArgumentError(`${levelsToChoose(text)}.`);
  return level;
}

function parseModel(text: string): RetrieveModelName {
  if (Object.hasOwn(RETRIEVE_MODELS, text)) return text as RetrieveModelName;
  const models = Object.keys(RETRIEVE_MODELS);
  throw new InvalidArgumentError(`choose one of ${models.join(', ')}${didYouMean(text, models)}.`);
}

/**
 * Puts together what is to be retrieved.
 * @throws IsocenterError (exit 2) on what contradicts itself or can't be asked for
 */
export function askFor(levelGiven: AttributeLevel | undefined, options: RetrieveOptions): RetrieveQuestion {
  const { keys, level: asKey } = readKeys(options);
  if (levelGiven !== undefined && asKey !== undefined && levelGiven !== asKey)
    throw wrong(`the level is given twice, as ${levelGiven} and as ${asKey}`);
  const deepest = UNIQUE.findLast(({ keyword }) => keys[keyword] !== undefined);
  if (deepest === undefined)
    throw wrong(
      'nothing says what to retrieve',
      'give --study UID, --series UID, --instance UID or --patient ID',
    );
  const level = levelGiven ?? asKey ?? deepest.level;
  const row = UNIQUE.find((one) => one.level === level) ?? deepest;
  if (keys[row.keyword] === undefined) throw wrong(`the level ${level} needs its key`, `add ${row.option}`);
  if (row !== deepest && UNIQUE.indexOf(row) < UNIQUE.indexOf(deepest))
    throw wrong(
      `${deepest.option} is below the level ${level}`,
      `leave it out, or take the level ${deepest.level}`,
    );
  const modelName = options.model ?? (keys.PatientID === undefined ? 'study' : 'patient');
  const model: RetrieveModel = RETRIEVE_MODELS[modelName];
  if (!model.levels.includes(level))
    throw wrong(
      `the ${modelName} model has no level ${level}`,
      level === 'PATIENT' ? 'take --model patient' : 'take --model study or --model patient',
    );
  const upper = UNIQUE.slice(0, UNIQUE.indexOf(row)).filter((one) => model.levels.includes(one.level));
  for (const { keyword, option } of upper) {
    if (valuesOf(keys, keyword).length > 1)
      throw wrong(
        `of ${option} only one may be given at the level ${level}`,
        'retrieve them one after the other',
      );
  }
  return {
    modelName,
    model,
    level,
    keys,
    lacking: upper.filter(({ keyword }) => keys[keyword] === undefined).map(({ option }) => option),
    identifier: encode(keys, level),
    narrowed: (narrower, at) => encode({ ...keys, ...narrower }, at),
  };
}

function valuesOf(keys: UniqueKeys, keyword: keyof UniqueKeys): readonly string[] {
  const value = keys[keyword];
  return value === undefined ? [] : typeof value === 'string' ? [value] : value;
}

function readKeys(options: RetrieveOptions): { keys: UniqueKeys; level: AttributeLevel | undefined } {
  const values: Partial<Record<keyof UniqueKeys, string[]>> = {};
  const add = (keyword: keyof UniqueKeys, given: readonly string[]): void => {
    if (given.length > 0) values[keyword] = [...(values[keyword] ?? []), ...given];
  };
  if (options.patient !== undefined) add('PatientID', [options.patient]);
  add('StudyInstanceUID', options.study ?? []);
  add('SeriesInstanceUID', options.series ?? []);
  add('SOPInstanceUID', options.instance ?? []);
  let level: AttributeLevel | undefined;
  for (const { path, value } of options.key ?? []) {
    const unique = path.length === 1 ? UNIQUE.find(({ keyword }) => tagOf(keyword) === path[0]) : undefined;
    if (path.length === 1 && path[0] === QUERY_RETRIEVE_LEVEL) {
      level = readLevel(value ?? '');
      if (level === undefined)
        throw wrong(`the level "${printable(value ?? '', 64)}" is none: ${levelsToChoose('')}`);
    } else if (unique === undefined) {
      throw wrong(
        `${pathName(path)} is no unique key`,
        'retrieval goes by PatientID, StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID alone (PS3.4 C.4.2.2.1); find the UIDs with isocenter query',
      );
    } else if (value !== undefined) {
      add(unique.keyword, unique.keyword === 'PatientID' ? [value] : several(value, undefined));
    }
  }
  if ((values.PatientID ?? []).length > 1) throw wrong('one patient can be retrieved at a time');
  for (const [keyword, uids] of Object.entries(values)) {
    if (keyword !== 'PatientID' && uids.some((uid) => /[*?]/.test(uid)))
      throw wrong(`${keyword} has a wildcard`, 'retrieval takes none: find the UIDs with isocenter query');
  }
  const { PatientID, ...uids } = values;
  return { keys: { ...uids, ...(PatientID?.[0] === undefined ? {} : { PatientID: PatientID[0] }) }, level };
}

function encode(keys: UniqueKeys, level: AttributeLevel): DataSet {
  const encoded = new QueryKeys();
  const last = UNIQUE.findIndex((one) => one.level === level);
  for (const { keyword } of UNIQUE.slice(0, last + 1)) {
    const values = valuesOf(keys, keyword);
    const tag = tagOf(keyword);
    if (values.length > 0 && tag !== undefined)
      encoded.add({ path: [tag], value: values.join('\\'), emptyItem: false });
  }
  const set = parseCharacterSet(encoded.isAscii ? [] : ['ISO_IR 192']);
  const charset =
    set.terms.length === 0 ? [] : [{ tag: 0x00080005, vr: 'CS', value: Buffer.from('ISO_IR 192') }];
  return [
    ...charset,
    { tag: QUERY_RETRIEVE_LEVEL, vr: 'CS', value: Buffer.from(level, 'latin1') },
    ...encoded.encode(set),
  ];
}
