import type { AttributeLevel } from '../dicom/attributes';
import { tagOf } from '../dicom/dictionary';
import type { Tag } from '../dicom/types';
import type { FindModelName, FindRow, FindValue } from '../services/find-scu';
import type { Column } from './output';

/** What is asked for unless `--only` is given: `shown` are the columns of a table, `more` is in `--json` too. */
interface Defaults {
  readonly shown: readonly string[];
  readonly more: readonly string[];
}

const QUERY: Readonly<Record<AttributeLevel, Defaults>> = {
  PATIENT: {
    shown: [
      'PatientID',
      'PatientName',
      'PatientBirthDate',
      'PatientSex',
      'NumberOfPatientRelatedStudies',
      'NumberOfPatientRelatedInstances',
    ],
    more: ['IssuerOfPatientID', 'NumberOfPatientRelatedSeries'],
  },
  STUDY: {
    shown: [
      'PatientID',
      'PatientName',
      'StudyDate',
      'AccessionNumber',
      'ModalitiesInStudy',
      'StudyDescription',
      'NumberOfStudyRelatedSeries',
      'NumberOfStudyRelatedInstances',
      'StudyInstanceUID',
    ],
    more: ['StudyTime', 'StudyID', 'ReferringPhysicianName', 'PatientBirthDate', 'PatientSex'],
  },
  SERIES: {
    shown: [
      'Modality',
      'SeriesNumber',
      'SeriesDescription',
      'NumberOfSeriesRelatedInstances',
      'SeriesInstanceUID',
    ],
    more: ['StudyInstanceUID', 'SeriesDate', 'SeriesTime', 'BodyPartExamined'],
  },
  IMAGE: {
    shown: ['InstanceNumber', 'SOPClassUID', 'SOPInstanceUID'],
    more: ['StudyInstanceUID', 'SeriesInstanceUID', 'Rows', 'Columns', 'NumberOfFrames'],
  },
};

const STEP = 'ScheduledProcedureStepSequence.';

const WORKLIST: Defaults = {
  shown: [
    `${STEP}ScheduledProcedureStepStartDate`,
    `${STEP}ScheduledProcedureStepStartTime`,
    `${STEP}ScheduledStationAETitle`,
    `${STEP}Modality`,
    'PatientID',
    'PatientName',
    'AccessionNumber',
    'RequestedProcedureDescription',
    `${STEP}ScheduledProcedureStepDescription`,
    `${STEP}ScheduledProcedureStepID`,
  ],
  more: [
    `${STEP}ScheduledPerformingPhysicianName`,
    `${STEP}ScheduledStationName`,
    `${STEP}ScheduledProcedureStepLocation`,
    `${STEP}ScheduledProcedureStepStatus`,
    `${STEP}ScheduledProtocolCodeSequence`,
    'PatientBirthDate',
    'PatientSex',
    'StudyInstanceUID',
    'RequestedProcedureID',
    'RequestedProcedureCodeSequence',
    'RequestedProcedurePriority',
    'ReferringPhysicianName',
    'RequestingPhysician',
  ],
};

/** Attributes of the patient in the Patient Root models: only the unique one may be asked for at lower levels (PS3.4 C.4.1.2.2.1). */
const PATIENT_ATTRIBUTES: ReadonlySet<string> = new Set(['PatientName', 'PatientBirthDate', 'PatientSex']);

const TITLES: Readonly<Record<string, string>> = {
  NumberOfPatientRelatedStudies: 'Studies',
  NumberOfPatientRelatedSeries: 'Series',
  NumberOfPatientRelatedInstances: 'Instances',
  NumberOfStudyRelatedSeries: 'Series',
  NumberOfStudyRelatedInstances: 'Instances',
  NumberOfSeriesRelatedInstances: 'Instances',
  ModalitiesInStudy: 'Modalities',
  ScheduledProcedureStepStartDate: 'Date',
  ScheduledProcedureStepStartTime: 'Time',
  ScheduledStationAETitle: 'Station',
  RequestedProcedureDescription: 'Procedure',
  ScheduledProcedureStepDescription: 'Step',
  ScheduledProcedureStepID: 'StepID',
};

/** A path of keywords. */
export type Path = readonly string[];

/** The return keys of a model and level, as paths of keywords. */
export function defaultKeys(
  model: FindModelName,
  level: AttributeLevel | undefined,
): { readonly shown: readonly Path[]; readonly more: readonly Path[] } {
  const { shown, more } = level === undefined ? WORKLIST : QUERY[level];
  const patientRoot = model === 'patient' || model === 'patient-study';
  const below = patientRoot && level !== 'PATIENT';
  const fits = (keyword: string): boolean => !below || !PATIENT_ATTRIBUTES.has(keyword);
  const upper = below && !shown.includes('PatientID') ? ['PatientID'] : [];
  const paths = (keywords: readonly string[]): Path[] =>
    keywords.filter(fits).map((keyword) => keyword.split('.'));
  return { shown: paths(shown), more: paths([...upper, ...more]) };
}

/** @throws Error on a keyword that isn't in the dictionary: only of the tables above, and tested */
export function tagsOf(path: Path): Tag[] {
  return path.map((keyword) => {
    const tag = tagOf(keyword);
    if (tag === undefined) throw new Error(`no keyword ${keyword} in the dictionary`);
    return tag;
  });
}

/** One column a path. Two of the same last keyword go by their whole path. */
export function columnsFor(paths: readonly Path[]): Column<FindRow>[] {
  const lasts = paths.map((path) => path.at(-1) ?? '');
  return paths.map((path, index) => {
    const last = lasts[index] ?? '';
    const ambiguous = lasts.indexOf(last) !== lasts.lastIndexOf(last);
    return {
      title: ambiguous ? path.join('.') : (TITLES[last] ?? last),
      value: (row) => cellOf(row, path),
      ...(last.startsWith('NumberOf') ? { align: 'right' } : {}),
    };
  });
}

/** The value at a path; of several items each one's, joined by `\` as several values are. */
function cellOf(row: FindRow, [first = '', ...rest]: Path): string | number | null {
  const value: FindValue | undefined = row[first];
  if (value === undefined || value === null) return null;
  if (typeof value !== 'object') return value;
  if (rest.length === 0) return value.length === 0 ? null : JSON.stringify(value);
  const cells = value.map((item) => cellOf(item, rest));
  if (cells.length === 1) return cells[0] ?? null;
  return cells.every((cell) => cell === null) ? null : cells.map((cell) => cell ?? '').join('\\');
}

/** A row as a line of JSON without a character that a terminal would act upon: JSON.stringify lets those beyond ASCII through. */
export function jsonLine(row: FindRow): string {
  const text = JSON.stringify(row).replace(/[\x7f\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    [...Array(character.length).keys()]
      .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
      .join(''),
  );
  return `${text}\n`;
}
