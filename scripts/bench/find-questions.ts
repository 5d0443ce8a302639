/** What workstations ask, of a population of any size, and how many matches are right. */
import { createRequire } from 'node:module';
import type { Keys } from './find-client';
import type * as PopulationModule from './population';
import type { Population } from './population';

const { LONG_SERIES, STUDIES_A_DAY } = createRequire(process.argv[1]!)(
  './population.ts',
) as typeof PopulationModule;

export interface Question {
  readonly name: string;
  /** Milliseconds to the final response that are aimed at, at a million instances. */
  readonly target: number | undefined;
  /** Keys of the nth time: other entities each time, where there are others. */
  keys(turn: number): Keys;
  /** Matches that the answer of the nth time has to have. */
  matches(turn: number): number;
}

/** What a list of studies shows. */
const SHOWN = {
  QueryRetrieveLevel: 'STUDY',
  StudyInstanceUID: '',
  PatientID: '',
  PatientName: '',
  PatientBirthDate: '',
  PatientSex: '',
  StudyDate: '',
  StudyTime: '',
  AccessionNumber: '',
  StudyDescription: '',
  ReferringPhysicianName: '',
};

const LIST = {
  ...SHOWN,
  ModalitiesInStudy: '',
  NumberOfStudyRelatedSeries: '',
  NumberOfStudyRelatedInstances: '',
};

/** Days of the list of a thousand studies; fewer where there are no more. */
const DAYS = 1000 / STUDIES_A_DAY;

export function questionsOf(population: Population): Question[] {
  const { studies, days } = population;
  const usual = studies - 1;
  const study = (turn: number) => population.study((turn * 6133 + 17) % usual);
  const ofPatient = new Map<string, number>();
  for (let index = 0; index < usual; index++) {
    const { PatientID } = population.study(index);
    ofPatient.set(PatientID, (ofPatient.get(PatientID) ?? 0) + 1);
  }
  const smiths = population.named('SMITH', false);
  const inner = population.named('MIT', true);
  const span = Math.min(DAYS, days);
  const start = (turn: number): number => (turn * 31) % (days - span + 1);
  const range = (turn: number): string =>
    `${population.day(start(turn))}-${population.day(start(turn) + span - 1)}`;
  const inRange = span * STUDIES_A_DAY;
  return [
    {
      name: 'exact PatientID',
      target: 4,
      keys: (turn) => ({ ...LIST, PatientID: study(turn).PatientID }),
      matches: (turn) => ofPatient.get(study(turn).PatientID)!,
    },
    {
      name: 'AccessionNumber',
      target: 4,
      keys: (turn) => ({ ...LIST, AccessionNumber: study(turn).AccessionNumber }),
      matches: () => 1,
    },
    {
      name: 'SMITH*',
      target: 10,
      keys: () => ({ ...LIST, PatientName: 'SMITH*' }),
      matches: () => smiths,
    },
    {
      name: '*mit*',
      target: 100,
      // In the case of the names: whether that counts is each server's own choice.
      keys: () => ({ ...LIST, PatientName: '*MIT*' }),
      matches: () => inner,
    },
    {
      name: `${inRange} studies by date`,
      target: 60,
      keys: (turn) => ({ ...LIST, StudyDate: range(turn) }),
      matches: () => inRange,
    },
    {
      name: 'the same without counts',
      target: undefined,
      keys: (turn) => ({ ...SHOWN, StudyDate: range(turn) }),
      matches: () => inRange,
    },
    {
      name: 'series of a study',
      target: 4,
      keys: (turn) => ({
        QueryRetrieveLevel: 'SERIES',
        StudyInstanceUID: study(turn).StudyInstanceUID,
        SeriesInstanceUID: '',
        Modality: '',
        SeriesNumber: '',
        SeriesDescription: '',
        SeriesDate: '',
        NumberOfSeriesRelatedInstances: '',
      }),
      matches: () => 2,
    },
    {
      name: `${LONG_SERIES} images of a series`,
      target: 80,
      keys: () => ({
        QueryRetrieveLevel: 'IMAGE',
        StudyInstanceUID: population.study(studies - 1).StudyInstanceUID,
        SeriesInstanceUID: population.seriesUid(studies - 1, 0),
        SOPInstanceUID: '',
        SOPClassUID: '',
        InstanceNumber: '',
      }),
      matches: () => LONG_SERIES,
    },
  ];
}

/** Every study there is. */
export const EVERYTHING: Keys = LIST;

/** What no index serves, in a relational query: every instance is looked at, and none matches. */
export const SCAN: Keys = { QueryRetrieveLevel: 'IMAGE', SOPInstanceUID: '', ImageType: 'NOWHERE' };
