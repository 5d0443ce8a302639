import Database from 'better-sqlite3';
import type { ItemCondition, Match } from '../../../src/catalog/query-types';
import type { Level } from '../../../src/catalog/types';
import { arrival, CT, SR } from '../arrivals';
import { Direct } from './direct';
import { allRows, between, exactly, like, query, traced, UNIQUE } from './query-kit';

/** The studies of the conformance cases: patient, date and time, and the modality, SOP class and size of each series. */
const STUDIES: [study: string, values: Record<string, string>, series: [string, string, number][]][] = [
  [
    'S1',
    {
      PatientID: 'PID1',
      PatientName: 'DOE^JOHN',
      StudyDate: '20240101',
      StudyTime: '101500',
      AccessionNumber: 'ACC1',
      StudyDescription: 'CHEST CT',
    },
    [
      ['CT', CT, 3],
      ['SR', SR, 1],
    ],
  ],
  [
    'S2',
    {
      PatientID: 'PID1',
      PatientName: 'DOE^JOHN',
      StudyDate: '20240105',
      StudyTime: '235959.5',
      AccessionNumber: 'ACC2',
    },
    [['MR', CT, 2]],
  ],
  [
    'S3',
    {
      PatientID: 'PID2',
      PatientName: 'Doe^Jane^Q',
      StudyDate: '20240110',
      StudyTime: '000000',
      AccessionNumber: 'ACC3',
    },
    [['CR', CT, 1]],
  ],
  [
    'S4',
    { PatientID: 'PID3', PatientName: 'Müller^Jörg', StudyDate: '20240110', StudyTime: '120000' },
    [['US', CT, 1]],
  ],
  [
    'S5',
    {
      PatientID: 'PID4',
      PatientName: 'Yamada^Tarou=山田^太郎=やまだ^たろう',
      StudyDate: '20231201',
      StudyTime: '080000',
    },
    [['CT', CT, 1]],
  ],
  [
    'S6',
    { PatientID: 'PID5', PatientName: 'Wang^XiaoDong=王^小东', StudyDate: '20231202', StudyTime: '090000' },
    [['CT', CT, 1]],
  ],
  ['S7', { PatientID: 'PID6', PatientName: 'SMITH^A' }, [['CT', CT, 1]]],
  [
    'S8',
    { PatientID: 'PID7', PatientName: 'Buc^Jérôme', StudyDate: '20231203', StudyTime: '130000' },
    [['CT', CT, 30]],
  ],
];
const ALL = STUDIES.map(([study]) => study);

describe('a query', () => {
  let direct: Direct;

  beforeAll(() => {
    direct = new Direct();
    let number = 0;
    direct.put(
      STUDIES.flatMap(([study, values, series]) =>
        series.flatMap(([Modality, sopClass, count], index) =>
          Array.from({ length: count }, (_, n) =>
            arrival({
              number: ++number,
              study,
              series: `${study}.${index}`,
              sopClass,
              values: {
                ...values,
                Modality,
                StudyInstanceUID: study,
                SeriesInstanceUID: `${study}.${index}`,
                SOPInstanceUID: `${study}.${index}.${number}`,
                SOPClassUID: sopClass,
                SeriesNumber: String(index + 1),
                InstanceNumber: `0${n + 1}`,
                Rows: 512,
                ...(study === 'S1' && index === 0
                  ? {
                      RequestAttributesSequence: JSON.stringify([
                        { '00400009': { vr: 'SH', Value: ['SPS1'] } },
                      ]),
                    }
                  : {}),
                ...(study === 'S2' ? { TimezoneOffsetFromUTC: '+0200' } : {}),
              },
            }),
          ),
        ),
      ),
    );
  });

  afterAll(() => {
    direct.remove();
  });

  const found = (level: Level, matches: Record<string, Match>, limit = 100): string[] =>
    allRows(direct, query(level, matches), limit)
      .map((row) => String(row[UNIQUE[level]]))
      .sort();

  it.each<[string, Record<string, Match>, string[]]>([
    ['T34 a single value', { PatientID: exactly('PID1') }, ['S1', 'S2']],
    ['T35 nobody', { PatientID: exactly('NOBODY') }, []],
    ['T36 a name, whatever its case', { PatientName: like('doe^j*') }, ['S1', 'S2', 'S3']],
    ['T37 one character', { PatientID: like('PID?') }, ALL],
    ['T37 two characters', { PatientID: like('PID??') }, []],
    ['T37 % is a character', { PatientID: exactly('%') }, []],
    ['T37 _ is a character', { PatientID: exactly('PID_') }, []],
    ['T38 text has a case', { StudyDescription: like('chest*') }, []],
    ['T38 and matches in it', { StudyDescription: like('CHEST*') }, ['S1']],
    ['T39 a range', { StudyDate: between('20240101', '20240105') }, ['S1', 'S2']],
    ['T39 up to', { StudyDate: between(undefined, '20240105') }, ['S1', 'S2', 'S5', 'S6', 'S8']],
    ['T39 from', { StudyDate: between('20240110') }, ['S3', 'S4']],
    ['T40 a range of times', { StudyTime: between('100000.000000', '110059.999999') }, ['S1']],
    ['T40 from a time', { StudyTime: between('235959.000000') }, ['S2']],
    ['T40 a time', { StudyTime: between('000000.000000', '000000.999999') }, ['S3']],
    ['T42 a list of UIDs', { StudyInstanceUID: exactly('S1', 'S3', 'S9') }, ['S1', 'S3']],
    ['T49 a modality among others', { ModalitiesInStudy: exactly('SR') }, ['S1']],
    ['a SOP class among others', { SOPClassesInStudy: exactly(SR) }, ['S1']],
    ['no part of a modality', { ModalitiesInStudy: exactly('S') }, []],
    ['each of two modalities', { ModalitiesInStudy: { kind: 'every', values: ['SR', 'CT'] } }, ['S1']],
    ['no accession number', { AccessionNumber: { kind: 'empty' } }, ['S4', 'S5', 'S6', 'S7', 'S8']],
    ['a range backwards', { StudyDate: between('20240105', '20240101') }, []],
    ['a day that no calendar has', { StudyDate: exactly('20241399') }, []],
    ['a name in its own script', { PatientName: like('王*') }, ['S6']],
    ['a name without its accents', { PatientName: exactly('muller^jorg') }, ['S4']],
    ['a name by its sound', { PatientName: { kind: 'fuzzy', name: 'Smyth' } }, ['S7']],
    [
      'T41 one interval of date and time',
      {
        StudyDate: {
          kind: 'dateTime',
          time: 'StudyTime',
          from: '20240101120000.000000',
          to: '20240110000000.000000',
        },
      },
      ['S2', 'S3'],
    ],
    [
      'all of several conditions',
      { PatientName: like('doe*'), StudyDate: between('20240105') },
      ['S2', 'S3'],
    ],
    ['nothing asked for', { PatientID: like('*'), PatientName: exactly(''), StudyID: exactly() }, ALL],
    ['a computed constant', { InstanceAvailability: exactly('ONLINE') }, ALL],
  ])('%s', (_, matches, studies) => {
    for (const limit of [1, 3, 100]) expect(found('STUDY', matches, limit)).toEqual(studies);
  });

  it('goes down from conditions of upper levels, and matches numbers as numbers', () => {
    expect(found('SERIES', { PatientID: exactly('PID1') })).toEqual(['S1.0', 'S1.1', 'S2.0']);
    expect(found('SERIES', { PatientID: exactly('PID1'), SeriesNumber: exactly('02') })).toEqual(['S1.1']);
    expect(found('IMAGE', { StudyInstanceUID: exactly('S8'), InstanceNumber: exactly('7') })).toHaveLength(1);
    expect(found('IMAGE', { Modality: exactly('SR') })).toHaveLength(1);
    expect(found('IMAGE', { StudyDate: between('20240101', '20240105'), Rows: exactly('512') })).toHaveLength(
      6,
    );
    expect(found('IMAGE', { Rows: exactly('511') })).toEqual([]);
    expect(found('PATIENT', { PatientName: like('doe*') })).toEqual(['PID1', 'PID2']);
    const item: Match = {
      kind: 'item',
      conditions: [{ tag: 0x00400009, vr: 'SH', match: exactly('SPS1') }],
    };
    expect(found('SERIES', { RequestAttributesSequence: item })).toEqual(['S1.0']);
    expect(found('IMAGE', { RequestAttributesSequence: item })).toHaveLength(3);
  });

  it('returns exactly the columns asked for, null where there is no value (T43, T48, T50)', () => {
    const row = (level: Level, matches: Record<string, Match>, ...columns: string[]): unknown[] =>
      allRows(direct, query(level, matches, columns));
    expect(row('STUDY', { PatientID: exactly('PID6') }, 'StudyDate', 'AccessionNumber')).toEqual([
      { StudyDate: null, AccessionNumber: null },
    ]);
    expect(
      row(
        'STUDY',
        { StudyInstanceUID: exactly('S1') },
        'NumberOfStudyRelatedSeries',
        'NumberOfStudyRelatedInstances',
        'ModalitiesInStudy',
        'SOPClassesInStudy',
        'PatientName',
        'InstanceAvailability',
      ),
    ).toEqual([
      {
        NumberOfStudyRelatedSeries: 2,
        NumberOfStudyRelatedInstances: 4,
        ModalitiesInStudy: 'CT\\SR',
        SOPClassesInStudy: `${CT}\\${SR}`,
        PatientName: 'DOE^JOHN',
        InstanceAvailability: 'ONLINE',
      },
    ]);
    expect(
      row(
        'PATIENT',
        { PatientID: exactly('PID1') },
        'NumberOfPatientRelatedStudies',
        'NumberOfPatientRelatedSeries',
        'NumberOfPatientRelatedInstances',
      ),
    ).toEqual([
      {
        NumberOfPatientRelatedStudies: 2,
        NumberOfPatientRelatedSeries: 3,
        NumberOfPatientRelatedInstances: 6,
      },
    ]);
    expect(
      row(
        'IMAGE',
        { PatientID: exactly('PID6') },
        'AvailableTransferSyntaxUID',
        'Modality',
        'StudyInstanceUID',
        'PatientID',
      ),
    ).toEqual([
      {
        AvailableTransferSyntaxUID: '1.2.840.10008.1.2.1',
        Modality: 'CT',
        StudyInstanceUID: 'S7',
        PatientID: 'PID6',
      },
    ]);
    expect(row('STUDY', { PatientID: exactly('PID1') }, 'TimezoneOffsetFromUTC')).toEqual([
      { TimezoneOffsetFromUTC: null },
      { TimezoneOffsetFromUTC: '+0200' },
    ]);
  });

  it('takes awkward keys for what they are', () => {
    const keys = [
      '%',
      "'",
      '"',
      '\\',
      '[',
      ']',
      "' OR 1=1 --",
      '\0',
      'a\0*',
      '\uD800',
      '\uDFFF*',
      '*[!x]*',
      '�',
      '?'.repeat(1000),
    ];
    for (const key of keys) {
      for (const level of ['PATIENT', 'STUDY', 'IMAGE'] as const) {
        for (const keyword of ['PatientID', 'PatientName'] as const) {
          expect({ key, found: found(level, { [keyword]: exactly(key, 'NOBODY') }) }).toEqual({
            key,
            found: [],
          });
          expect({ key, found: found(level, { [keyword]: like(`x${key}`) }) }).toEqual({ key, found: [] });
        }
      }
    }
  });

  it('refuses what it has no column for, or too much', () => {
    const EMPTY: ItemCondition = { tag: 0x00400009, vr: 'SH', match: { kind: 'empty' } };
    const deep = (levels: number): Match =>
      levels === 0
        ? EMPTY.match
        : { kind: 'item', conditions: [{ tag: 1, vr: 'SQ', match: deep(levels - 1) }] };
    expect(found('SERIES', { RequestAttributesSequence: deep(16) })).toEqual([]);
    const refused: [Level, Record<string, Match>, string[]?][] = [
      ['STUDY', { Modality: exactly('CT') }],
      ['PATIENT', { ModalitiesInStudy: exactly('CT') }],
      ['STUDY', { 'id; DROP TABLE studies': exactly('1') }],
      ['STUDY', { identity: exactly('1') }],
      ['STUDY', { toString: exactly('1') }],
      ['STUDY', { PatientID: exactly('x'.repeat(1025)) }],
      ['STUDY', { PatientID: like(`${'x'.repeat(1025)}*`) }],
      ['STUDY', { PatientName: { kind: 'fuzzy', name: 'x'.repeat(1025) } }],
      ['STUDY', { StudyInstanceUID: exactly(...Array<string>(20_001).fill('1')) }],
      ['STUDY', { PatientName: exactly(...Array<string>(65).fill('a')) }],
      ['STUDY', { PatientID: like(Array<string>(65).fill('a*').join('\\')) }],
      ['STUDY', { ModalitiesInStudy: { kind: 'every', values: Array<string>(65).fill('CT') } }],
      ['SERIES', { RequestAttributesSequence: deep(17) }],
      [
        'SERIES',
        { RequestAttributesSequence: { kind: 'item', conditions: Array<ItemCondition>(65).fill(EMPTY) } },
      ],
      ['STUDY', { StudyDate: { kind: 'dateTime', time: 'SeriesTime' } }],
      [
        'SERIES',
        {
          RequestAttributesSequence: {
            kind: 'item',
            conditions: [{ tag: 1, vr: 'SH', match: exactly('x'.repeat(1025)) }],
          },
        },
      ],
      ['STUDY', {}, ['SOPInstanceUID']],
      ['STUDY', {}, ['sha256']],
      ['PATIENT', {}, ['TimezoneOffsetFromUTC']],
    ];
    for (const [level, matches, columns] of refused)
      expect(() => allRows(direct, query(level, matches, columns))).toThrow(
        expect.objectContaining({ code: 'CATALOG_FILTER' }) as Error,
      );
  });

  it('refuses what is no cursor of the query', () => {
    const asked = query('IMAGE', { PatientID: exactly('PID7') });
    const { next = '' } = direct.reader.query({ query: asked, page: { limit: 2 } });
    const cursor = (place: unknown): string => Buffer.from(JSON.stringify(place)).toString('base64url');
    expect(direct.reader.query({ query: asked, page: { limit: 2, after: next } }).rows).toHaveLength(2);
    const rubbish = [
      '',
      '1 OR 1',
      '17',
      `${next}=`,
      cursor({}),
      cursor(null),
      cursor([]),
      cursor([0]),
      cursor([7, 0]),
      cursor([0, 9]),
      cursor([0, -1]),
      cursor([0, 0, ['a']]),
      cursor([0, 0, [1, 2]]),
      cursor([0, 0, [1.5]]),
      cursor([0, 0, [1], ['a', 1], ['b', 1], [1], [1]]),
      cursor([0, 0, [1], [1]]),
      cursor([-2, 0]),
    ];
    for (const after of rubbish)
      expect(() => {
        const page = direct.reader.query({ query: asked, page: { limit: 2, after } });
        throw new Error(`${after} gave ${page.rows.length} rows`);
      }).toThrow(expect.objectContaining({ code: 'CATALOG_CURSOR' }) as Error);
  });

  it('hands over when its time is up, with what it has, if only a place to go on from', () => {
    const database = new Database(direct.file, { readonly: true });
    try {
      let calls = 0;
      // Each look at the clock is a second later: every page ends after its first step.
      const asked = query('IMAGE', { InstanceNumber: exactly('30') });
      const { rows } = traced(database, asked, { window: 5, now: () => (calls += 1000) });
      expect(rows).toHaveLength(1);
      expect(calls).toBeGreaterThan(10_000);
    } finally {
      database.close();
    }
  });
});
