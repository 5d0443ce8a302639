import type { Level } from '../catalog/types';
import { UID } from '../dicom/uids';
import { COMMAND } from '../dimse/operations';
import type { Right } from '../peer';

/** One SOP class of Query/Retrieve (PS3.4 C.6), as negotiation and the services offer it. */
export interface QueryClass {
  readonly uid: string;
  /** Levels of its model, from the top (PS3.4 C.6.1 to C.6.3). */
  readonly levels: readonly Level[];
  /** The command that its contexts carry. */
  readonly commandField: number;
  /** What the caller must be allowed. */
  readonly right: Right;
  /** Service class application information that is built: a byte each, 1 = yes (PS3.4 C.5.1.1, C.5.2.1, C.5.3.1). */
  readonly information: readonly number[];
}

const PATIENT_ROOT = ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'] as const;
const STUDY_ROOT = ['STUDY', 'SERIES', 'IMAGE'] as const;
const PATIENT_STUDY_ONLY = ['PATIENT', 'STUDY'] as const;

/**
 * Table C.5.1.1.1-1: relational queries, combined date-time matching, fuzzy person names, timezone adjustment, enhanced multi-frame
 * conversion (not built), empty value matching, multiple value matching.
 */
const FIND_INFORMATION = [1, 1, 1, 1, 0, 1, 1];

/** Tables C.5.2.1-1 and C.5.3.1-1: relational retrieval, enhanced multi-frame conversion (not built). */
const RETRIEVE_INFORMATION = [1, 0];

const FIND = { commandField: COMMAND['C-FIND'], right: 'find', information: FIND_INFORMATION } as const;
const MOVE = { commandField: COMMAND['C-MOVE'], right: 'move', information: RETRIEVE_INFORMATION } as const;
const GET = { commandField: COMMAND['C-GET'], right: 'get', information: RETRIEVE_INFORMATION } as const;

/** Every class that is served: a row each. */
export const QUERY_CLASSES: readonly QueryClass[] = [
  { uid: UID.PatientRootQueryRetrieveInformationModelFind, levels: PATIENT_ROOT, ...FIND },
  { uid: UID.PatientRootQueryRetrieveInformationModelMove, levels: PATIENT_ROOT, ...MOVE },
  { uid: UID.PatientRootQueryRetrieveInformationModelGet, levels: PATIENT_ROOT, ...GET },
  { uid: UID.StudyRootQueryRetrieveInformationModelFind, levels: STUDY_ROOT, ...FIND },
  { uid: UID.StudyRootQueryRetrieveInformationModelMove, levels: STUDY_ROOT, ...MOVE },
  { uid: UID.StudyRootQueryRetrieveInformationModelGet, levels: STUDY_ROOT, ...GET },
  { uid: UID.PatientStudyOnlyQueryRetrieveInformationModelFind, levels: PATIENT_STUDY_ONLY, ...FIND },
  { uid: UID.PatientStudyOnlyQueryRetrieveInformationModelMove, levels: PATIENT_STUDY_ONLY, ...MOVE },
  { uid: UID.PatientStudyOnlyQueryRetrieveInformationModelGet, levels: PATIENT_STUDY_ONLY, ...GET },
];

const byUid: ReadonlyMap<string, QueryClass> = new Map(QUERY_CLASSES.map((row) => [row.uid, row]));

/** The row of a SOP class, or undefined where it isn't served. */
export function queryClass(uid: string): QueryClass | undefined {
  return byUid.get(uid);
}

/** Whether a command is legal on a class's contexts. */
export function carries(uid: string, commandField: number): boolean {
  return byUid.get(uid)?.commandField === commandField;
}

/** What both sides have agreed on for C-FIND. */
export interface FindAgreement {
  readonly relational: boolean;
  readonly combinedDateTime: boolean;
  readonly fuzzyNames: boolean;
  readonly timezone: boolean;
  readonly emptyValue: boolean;
  readonly multipleValues: boolean;
}

/** Reads the information that was answered; a byte that isn't there is 0, as is one of another value than 1. */
export function findAgreement(information: Buffer | undefined): FindAgreement {
  const agreed = (byte: number): boolean => information?.[byte - 1] === 1;
  return {
    relational: agreed(1),
    combinedDateTime: agreed(2),
    fuzzyNames: agreed(3),
    timezone: agreed(4),
    emptyValue: agreed(6),
    multipleValues: agreed(7),
  };
}
