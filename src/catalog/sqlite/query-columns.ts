import { EXIT, IsocenterError } from '../../errors';
import type { Level } from '../types';
import type { SETS } from './layout';
import { LEVELS, isNumeric, type Layout } from './layout';

/** Where the catalog keeps an attribute. */
export interface Column {
  readonly keyword: string;
  readonly level: Level;
  readonly vr: string;
  /** SQL for its value; made of names of the layout alone. */
  readonly text: string;
  /** Never more than one value, whatever the VR allows. */
  readonly single: boolean;
  /** Of a person name: SQL for the folded groups. */
  readonly names: readonly [string, string, string] | undefined;
}

/** UIDs that an instance must have: the one kind of value that is checked before it is kept. */
const SINGLE: ReadonlySet<string> = new Set([
  'StudyInstanceUID',
  'SeriesInstanceUID',
  'SOPInstanceUID',
  'SOPClassUID',
]);

const SET_VRS: Readonly<Record<(typeof SETS)[number], string>> = {
  ModalitiesInStudy: 'CS',
  SOPClassesInStudy: 'UI',
};

/**
 * The column of a keyword at a level or above.
 * @throws IsocenterError `CATALOG_FILTER`
 */
export function columnOf(layout: Layout, level: Level, keyword: string): Column {
  for (const one of LEVELS.slice(0, LEVELS.indexOf(level) + 1)) {
    const column = ownColumn(layout, one, keyword);
    if (column !== undefined) return column;
  }
  throw unusable(keyword, `can't be asked for at level ${level}`);
}

function ownColumn(layout: Layout, level: Level, keyword: string): Column | undefined {
  const { table, attributes, counted, names } = layout[level];
  const position = attributes.findIndex((one) => one.keyword === keyword);
  const attribute = attributes[position];
  const plain = { keyword, level, text: `${table}.${keyword}`, names: undefined };
  if (attribute !== undefined) {
    const [alphabetic, ideographic, phonetic] =
      names.find((one) => one.position === position)?.columns.map((column) => `${table}.${column}`) ?? [];
    return {
      ...plain,
      vr: attribute.vr,
      single: SINGLE.has(keyword) || isNumeric(attribute),
      ...(alphabetic === undefined || ideographic === undefined || phonetic === undefined
        ? {}
        : { names: [alphabetic, ideographic, phonetic] as const }),
    };
  }
  if (counted.includes(keyword)) {
    const vr = (SET_VRS as Readonly<Record<string, string | undefined>>)[keyword];
    return { ...plain, vr: vr ?? 'UL', single: vr === undefined };
  }
  const made = MADE.find((one) => one.level === level && one.keyword === keyword);
  return made && { ...plain, ...made, single: true };
}

/** Columns that aren't kept under their keyword. */
const MADE: readonly Pick<Column, 'level' | 'keyword' | 'vr' | 'text'>[] = [
  { level: 'STUDY', keyword: 'InstanceAvailability', vr: 'CS', text: "'ONLINE'" },
  { level: 'IMAGE', keyword: 'AvailableTransferSyntaxUID', vr: 'UI', text: 'instances.TransferSyntaxUID' },
];

/**
 * The column of a keyword that is to be returned. At STUDY level there is also the time zone of the first series that tells its own.
 * @throws IsocenterError `CATALOG_FILTER`
 */
export function returnedColumn(layout: Layout, level: Level, keyword: string): Column {
  if (level === 'STUDY' && keyword === 'TimezoneOffsetFromUTC') {
    const column = ownColumn(layout, 'SERIES', keyword);
    if (column !== undefined) return { ...column, level, text: ZONE_OF_STUDY };
  }
  return columnOf(layout, level, keyword);
}

const ZONE_OF_STUDY = `(SELECT zoned.TimezoneOffsetFromUTC FROM series AS zoned
  WHERE zoned.study = studies.id AND zoned.TimezoneOffsetFromUTC IS NOT NULL ORDER BY zoned.firstArrival LIMIT 1)`;

/** Every column of a level and those above, counters included. */
export function allKeywords(layout: Layout, level: Level): string[] {
  return LEVELS.slice(0, LEVELS.indexOf(level) + 1).flatMap((one) => {
    const { attributes, counted } = layout[one];
    const made = one === 'IMAGE' ? ['AvailableTransferSyntaxUID'] : [];
    return [...attributes.map(({ keyword }) => keyword), ...counted, ...made];
  });
}

export function unusable(keyword: string, why: string): IsocenterError {
  // The keyword may be anything that was typed; the key may be a patient's name.
  const shown = /^\w{1,64}$/.test(keyword) ? keyword : 'A keyword';
  return new IsocenterError('CATALOG_FILTER', `${shown} ${why}`, {
    exitCode: EXIT.usage,
    hint: 'the conformance statement lists the keys of each level',
  });
}
