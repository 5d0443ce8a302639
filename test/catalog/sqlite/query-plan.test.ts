import Database from 'better-sqlite3';
import type { EntityQuery, Match } from '../../../src/catalog/query-types';
import type { Level } from '../../../src/catalog/types';
import { arrival } from '../arrivals';
import { Direct } from './direct';
import { between, exactly, like, query, traced, UNIQUE } from './query-kit';

/** Enough rows for several pages and windows, with several values and groups among them. */
const STUDIES = 60;

describe('the plan of a query', () => {
  let direct: Direct;
  let database: Database.Database;

  beforeAll(() => {
    direct = new Direct();
    direct.put(
      Array.from({ length: STUDIES }, (_, index) =>
        arrival({
          number: index + 1,
          study: `1.${index}`,
          values: {
            PatientID: `P${index}`,
            PatientName: index % 3 === 0 ? 'Doe^John=山田' : 'Roe^Jane',
            StudyDate: `202401${String(1 + (index % 28)).padStart(2, '0')}`,
            AccessionNumber: `A${index}`,
          },
        }),
      ),
    );
    database = new Database(direct.file, { readonly: true });
  });

  afterAll(() => {
    database.close();
    direct.remove();
  });

  /** What SQLite says of every statement of a query, as one text each. */
  function plans(asked: EntityQuery): string[] {
    const { texts } = traced(database, asked, { limit: 7 });
    return texts.map((text) => {
      const count = text.replaceAll(/'[^']*'/g, '').split('?').length - 1;
      const details = database.prepare(`EXPLAIN QUERY PLAN ${text}`).all(...Array<number>(count).fill(1)) as {
        detail: string;
      }[];
      return details.map(({ detail }) => detail).join('; ');
    });
  }

  function expectServed(asked: EntityQuery, index: string): void {
    const found = plans(asked);
    expect({ asked, used: found.some((plan) => plan.includes(index)) }).toEqual({ asked, used: true });
    // An index of a few rows is looked through; a table never is, and nothing is sorted.
    const wrong = found.filter((plan) =>
      /TEMP B-TREE|SCAN (?!\(subquery|zoned|json_each)(?!.*USING (?:COVERING )?INDEX)/.test(plan),
    );
    expect({ asked, wrong }).toEqual({ asked, wrong: [] });
  }

  const SERVED: [Record<string, Match>, string][] = [
    [{ PatientID: exactly('P1') }, 'patients_PatientID (PatientID=?'],
    [{ PatientID: exactly('P1', 'P2') }, 'patients_PatientID (PatientID=?'],
    [{ PatientID: like('P*') }, 'patients_PatientID (PatientID>? AND PatientID<?)'],
    [{ PatientName: exactly('doe^john') }, 'patients_PatientName_alphabetic (PatientName_alphabetic=?'],
    [{ PatientName: like('doe^j*') }, 'patients_PatientName_alphabetic (PatientName_alphabetic>?'],
    [{ PatientName: like('=山田*') }, 'patients_PatientName_ideographic (PatientName_ideographic>?'],
    [{ PatientName: like('*oe*') }, 'COVERING INDEX patients_PatientName_alphabetic'],
    [{ StudyInstanceUID: exactly('1.2') }, 'studies_StudyInstanceUID (StudyInstanceUID=?'],
    [{ StudyInstanceUID: exactly('1.1', '1.3') }, 'studies_StudyInstanceUID (StudyInstanceUID=?'],
    [{ AccessionNumber: exactly('A1') }, 'studies_AccessionNumber (AccessionNumber=?'],
    [{ AccessionNumber: like('A1*') }, 'studies_AccessionNumber (AccessionNumber>?'],
    [{ StudyDate: exactly('20240101') }, 'studies_StudyDate (StudyDate=?'],
    [{ StudyDate: between('20240101', '20240105') }, 'studies_StudyDate (StudyDate>? AND StudyDate<?)'],
    [{ StudyDate: between('20240101') }, 'studies_StudyDate (StudyDate>?'],
    [
      { StudyDate: { kind: 'dateTime', time: 'StudyTime', from: '20240101120000.000000' } },
      'studies_StudyDate (StudyDate>?',
    ],
    [
      { StudyDate: exactly('20240101'), PatientSex: exactly('F'), ModalitiesInStudy: exactly('CT') },
      'studies_StudyDate (StudyDate=?',
    ],
    // The number of a study leads to fewer rows than a name or a day.
    [
      { PatientName: like('doe*'), StudyDate: between('20240101'), AccessionNumber: exactly('A3') },
      'studies_AccessionNumber (AccessionNumber=?',
    ],
    // Of two ranges the one with fewer rows: two days against twenty names.
    [{ PatientName: like('doe*'), StudyDate: exactly('20240127') }, 'studies_StudyDate (StudyDate=?'],
  ];
  const BELOW: [Record<string, Match>, string][] = [
    ...SERVED,
    [{ SeriesInstanceUID: exactly('1.2.1') }, 'series_SeriesInstanceUID (SeriesInstanceUID=?'],
    [{ StudyDate: exactly('20240101'), Modality: exactly('CT') }, 'studies_StudyDate (StudyDate=?'],
    [
      { PatientID: exactly('P2'), StudyInstanceUID: exactly('1.2'), SeriesInstanceUID: exactly('1.2.1') },
      'series_SeriesInstanceUID (SeriesInstanceUID=?',
    ],
  ];

  it.each(['STUDY', 'SERIES', 'IMAGE'] as const)(
    'reads an index for every served key at level %s',
    (level) => {
      for (const [matches, index] of level === 'STUDY' ? SERVED : BELOW)
        expectServed(query(level, matches, [UNIQUE[level], 'PatientName', 'StudyDate']), index);
    },
  );

  it('walks down from an entity by the index of its parts', () => {
    const asked = query('IMAGE', { PatientID: exactly('P3') });
    const found = plans(asked).join('\n');
    for (const index of ['studies_key (patient=?', 'series_key (study=?', 'instances_series (series=?'])
      expect(found).toContain(index);
  });

  it('finds an instance by its UID, and pages over everything by row id', () => {
    expectServed(
      query('IMAGE', { SOPInstanceUID: exactly('1.2.1.3') }),
      'instances_key (SOPInstanceUID=? AND version=?',
    );
    const asked: [Level, Record<string, Match>][] = [
      ['IMAGE', {}],
      ['IMAGE', { SOPClassUID: exactly('1.2') }],
      ['STUDY', { StudyDescription: like('*x*') }],
      ['PATIENT', { PatientSex: exactly('F') }],
    ];
    for (const [level, matches] of asked) {
      const found = plans(query(level, matches));
      expect(found[0] ?? '').toMatch(/USING INTEGER PRIMARY KEY|SEARCH/);
      expect(found.filter((plan) => plan.includes('TEMP B-TREE') || /^SCAN (?!CONSTANT)/.test(plan))).toEqual(
        [],
      );
    }
  });

  it('joins no table that nothing is asked of', () => {
    const { texts } = traced(
      database,
      query('STUDY', { StudyDate: between('20240101') }, ['StudyInstanceUID']),
    );
    expect(texts.join('\n')).not.toContain('patients');
    const upper = traced(database, query('IMAGE', { SOPInstanceUID: exactly('1') }, ['Modality'])).texts.join(
      '\n',
    );
    expect(upper).toContain('JOIN series');
    expect(upper).not.toContain('studies');
  });

  it('holds no text of the caller', () => {
    const { texts } = traced(
      database,
      query('STUDY', {
        PatientID: exactly("x' OR '1'='1"),
        StudyDescription: like('*;--'),
        PatientName: like('"; DROP*'),
      }),
    );
    const text = texts.join('\n');
    for (const part of ["'1'", '--', 'DROP']) expect(text).not.toContain(part);
  });
});
