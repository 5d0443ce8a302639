import { tagOf, vrOf } from './dictionary';
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

function attribute(row: string): Attribute {
  const [level, key, kind, keyword = ''] = row.split(/ +/);
  const tag = tagOf(keyword);
  if (tag === undefined) throw new Error(`attribute table: no keyword ${keyword} in the dictionary`);
  return {
    keyword,
    tag,
    vr: vrOf(tag),
    level: level as AttributeLevel,
    key: key as KeyType,
    kind: kind as AttributeKind,
  };
}

/**
 * The attributes of the query/retrieve models (PS3.4 C.3, C.6), each at its level; patient attributes serve the study level of
 * Study Root as well. Negotiation of keys, the catalog's columns, extraction from headers, matching and the conformance
 * statement all read these rows.
 */
export const ATTRIBUTES: readonly Attribute[] = ROWS.trim().split('\n').map(attribute);

const byKeyword: ReadonlyMap<string, Attribute> = new Map(ATTRIBUTES.map((row) => [row.keyword, row]));
const byTag: ReadonlyMap<Tag, Attribute> = new Map(ATTRIBUTES.map((row) => [row.tag, row]));

/** The row of a keyword, or undefined where the attribute can't be asked for. */
export function attributeOf(keyword: string): Attribute | undefined {
  return byKeyword.get(keyword);
}

/** The row of a tag, or undefined. */
export function attributeOfTag(tag: Tag): Attribute | undefined {
  return byTag.get(tag);
}

/** Attributes that the catalog keeps at a level, in the order of the table. */
export function storedAttributes(level: AttributeLevel): Attribute[] {
  return ATTRIBUTES.filter((row) => row.kind === 'stored' && row.level === level);
}
