import { keywordOf, tagOf, vrOf } from './dictionary';
import type { Tag } from './types';

export type AttributeLevel = 'PATIENT' | 'STUDY' | 'SERIES' | 'IMAGE';

/** Unique, required or optional key (PS3.4 C.2.2.1). */
export type KeyType = 'U' | 'R' | 'O';

/**
 * Where the value comes from: `stored` = read from the data set into the catalog; `computed` = from what the catalog holds
 * (PS3.4 C.3.4); `derived` = from how the instance is kept.
 */
export type AttributeKind = 'stored' | 'computed' | 'derived';

/** An attribute that can be asked for. */
export interface Attribute {
  readonly keyword: string;
  readonly tag: Tag;
  readonly vr: string;
  readonly level: AttributeLevel;
  readonly key: KeyType;
  readonly kind: AttributeKind;
}

const ROWS = `
PATIENT U stored   PatientID
PATIENT R stored   PatientName
PATIENT O stored   IssuerOfPatientID
PATIENT O stored   PatientBirthDate
PATIENT O stored   PatientSex
PATIENT O stored   OtherPatientIDs
PATIENT O computed NumberOfPatientRelatedStudies
PATIENT O computed NumberOfPatientRelatedSeries
PATIENT O computed NumberOfPatientRelatedInstances
STUDY   U stored   StudyInstanceUID
STUDY   R stored   StudyDate
STUDY   R stored   StudyTime
STUDY   R stored   AccessionNumber
STUDY   R stored   StudyID
STUDY   O stored   StudyDescription
STUDY   O stored   ReferringPhysicianName
STUDY   O stored   InstitutionName
STUDY   O computed ModalitiesInStudy
STUDY   O computed SOPClassesInStudy
STUDY   O computed NumberOfStudyRelatedSeries
STUDY   O computed NumberOfStudyRelatedInstances
STUDY   O computed InstanceAvailability
SERIES  U stored   SeriesInstanceUID
SERIES  R stored   Modality
SERIES  R stored   SeriesNumber
SERIES  O stored   SeriesDescription
SERIES  O stored   SeriesDate
SERIES  O stored   SeriesTime
SERIES  O stored   BodyPartExamined
SERIES  O stored   ProtocolName
SERIES  O stored   StationName
SERIES  O stored   PerformedProcedureStepStartDate
SERIES  O stored   PerformedProcedureStepStartTime
SERIES  O stored   RequestAttributesSequence
SERIES  O stored   TimezoneOffsetFromUTC
SERIES  O computed NumberOfSeriesRelatedInstances
IMAGE   U stored   SOPInstanceUID
IMAGE   R stored   InstanceNumber
IMAGE   O stored   SOPClassUID
IMAGE   O stored   Rows
IMAGE   O stored   Columns
IMAGE   O stored   NumberOfFrames
IMAGE   O stored   ContentDate
IMAGE   O stored   ContentTime
IMAGE   O stored   AcquisitionNumber
IMAGE   O stored   ImageType
IMAGE   O stored   ConceptNameCodeSequence
IMAGE   O derived  AvailableTransferSyntaxUID
`;

function attribute(keyword: string, level: AttributeLevel, key: KeyType, kind: AttributeKind): Attribute {
  const tag = tagOf(keyword);
  if (tag === undefined) throw new Error(`attribute table: no keyword ${keyword} in the dictionary`);
  return { keyword, tag, vr: vrOf(tag), level, key, kind };
}

function builtIn(row: string): Attribute {
  const [level, key, kind, keyword = ''] = row.split(/ +/);
  return attribute(keyword, level as AttributeLevel, key as KeyType, kind as AttributeKind);
}

/**
 * Attributes of the query/retrieve models (PS3.4 C.3, C.6), each at its level; patient attributes serve the study level of
 * Study Root as well. Negotiation of keys, the catalog's columns, extraction from headers, matching and the conformance
 * statement all read the rows of one table.
 */
export class AttributeTable {
  readonly rows: readonly Attribute[];
  /** What is read from a data set, by tag. */
  readonly wanted: ReadonlyMap<Tag, Attribute>;
  private readonly byKeyword: ReadonlyMap<string, Attribute>;
  private readonly byTag: ReadonlyMap<Tag, Attribute>;

  constructor(rows: readonly Attribute[]) {
    this.rows = rows;
    this.wanted = new Map(rows.filter((row) => row.kind === 'stored').map((row) => [row.tag, row]));
    this.byKeyword = new Map(rows.map((row) => [row.keyword, row]));
    this.byTag = new Map(rows.map((row) => [row.tag, row]));
  }

  /** The row of a keyword, or undefined where the attribute can't be asked for. */
  of(keyword: string): Attribute | undefined {
    return this.byKeyword.get(keyword);
  }

  /** The row of a tag, or undefined. */
  ofTag(tag: Tag): Attribute | undefined {
    return this.byTag.get(tag);
  }

  /** Attributes that the catalog keeps, level by level, in the order of the table. */
  stored(...levels: readonly AttributeLevel[]): Attribute[] {
    const wanted = levels.length === 0 ? ATTRIBUTE_LEVELS : levels;
    return wanted.flatMap((level) => this.rows.filter((row) => row.kind === 'stored' && row.level === level));
  }
}

const ATTRIBUTE_LEVELS: readonly AttributeLevel[] = ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'];

/** The table without what a configuration adds. */
export const BUILT_IN = new AttributeTable(ROWS.trim().split('\n').map(builtIn));

export const ATTRIBUTES: readonly Attribute[] = BUILT_IN.rows;

/** The built-in row of a keyword, or undefined. */
export function attributeOf(keyword: string): Attribute | undefined {
  return BUILT_IN.of(keyword);
}

/** The built-in row of a tag, or undefined. */
export function attributeOfTag(tag: Tag): Attribute | undefined {
  return BUILT_IN.ofTag(tag);
}

/** Built-in attributes that the catalog keeps at a level, in the order of the table. */
export function storedAttributes(level: AttributeLevel): Attribute[] {
  return BUILT_IN.stored(level);
}

/** The words of `catalog.attributes` for the levels. */
export const LEVEL_WORDS = {
  patient: 'PATIENT',
  study: 'STUDY',
  series: 'SERIES',
  instance: 'IMAGE',
} as const;

/** An entry of `catalog.attributes`. */
export interface AddedAttribute {
  readonly keyword: string;
  readonly level: keyof typeof LEVEL_WORDS;
}

/** The built-in table with what the configuration adds behind it; each entry is one that `additionProblem` has nothing against. */
export function attributesOf(added: readonly AddedAttribute[]): AttributeTable {
  if (added.length === 0) return BUILT_IN;
  const rows = added.map(({ keyword, level }) => attribute(keyword, LEVEL_WORDS[level], 'O', 'stored'));
  return new AttributeTable([...ATTRIBUTES, ...rows]);
}

/** VRs whose values can be kept, matched and returned: text, numbers of up to eight bytes, sequences. */
const ADDABLE_VRS: ReadonlySet<string> = new Set(
  'AE AS CS DA DS DT FD FL IS LO LT PN SH SL SQ SS ST TM UC UI UL UR US UT'.split(' '),
);

/** Attributes that every answer carries, or that only a request has. */
const SPOKEN_FOR: ReadonlySet<string> = new Set([
  'SpecificCharacterSet',
  'QueryRetrieveLevel',
  'QueryRetrieveView',
  'RetrieveAETitle',
]);

/** Why an attribute of the dictionary can't be added to the table, or undefined. */
export function additionProblem(tag: Tag): string | undefined {
  const known = BUILT_IN.ofTag(tag);
  if (known !== undefined) {
    const verb = known.kind === 'stored' ? 'is kept' : 'is answered';
    return `${verb} already, at ${LEVEL_NAMES[known.level]} level: take the entry out`;
  }
  if (tag < FIRST_OF_DATA_SET) return 'is no part of a data set';
  if (SPOKEN_FOR.has(keywordOf(tag) ?? '')) return 'belongs to queries themselves';
  const vr = vrOf(tag);
  return ADDABLE_VRS.has(vr)
    ? undefined
    : `has values of ${vr}, which can't be searched: only text, numbers and sequences can`;
}

/** Groups below are those of commands and of file meta information (PS3.5 7.1). */
const FIRST_OF_DATA_SET = 0x00080000;

const LEVEL_NAMES: Readonly<Record<AttributeLevel, string>> = {
  PATIENT: 'patient',
  STUDY: 'study',
  SERIES: 'series',
  IMAGE: 'instance',
};
