import Database from 'better-sqlite3';
import fc from 'fast-check';
import type { Condition, EntityQuery, ItemCondition, Match } from '../../../src/catalog/query-types';
import type { Level } from '../../../src/catalog/types';
import type { Arrival } from '../../../src/catalog/types';
import { arrival, CT, SR } from '../arrivals';
import { meets } from '../naive';
import { Direct } from './direct';
import { allRows, traced } from './query-kit';

/** Values that a file may well hold, awkward ones among them; undefined: the attribute is empty. */
const TEXTS = [
  'A',
  'a',
  'AB',
  'A\\B',
  '%',
  '_',
  'P_1',
  '[x]',
  "x' OR '1",
  '"',
  'Ä',
  '山',
  '😀',
  'a-b',
  'B\\\\A',
  'a\uFFFD',
];
const NAMES = [
  'Doe^John',
  'DOE^JANE',
  'Doe',
  'Döe^^Q',
  'Smith^Anna',
  'Smyth^Ann',
  'Schmidt',
  'Yamada^Tarou=山田^太郎=やまだ^たろう',
  '=山田',
  'yamada=yamada',
  'Doe^John\\Roe^Jane=山田',
  'a*b?[c',
];
/** What a group of one of the names is, or how it begins. */
const NAME_KEYS = [...NAMES, 'yamada', 'doe', 'doe^john', 'roe^jane', 'smith'];
const DATES = [
  '20240101',
  '20240105',
  '2024.01.01',
  '20231231\\20240101',
  '2024.01.05\\19991231',
  '20240230',
  '2024',
  '99991231',
];
const TIMES = ['10', '1015', '101500', '101500.5', '10:15:00', '000000', '235959.999999', '101500\\120000'];
const NUMBERS = ['7', '+7', '007', '7.0', '8\\7', '-1', 'x'];
const ITEM_TEXTS = ['SPS1', 'SPS2', 'a%'];

const MODALITIES = ['CT', 'SR', 'MR'];
const orNothing = <T>(values: readonly T[]): fc.Arbitrary<T | undefined> =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...values) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );

const item = fc.record({
  '00400009': fc.record({ vr: fc.constant('SH'), Value: fc.subarray(ITEM_TEXTS) }),
  '00400006': fc.record({
    vr: fc.constant('PN'),
    Value: fc.array(
      fc.constantFrom({ Alphabetic: 'Doe^John' }, { Alphabetic: 'Roe', Ideographic: '山田' }, null),
      { maxLength: 2 },
    ),
  }),
  '00400008': fc.record({
    vr: fc.constant('SQ'),
    Value: fc.array(
      fc.record({
        '00080100': fc.record({ vr: fc.constant('SH'), Value: fc.subarray(['C1', 'C2'], { maxLength: 1 }) }),
      }),
      { maxLength: 2 },
    ),
  }),
});
const sequence = fc.option(
  fc.array(item, { minLength: 1, maxLength: 2 }).map((items) => JSON.stringify(items)),
  {
    nil: undefined,
  },
);

const instance = fc.record({
  sopClass: fc.constantFrom(CT, SR),
  InstanceNumber: orNothing(NUMBERS),
  Rows: orNothing([7, 512]),
  ImageType: orNothing(TEXTS),
  ConceptNameCodeSequence: sequence,
});
const series = fc.record({
  Modality: orNothing(MODALITIES),
  SeriesNumber: orNothing(NUMBERS),
  SeriesDescription: orNothing(TEXTS),
  SeriesDate: orNothing(DATES),
  SeriesTime: orNothing(TIMES),
  RequestAttributesSequence: sequence,
  instances: fc.array(instance, { minLength: 1, maxLength: 3 }),
});
const study = fc.record({
  StudyDate: orNothing(DATES),
  StudyTime: orNothing(TIMES),
  AccessionNumber: orNothing(TEXTS),
  StudyDescription: orNothing(TEXTS),
  ReferringPhysicianName: orNothing(NAMES),
  series: fc.array(series, { minLength: 1, maxLength: 2 }),
});
const patient = fc.record({
  PatientID: fc.constantFrom(...TEXTS),
  PatientName: orNothing(NAMES),
  PatientBirthDate: orNothing(DATES),
  studies: fc.array(study, { minLength: 1, maxLength: 3 }),
});
type Patient = typeof patient extends fc.Arbitrary<infer T> ? T : never;

type Values = Record<string, string | number | undefined>;

/** Each entity with the values of the levels above it, by the attribute that tells it from the others. */
type Entities = Record<Level, Map<string, Values>>;

function build(patients: readonly Patient[]): { arrivals: Arrival[]; entities: Entities } {
  const entities: Entities = { PATIENT: new Map(), STUDY: new Map(), SERIES: new Map(), IMAGE: new Map() };
  const arrivals: Arrival[] = [];
  for (const [p, { studies, ...ofPatient }] of patients.entries()) {
    // The issuer tells two patients with one number apart.
    const patientValues: Values = { ...ofPatient, IssuerOfPatientID: `I${p}` };
    entities.PATIENT.set(`I${p}`, patientValues);
    for (const [s, { series: ofSeries, ...ofStudy }] of studies.entries()) {
      const StudyInstanceUID = `1.${p}.${s}`;
      const classes = ofSeries.flatMap(({ instances }) => instances.map(({ sopClass }) => sopClass));
      const modalities = ofSeries.flatMap(({ Modality }) => Modality ?? []);
      const studyValues: Values = {
        ...patientValues,
        ...ofStudy,
        StudyInstanceUID,
        SOPClassesInStudy: [...new Set(classes)].sort().join('\\'),
        ModalitiesInStudy: modalities.length === 0 ? undefined : [...new Set(modalities)].sort().join('\\'),
      };
      entities.STUDY.set(StudyInstanceUID, studyValues);
      for (const [n, { instances, ...own }] of ofSeries.entries()) {
        const SeriesInstanceUID = `${StudyInstanceUID}.${n}`;
        const seriesValues: Values = { ...studyValues, ...own, SeriesInstanceUID };
        entities.SERIES.set(SeriesInstanceUID, seriesValues);
        for (const [i, { sopClass, ...ofInstance }] of instances.entries()) {
          const uid = `${SeriesInstanceUID}.${i}`;
          entities.IMAGE.set(uid, {
            ...seriesValues,
            ...ofInstance,
            SOPInstanceUID: uid,
            SOPClassUID: sopClass,
          });
          const values = Object.fromEntries(
            Object.entries({
              ...patientValues,
              ...ofStudy,
              ...own,
              ...ofInstance,
            }).filter((entry): entry is [string, string | number] => entry[1] !== undefined),
          );
          const made = arrival({
            number: arrivals.length + 1,
            uid,
            study: StudyInstanceUID,
            series: SeriesInstanceUID,
            sopClass,
          });
          const uids = { StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID: uid, SOPClassUID: sopClass };
          arrivals.push({ ...made, header: { ...made.header, values: { ...values, ...uids } } });
        }
      }
    }
  }
  return { arrivals, entities };
}

/** A value as it is, or with something changed that tells rules apart. */
function keyOf(pool: readonly string[]): fc.Arbitrary<string> {
  return fc
    .tuple(fc.constantFrom(...pool, '', 'nobody'), fc.nat({ max: 9 }), fc.constantFrom(0, 1, 2, 3, 4))
    .map(([value, at, change]) => {
      const cut = at % (value.length + 1);
      if (change === 0) return value.toLowerCase();
      if (change === 1) return value.toUpperCase();
      if (change === 2 && !/[\uD800-\uDFFF]/.test(value)) return value.slice(0, cut) + value.slice(cut + 1);
      return value;
    });
}

function patternOf(pool: readonly string[]): fc.Arbitrary<string> {
  const wild = fc.constantFrom('*', '?', '**', '^*');
  return fc
    .tuple(keyOf(pool), wild, fc.nat({ max: 9 }), fc.nat({ max: 3 }))
    .map(([value, star, at, more]) => {
      // Most people write the beginning and a star.
      if (more === 3) return `${value}*`;
      const characters = Array.from(value);
      characters.splice(at % (characters.length + 1), more, star);
      return characters.join('');
    });
}

const some = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(one, { minLength: 1, maxLength: 3 });
const values = (pool: readonly string[]): fc.Arbitrary<Match> =>
  some(keyOf(pool)).map((list) => ({ kind: 'values', values: list }));
const every = (pool: readonly string[]): fc.Arbitrary<Match> =>
  some(keyOf(pool)).map((list) => ({ kind: 'every', values: list }));
const wildcard = (pool: readonly string[]): fc.Arbitrary<Match> =>
  some(patternOf(pool)).map((patterns) => ({ kind: 'wildcard', patterns }));
const bounds = (pool: readonly string[]): fc.Arbitrary<{ from?: string; to?: string }> =>
  fc.record({ from: fc.constantFrom(...pool), to: fc.constantFrom(...pool) }, { requiredKeys: [] });

const DAYS = ['00000101', '20231231', '20240101', '20240105', '20240110', '99991231'];
const CLOCKS = ['000000.000000', '100000.000000', '101500.000000', '101500.500000', '235959.999999'];
const EMPTY: fc.Arbitrary<Match> = fc.constant({ kind: 'empty' });

const text = (pool: readonly string[]): fc.Arbitrary<Match> =>
  fc.oneof(values(pool), wildcard(pool), every(pool), EMPTY);
const name = fc.oneof(
  values(NAME_KEYS),
  wildcard(NAME_KEYS),
  every(NAME_KEYS),
  EMPTY,
  fc
    .oneof(keyOf(NAMES), keyOf(['Ann Smit', 'Schmitt', 'Meyer', '太郎']))
    .map((key): Match => ({ kind: 'fuzzy', name: key.split('\\')[0] ?? '' })),
);
const range = (pool: readonly string[]): fc.Arbitrary<Match> =>
  bounds(pool).map((found) => ({ kind: 'range', ...found }));
const day = fc.oneof(values(DATES), range(DAYS), EMPTY, every(DATES), wildcard(DATES));
const moment = (time: string): fc.Arbitrary<Match> =>
  bounds(DAYS.flatMap((one) => CLOCKS.map((clock) => one + clock))).map((found) => ({
    kind: 'dateTime',
    time,
    ...found,
  }));
const clock = fc.oneof(values(TIMES), range(CLOCKS), EMPTY, every(TIMES));
const number = fc.oneof(values(NUMBERS), every(NUMBERS), EMPTY);

const itemCondition: fc.Arbitrary<ItemCondition> = fc.oneof(
  text(ITEM_TEXTS).map((match) => ({ tag: 0x00400009, vr: 'SH', match })),
  fc
    .oneof(values(['Doe^John', 'roe', '山田']), wildcard(['Doe^John', 'Roe=山田']), EMPTY)
    .map((match) => ({ tag: 0x00400006, vr: 'PN', match })),
  text(['C1', 'C2'])
    .map((match): Match => ({ kind: 'item', conditions: [{ tag: 0x00080100, vr: 'SH', match }] }))
    .map((match) => ({ tag: 0x00400008, vr: 'SQ', match })),
);
const inItem = fc.oneof(
  fc.array(itemCondition, { maxLength: 2 }).map((conditions): Match => ({ kind: 'item', conditions })),
  EMPTY,
);

const on = (keyword: string, match: fc.Arbitrary<Match>): fc.Arbitrary<Condition> =>
  match.map((one) => ({ keyword, match: one }));
const UIDS = ['1.0.0', '1.0.1', '1.1.0', '1.0.0.0', '1.0.0.1', '1.0.0.0.0', '1.0.0.0.1', '1.1.0.0.0'];
const CONDITIONS: Record<Level, fc.Arbitrary<Condition>[]> = {
  PATIENT: [
    on('PatientID', text(TEXTS)),
    on('PatientName', name),
    on('PatientName', name),
    on('PatientBirthDate', day),
  ],
  STUDY: [
    on('StudyDate', day),
    on('StudyDate', moment('StudyTime')),
    on('StudyTime', clock),
    on('AccessionNumber', text(TEXTS)),
    on('StudyDescription', text(TEXTS)),
    on('ReferringPhysicianName', name),
    on('ModalitiesInStudy', text(MODALITIES)),
    on('SOPClassesInStudy', text([CT, SR])),
    on('StudyInstanceUID', fc.oneof(values(UIDS), wildcard(UIDS))),
  ],
  SERIES: [
    on('Modality', text(MODALITIES)),
    on('SeriesNumber', number),
    on('SeriesDescription', text(TEXTS)),
    on('SeriesDate', fc.oneof(day, moment('SeriesTime'))),
    on('RequestAttributesSequence', inItem),
    on('SeriesInstanceUID', values(UIDS)),
  ],
  IMAGE: [
    on('InstanceNumber', number),
    on('Rows', values(['7', '512', '7.0'])),
    on('ImageType', text(TEXTS)),
    on('ConceptNameCodeSequence', inItem),
    on('SOPInstanceUID', values(UIDS)),
    on('SOPClassUID', values([CT, SR])),
  ],
};
/** What an index serves. */
const INDEXED: Record<'PATIENT' | 'STUDY', fc.Arbitrary<Condition>[]> = {
  PATIENT: CONDITIONS.PATIENT.slice(0, 3),
  STUDY: [
    ...CONDITIONS.PATIENT.slice(0, 3),
    on('StudyDate', day),
    on('StudyDate', moment('StudyTime')),
    on('AccessionNumber', text(TEXTS)),
  ],
};
const LEVELS = ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'] as const;
const KEYS = {
  PATIENT: 'IssuerOfPatientID',
  STUDY: 'StudyInstanceUID',
  SERIES: 'SeriesInstanceUID',
  IMAGE: 'SOPInstanceUID',
};

const question = fc.constantFrom(...LEVELS).chain((level) => {
  // Many conditions leave nothing; one alone is led by its own index.
  const able = LEVELS.slice(0, LEVELS.indexOf(level) + 1).flatMap((one) => CONDITIONS[one]);
  return fc.record({
    level: fc.constant(level),
    conditions: fc.oneof(
      fc.array(fc.oneof(...able), { maxLength: 3 }),
      fc.array(fc.oneof(...INDEXED[level === 'PATIENT' ? level : 'STUDY']), { minLength: 1, maxLength: 1 }),
    ),
    limit: fc.integer({ min: 1, max: 4 }),
    window: fc.constantFrom(1, 2, 256),
  });
});

describe('a query', () => {
  it('finds what a plain look at every entity finds, each once, however it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(patient, { minLength: 1, maxLength: 5 }),
        fc.array(question, { minLength: 40, maxLength: 40 }),
        (patients, questions) => {
          const { arrivals, entities } = build(patients);
          const direct = new Direct();
          const database = new Database(direct.file, { readonly: true });
          try {
            direct.put(arrivals);
            for (const { level, conditions, limit, window } of questions) {
              const key = KEYS[level];
              const asked: EntityQuery = { level, conditions, columns: [key] };
              const expected = [...entities[level]]
                .filter(([, own]) => conditions.every((condition) => meets(own, condition)))
                .map(([uid]) => uid)
                .sort();
              const found = allRows(direct, asked, limit).map((row) => row[key]);
              expect({ asked, found: found.sort() }).toEqual({ asked, found: expected });
              // Time that is up after every step: each page ends at the first place where it can.
              let time = 0;
              const cut = traced(database, asked, { limit, window, now: () => (time += 10) }).rows.map(
                (row) => row[key],
              );
              expect({ asked, cut: cut.sort() }).toEqual({ asked, cut: expected });
            }
          } finally {
            database.close();
            direct.remove();
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});
