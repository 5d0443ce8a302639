import Database from 'better-sqlite3';
import fc from 'fast-check';
import { findQuery, globPattern } from '../../../src/catalog/sqlite/sql';
import type { FindFilter } from '../../../src/catalog/types';
import { arrival } from '../arrivals';
import { Direct, layout } from './direct';

describe('find', () => {
  let direct: Direct;
  let database: Database.Database;

  beforeAll(() => {
    direct = new Direct();
    direct.put(Array.from({ length: 50 }, (_, index) => arrival({ number: index + 1, study: `1.${index}` })));
    database = new Database(direct.file, { readonly: true });
  });

  afterAll(() => {
    database.close();
    direct.remove();
  });

  /** What SQLite does first, and every walk over a whole table. */
  function plan(filter: FindFilter): string[] {
    const { text, parameters } = findQuery(layout, filter, 0, 10);
    return (database.prepare(`EXPLAIN QUERY PLAN ${text}`).all(...parameters) as { detail: string }[]).map(
      (row) => row.detail,
    );
  }

  const SERVED: [Record<string, string>, string][] = [
    [{ PatientID: 'P1' }, 'patients_PatientID'],
    [{ PatientID: 'P*' }, 'patients_PatientID'],
    [{ PatientName: 'doe^john' }, 'patients_PatientName_alphabetic'],
    [{ PatientName: 'doe^j*' }, 'patients_PatientName_alphabetic'],
    [{ PatientName: '=山田*' }, 'patients_PatientName_ideographic'],
    [{ StudyInstanceUID: '1.2' }, 'studies_StudyInstanceUID'],
    [{ AccessionNumber: 'A1' }, 'studies_AccessionNumber'],
    [{ StudyDate: '20240101' }, 'studies_StudyDate'],
    [{ StudyDate: '20240101-20240105' }, 'studies_StudyDate'],
    [{ StudyDate: '20240101-' }, 'studies_StudyDate'],
    [{ StudyDate: '20240101', PatientSex: 'F', ModalitiesInStudy: 'CT' }, 'studies_StudyDate'],
  ];
  const BELOW: [Record<string, string>, string][] = [
    ...SERVED,
    [{ SeriesInstanceUID: '1.2.1' }, 'series_SeriesInstanceUID'],
    [{ StudyDate: '20240101', Modality: 'CT' }, 'studies_StudyDate'],
  ];

  it.each(['STUDY', 'SERIES', 'IMAGE'] as const)(
    'reads an index for every served key at level %s',
    (level) => {
      const cases = level === 'STUDY' ? SERVED : BELOW;
      for (const [keys, index] of cases) {
        const details = plan({ level, keys });
        expect({ keys, details: details.filter((detail) => detail.includes(index)) }).not.toEqual({
          keys,
          details: [],
        });
        expect({ keys, scans: details.filter((detail) => detail.startsWith('SCAN')) }).toEqual({
          keys,
          scans: [],
        });
      }
    },
  );

  it('finds an instance by its UID, and pages over everything by row id', () => {
    const details = plan({ level: 'IMAGE', keys: { SOPInstanceUID: '1.2.1.3' } });
    expect(details.join('\n')).toContain('instances_key');
    expect(details.filter((detail) => detail.startsWith('SCAN'))).toEqual([]);
    const paged = plan({ level: 'IMAGE', keys: {} });
    expect(paged[0]).toBe('SEARCH instances USING INTEGER PRIMARY KEY (rowid>?)');
    expect(paged.join('\n')).not.toContain('TEMP B-TREE');
  });

  it('matches patterns as DICOM does, whatever characters there are', () => {
    const glob = database.prepare('SELECT ? GLOB ?').pluck();
    const character = fc.constantFrom(
      'a',
      'b',
      '*',
      '?',
      '[',
      ']',
      '%',
      '_',
      '^',
      '-',
      '\\',
      'ä',
      '山',
      '😀',
    );
    const text = (maxLength: number): fc.Arbitrary<string> =>
      fc.array(character, { maxLength }).map((characters) => characters.join(''));
    fc.assert(
      fc.property(text(6), text(6), (value, key) => {
        const expected = new RegExp(
          `^${Array.from(key)
            .map((one) =>
              one === '*' ? '.*' : one === '?' ? '.' : one.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'),
            )
            .join('')}$`,
          'su',
        ).test(value);
        expect(glob.get(value, globPattern(key)) === 1).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });

  it('holds no text of the caller', () => {
    const filter: FindFilter = {
      level: 'STUDY',
      keys: { PatientID: "x' OR '1'='1", StudyDescription: '*;--' },
    };
    const { text } = findQuery(layout, filter, 0, 10);
    expect(text).not.toContain("'1'");
    expect(text).not.toContain('--');
  });
});
