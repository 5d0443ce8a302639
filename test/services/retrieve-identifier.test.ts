import { decodeDataSet } from '../../src/dicom/data-set';
import { queryClass } from '../../src/services/query-classes';
import { planRetrieve, type RetrievePlan } from '../../src/services/retrieve-identifier';
import { TS } from '../support/data-sets';
import { identifier, refusal, type Keys } from './query-kit';

const CLASSES = {
  patient: '1.2.840.10008.5.1.4.1.2.1.2',
  study: '1.2.840.10008.5.1.4.1.2.2.3',
  patientStudy: '1.2.840.10008.5.1.4.1.2.3.2',
} as const;

interface Terms {
  readonly model?: keyof typeof CLASSES;
  readonly lenient?: boolean;
  readonly defaultCharset?: string;
}

function plan(keys: Keys, { model = 'study', ...peer }: Terms = {}): RetrievePlan {
  return planRetrieve(decodeDataSet(identifier(keys), TS.explicit), {
    queryClass: queryClass(CLASSES[model])!,
    peer,
  });
}

describe('what is named', () => {
  it.each<[string, Keys, Terms, RetrievePlan]>([
    [
      'a study',
      { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '1.2.3' },
      {},
      { level: 'STUDY', selection: { StudyInstanceUID: ['1.2.3'] } },
    ],
    [
      'studies, each once',
      { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '1.2\\1.3\\1.2' },
      {},
      { level: 'STUDY', selection: { StudyInstanceUID: ['1.2', '1.3'] } },
    ],
    [
      'a level with blanks around it',
      { QueryRetrieveLevel: 'STUDY ', StudyInstanceUID: '1.2.3\0' },
      {},
      { level: 'STUDY', selection: { StudyInstanceUID: ['1.2.3'] } },
    ],
    [
      'series of a study',
      { QueryRetrieveLevel: 'SERIES', StudyInstanceUID: '1.2', SeriesInstanceUID: '1.2.1\\1.2.2' },
      {},
      { level: 'SERIES', selection: { StudyInstanceUID: ['1.2'], SeriesInstanceUID: ['1.2.1', '1.2.2'] } },
    ],
    [
      'a series alone: anybody may leave out the levels above',
      { QueryRetrieveLevel: 'SERIES', SeriesInstanceUID: '1.2.1', StudyInstanceUID: '' },
      {},
      { level: 'SERIES', selection: { SeriesInstanceUID: ['1.2.1'] } },
    ],
    [
      'images, with every level above',
      {
        QueryRetrieveLevel: 'IMAGE',
        PatientID: 'P1',
        StudyInstanceUID: '1.2',
        SeriesInstanceUID: '1.2.1',
        SOPInstanceUID: '1\\2',
      },
      { model: 'patient' },
      {
        level: 'IMAGE',
        selection: {
          PatientID: 'P1',
          StudyInstanceUID: ['1.2'],
          SeriesInstanceUID: ['1.2.1'],
          SOPInstanceUID: ['1', '2'],
        },
      },
    ],
    [
      'a patient',
      { QueryRetrieveLevel: 'PATIENT', PatientID: ' P1 ' },
      { model: 'patient' },
      { level: 'PATIENT', selection: { PatientID: 'P1' } },
    ],
    [
      'a patient of an issuer',
      { QueryRetrieveLevel: 'PATIENT', PatientID: 'P1', IssuerOfPatientID: 'CITY' },
      { model: 'patientStudy' },
      { level: 'PATIENT', selection: { PatientID: 'P1', IssuerOfPatientID: 'CITY' } },
    ],
    [
      'a study of a patient, in Study Root too',
      { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '1.2', PatientID: 'P1', IssuerOfPatientID: '' },
      {},
      { level: 'STUDY', selection: { StudyInstanceUID: ['1.2'], PatientID: 'P1' } },
    ],
    [
      'a study, whatever else an answer to a query held',
      {
        QueryRetrieveLevel: 'STUDY',
        StudyInstanceUID: '1.2',
        PatientName: 'Doe^John',
        StudyDate: '20240101',
        RetrieveAETitle: 'NODE',
        SeriesInstanceUID: '',
        ModalitiesInStudy: 'CT',
      },
      {},
      { level: 'STUDY', selection: { StudyInstanceUID: ['1.2'] } },
    ],
    [
      'a study, from a lenient remote with a key of a lower level',
      { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '1.2', SeriesInstanceUID: '1.2.1' },
      { lenient: true },
      { level: 'STUDY', selection: { StudyInstanceUID: ['1.2'] } },
    ],
    [
      'a patient by another character set',
      { QueryRetrieveLevel: 'PATIENT', PatientID: Buffer.from('M\xfcller', 'latin1') },
      { model: 'patient', defaultCharset: 'ISO_IR 100' },
      { level: 'PATIENT', selection: { PatientID: 'Müller' } },
    ],
  ])('%s', (_what, keys, terms, expected) => {
    expect(plan(keys, terms)).toEqual(expected);
  });
});

describe('A900', () => {
  it.each<[string, Keys, Terms, string, RegExp]>([
    ['no level', { StudyInstanceUID: '1.2' }, {}, 'QueryRetrieveLevel', /is missing/],
    [
      'no such level',
      { QueryRetrieveLevel: 'FOO' },
      {},
      'QueryRetrieveLevel',
      /none of STUDY, SERIES, IMAGE/,
    ],
    [
      'two levels',
      { QueryRetrieveLevel: 'STUDY\\SERIES', StudyInstanceUID: '1.2' },
      {},
      'QueryRetrieveLevel',
      /none of/,
    ],
    [
      'a level of another model',
      { QueryRetrieveLevel: 'SERIES', SeriesInstanceUID: '1.2' },
      { model: 'patientStudy' },
      'QueryRetrieveLevel',
      /none of PATIENT, STUDY/,
    ],
    [
      'no key',
      { QueryRetrieveLevel: 'STUDY' },
      {},
      'StudyInstanceUID',
      /is missing: it says what to retrieve/,
    ],
    ['an empty key', { QueryRetrieveLevel: 'IMAGE', SOPInstanceUID: '' }, {}, 'SOPInstanceUID', /is missing/],
    [
      'only separators',
      { QueryRetrieveLevel: 'IMAGE', SOPInstanceUID: '\\\\' },
      {},
      'SOPInstanceUID',
      /is missing/,
    ],
    [
      'only a key of another kind',
      { QueryRetrieveLevel: 'STUDY', AccessionNumber: 'A1' },
      {},
      'StudyInstanceUID',
      /is missing/,
    ],
    [
      'only the key of the level above',
      { QueryRetrieveLevel: 'SERIES', StudyInstanceUID: '1.2' },
      {},
      'SeriesInstanceUID',
      /is missing/,
    ],
    [
      'a wildcard',
      { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '1.2.*' },
      {},
      'StudyInstanceUID',
      /wildcards/,
    ],
    [
      'a lone wildcard',
      { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '*' },
      {},
      'StudyInstanceUID',
      /wildcards/,
    ],
    [
      'a wildcard above',
      { QueryRetrieveLevel: 'SERIES', StudyInstanceUID: '1?', SeriesInstanceUID: '1' },
      {},
      'StudyInstanceUID',
      /wildcards/,
    ],
    [
      'a wildcard in the patient',
      { QueryRetrieveLevel: 'PATIENT', PatientID: 'P*' },
      { model: 'patient' },
      'PatientID',
      /wildcards/,
    ],
    [
      'a wildcard in the issuer',
      { QueryRetrieveLevel: 'PATIENT', PatientID: 'P', IssuerOfPatientID: '*' },
      { model: 'patient' },
      'IssuerOfPatientID',
      /wildcards/,
    ],
    [
      'several patients',
      { QueryRetrieveLevel: 'PATIENT', PatientID: 'P1\\P2' },
      { model: 'patient' },
      'PatientID',
      /takes one value/,
    ],
    [
      'a list above the level',
      { QueryRetrieveLevel: 'SERIES', StudyInstanceUID: '1\\2', SeriesInstanceUID: '1' },
      {},
      'StudyInstanceUID',
      /takes one value at SERIES level/,
    ],
    [
      'a key of a lower level',
      { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '1', SOPInstanceUID: '2' },
      {},
      'SOPInstanceUID',
      /is a key of IMAGE level/,
    ],
  ])('%s', (_what, keys, terms, at, comment) => {
    const refused = refusal(() => plan(keys, terms));
    expect([refused.status, refused.at]).toEqual([0xa900, [at]]);
    expect(refused.comment).toMatch(comment);
    expect(refused.comment.length).toBeLessThanOrEqual(64);
  });

  it('says no value of a patient', () => {
    const keys = { QueryRetrieveLevel: 'PATIENT', PatientID: 'SECRET*' };
    expect(refusal(() => plan(keys, { model: 'patient' })).comment).not.toContain('SECRET');
  });

  it('for a sequence in the place of a key', () => {
    const keys = { QueryRetrieveLevel: 'STUDY', ReferencedStudySequence: [{}] };
    expect(refusal(() => plan(keys)).at).toEqual(['StudyInstanceUID']);
  });
});
