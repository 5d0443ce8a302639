import type { Catalog, EntityRow, FindFilter } from '../../src/catalog/types';
import { SR, arrival } from './arrivals';

/** Every row that a filter finds, page by page. */
export async function findAll(catalog: Catalog, filter: FindFilter, limit = 100): Promise<EntityRow[]> {
  const rows: EntityRow[] = [];
  let after: string | undefined;
  do {
    const page = await catalog.find(filter, { limit, ...(after === undefined ? {} : { after }) });
    expect(page.rows.length).toBeLessThanOrEqual(limit);
    rows.push(...page.rows);
    after = page.next;
  } while (after !== undefined);
  return rows;
}

/** What `find` answers; part of the contract. */
export function findContract(catalog: () => Catalog): void {
  const all = (filter: FindFilter, limit?: number): Promise<EntityRow[]> => findAll(catalog(), filter, limit);

  const studies = async (keys: Record<string, string>): Promise<string[]> =>
    (await all({ level: 'STUDY', keys })).map((row) => String(row['StudyInstanceUID'])).sort();

  beforeEach(async () => {
    const cases: [string, Record<string, string>][] = [
      ['1', { PatientID: 'PID1', PatientName: 'Doe^John', StudyDate: '20240101', AccessionNumber: 'A1' }],
      ['2', { PatientID: 'PID2', PatientName: 'DOE^JANE', StudyDate: '20240105' }],
      ['3', { PatientID: 'PID%3', PatientName: 'Müller^Jörg', StudyDate: '20240110' }],
      ['4', { PatientID: 'PID[4]', PatientName: 'Yamada^Tarou=山田^太郎=やまだ^たろう' }],
      ['5', { PatientID: 'P*D_5', PatientName: 'Doerr', StudyDescription: 'Chest' }],
    ];
    for (const [index, [study, values]] of cases.entries()) {
      await catalog().record(arrival({ number: index + 1, study, values }));
    }
    await catalog().record(
      arrival({
        number: 9,
        study: '1',
        series: '1.9',
        sopClass: SR,
        values: { PatientID: 'PID1', Modality: 'SR' },
      }),
    );
  });

  const ANSWERS: [Record<string, string>, string[]][] = [
    [{}, ['1', '2', '3', '4', '5']],
    [{ PatientID: '' }, ['1', '2', '3', '4', '5']],
    [{ PatientID: '*' }, ['1', '2', '3', '4', '5']],
    [{ PatientID: 'PID1' }, ['1']],
    [{ PatientID: 'pid1' }, []],
    [{ PatientID: 'PID?' }, ['1', '2']],
    [{ PatientID: 'PID*' }, ['1', '2', '3', '4']],
    [{ PatientID: '*4]' }, ['4']],
    [{ PatientID: 'PID[4]' }, ['4']],
    [{ PatientID: 'PID[4*' }, ['4']],
    [{ PatientID: 'PID[1-9]*' }, []],
    [{ PatientID: 'PID%' }, []],
    [{ PatientID: 'PID_' }, []],
    [{ PatientID: 'P?D_?' }, ['5']],
    [{ PatientName: 'doe^john' }, ['1']],
    [{ PatientName: 'DOE^*' }, ['1', '2']],
    [{ PatientName: 'doe*' }, ['1', '2', '5']],
    [{ PatientName: 'muller^jorg' }, ['3']],
    [{ PatientName: 'MÜLLER^*' }, ['3']],
    [{ PatientName: '山田*' }, ['4']],
    [{ PatientName: 'やまだ^?ろう' }, ['4']],
    [{ PatientName: '=山田^太郎' }, ['4']],
    [{ PatientName: 'yamada*=佐藤*' }, []],
    [{ StudyDate: '20240105' }, ['2']],
    [{ StudyDate: '20240101-20240105' }, ['1', '2']],
    [{ StudyDate: '-20240105' }, ['1', '2']],
    [{ StudyDate: '20240105-' }, ['2', '3']],
    [{ AccessionNumber: 'A1', StudyDate: '20240101' }, ['1']],
    [{ StudyDescription: 'chest' }, []],
    [{ StudyDescription: 'C*t' }, ['5']],
    [{ ModalitiesInStudy: 'SR' }, ['1']],
    [{ ModalitiesInStudy: 'C' }, []],
    [{ SOPClassesInStudy: SR }, ['1']],
    [{ StudyInstanceUID: '3', PatientName: 'doe*' }, []],
    [{ NumberOfStudyRelatedInstances: '2' }, ['1']],
    [{ PatientID: "' OR 1=1 --" }, []],
  ];

  it('answers exact keys, wildcards, names and dates', async () => {
    const answers: typeof ANSWERS = [];
    for (const [keys] of ANSWERS) answers.push([keys, await studies(keys)]);
    expect(answers).toEqual(ANSWERS);
  });

  it('pages through every row once', async () => {
    const rows = await all({ level: 'STUDY', keys: { PatientID: 'P*' } }, 2);
    expect(rows.map((row) => row['StudyInstanceUID']).sort()).toEqual(['1', '2', '3', '4', '5']);
  });

  it('goes down from keys of the levels above', async () => {
    const images = await all({ level: 'IMAGE', keys: { PatientName: 'doe^john', Modality: 'SR' } }, 1);
    expect(images.map((row) => row['SOPInstanceUID'])).toEqual(['1.9.9']);
    const series = await all({ level: 'SERIES', keys: { StudyInstanceUID: '1' } });
    expect(series.map((row) => row['SeriesInstanceUID']).sort()).toEqual(['1.1', '1.9']);
    expect(await all({ level: 'PATIENT', keys: { PatientName: 'doe^john' } })).toHaveLength(1);
  });

  it('refuses what it has no column for, or too much', async () => {
    const filters: FindFilter[] = [
      { level: 'STUDY', keys: { Modality: 'CT' } },
      { level: 'STUDY', keys: { 'id; DROP TABLE studies': '1' } },
      { level: 'STUDY', keys: { identity: '1' } },
      { level: 'PATIENT', keys: { PatientID: 'x'.repeat(2000) } },
    ];
    for (const filter of filters) {
      await expect(catalog().find(filter, { limit: 1 })).rejects.toMatchObject({
        code: 'CATALOG_FILTER',
        exitCode: 2,
      });
    }
  });

  it('refuses a page that is none', async () => {
    const filter: FindFilter = { level: 'STUDY', keys: {} };
    await expect(catalog().find(filter, { limit: 0 })).rejects.toMatchObject({ code: 'CATALOG_CURSOR' });
    await expect(catalog().find(filter, { limit: 1, after: '1 OR 1' })).rejects.toMatchObject({
      code: 'CATALOG_CURSOR',
    });
  });
}
