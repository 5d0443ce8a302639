import type { AttributeValue } from '../../dicom/types';
import type { Level } from '../types';

/** What the catalog needs to know of a row of the attribute table; plain data, so that it can be handed to a thread. */
export interface CatalogAttribute {
  readonly keyword: string;
  readonly level: Level;
  readonly vr: string;
}

/** A person name is matched folded, by component group (PS3.5 6.2.1): one column each beside the name itself. */
export interface NameColumns {
  readonly position: number;
  readonly columns: readonly [alphabetic: string, ideographic: string, phonetic: string];
}

export interface LevelLayout {
  readonly level: Level;
  readonly table: string;
  /** Column that holds the row id of the level above. */
  readonly parent: string | undefined;
  /** Keywords that the writer counts up or derives; columns like the others, never filled from a header. */
  readonly counted: readonly string[];
  /** The order of these is the order of a row's values everywhere. */
  readonly attributes: readonly CatalogAttribute[];
  readonly names: readonly NameColumns[];
}

export type Layout = Readonly<Record<Level, LevelLayout>>;

export const LEVELS = ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'] as const satisfies readonly Level[];

export const SETS = ['ModalitiesInStudy', 'SOPClassesInStudy'] as const;

const SHAPE = {
  PATIENT: {
    table: 'patients',
    parent: undefined,
    counted: [
      'NumberOfPatientRelatedStudies',
      'NumberOfPatientRelatedSeries',
      'NumberOfPatientRelatedInstances',
    ],
  },
  STUDY: {
    table: 'studies',
    parent: 'patient',
    counted: ['NumberOfStudyRelatedSeries', 'NumberOfStudyRelatedInstances', ...SETS],
  },
  SERIES: { table: 'series', parent: 'study', counted: ['NumberOfSeriesRelatedInstances'] },
  IMAGE: { table: 'instances', parent: 'series', counted: [] },
} as const satisfies Record<Level, Pick<LevelLayout, 'table' | 'parent' | 'counted'>>;

const NUMERIC = new Set(['US', 'SS', 'UL', 'SL', 'FL', 'FD']);

export function isNumeric(attribute: CatalogAttribute): boolean {
  return NUMERIC.has(attribute.vr);
}

/** The columns of all four tables. */
export function layoutOf(attributes: readonly CatalogAttribute[]): Layout {
  const level = (name: Level): LevelLayout => {
    const own = attributes.filter((attribute) => attribute.level === name);
    return { level: name, ...SHAPE[name], attributes: own, names: nameColumns(own) };
  };
  return { PATIENT: level('PATIENT'), STUDY: level('STUDY'), SERIES: level('SERIES'), IMAGE: level('IMAGE') };
}

function nameColumns(attributes: readonly CatalogAttribute[]): NameColumns[] {
  return attributes.flatMap(({ vr, keyword }, position) =>
    vr === 'PN'
      ? [
          {
            position,
            columns: [`${keyword}_alphabetic`, `${keyword}_ideographic`, `${keyword}_phonetic`] as const,
          },
        ]
      : [],
  );
}

/**
 * A header's values in column order. What the column would change on its way in (a number into text, an ill-formed
 * string) is changed here, so that a value compares equal to itself when read back.
 */
export function rowValues(
  layout: LevelLayout,
  values: Readonly<Record<string, AttributeValue>>,
): (AttributeValue | null)[] {
  return layout.attributes.map((attribute) => {
    const value = values[attribute.keyword];
    if (value === undefined) return null;
    if (isNumeric(attribute)) return typeof value === 'number' && Number.isFinite(value) ? value : null;
    const text = typeof value === 'string' ? value : String(value);
    return text === '' ? null : text.isWellFormed() ? text : text.toWellFormed();
  });
}
