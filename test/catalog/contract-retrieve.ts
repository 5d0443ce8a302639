import type { KindCount, Selection } from '../../src/catalog/query-types';
import type { Catalog } from '../../src/catalog/types';
import { CT, SR, arrival, arrivalId, put } from './arrivals';

/** SOP Instance UIDs of what a selection names, page by page. */
export async function retrieveAll(
  catalog: Catalog,
  selection: Selection,
  { limit = 100, until }: { readonly limit?: number; readonly until?: string } = {},
): Promise<string[]> {
  const uids: string[] = [];
  let after: string | undefined;
  do {
    const { rows, next } = await catalog.retrieve(selection, {
      limit,
      ...(after === undefined ? {} : { after }),
      ...(until === undefined ? {} : { until }),
    });
    expect(rows.length).toBeLessThanOrEqual(limit);
    uids.push(...rows.map(({ SOPInstanceUID }) => SOPInstanceUID));
    after = next;
  } while (after !== undefined);
  return uids;
}

/** What a selection names, by class, and the bound of the survey. */
export async function surveyAll(
  catalog: Catalog,
  selection: Selection,
): Promise<{ readonly kinds: Record<string, number>; readonly until: string }> {
  const counted: Record<string, number> = {};
  let until: string | undefined;
  let after: string | undefined;
  do {
    const page = await catalog.survey(selection, {
      ...(after === undefined ? {} : { after }),
      ...(until === undefined ? {} : { until }),
    });
    for (const { SOPClassUID, count } of page.kinds as KindCount[])
      counted[SOPClassUID] = (counted[SOPClassUID] ?? 0) + count;
    until = page.until;
    after = page.next;
  } while (after !== undefined);
  return { kinds: counted, until };
}

/** What C-MOVE and C-GET ask for; part of the contract. */
export function retrieveContract(catalog: () => Catalog): void {
  const all = (selection: Selection, limit?: number): Promise<string[]> =>
    retrieveAll(catalog(), selection, limit === undefined ? {} : { limit });

  beforeEach(async () => {
    let number = 0;
    const add = async (study: string, series: string, values: Record<string, string>, sopClass = CT) => {
      number++;
      await catalog().record(
        arrival({ number, study, series, uid: `${series}.${number}`, sopClass, values }),
      );
    };
    for (let index = 0; index < 3; index++) await add('1', '1.1', { PatientID: 'P1' });
    await add('1', '1.2', { PatientID: 'P1' }, SR);
    await add('2', '2.1', { PatientID: 'P1' });
    await add('3', '3.1', { PatientID: 'P1', IssuerOfPatientID: 'OTHER' });
    await add('4', '4.1', { PatientID: 'P4' });
  });

  const STUDY_1 = ['1.1.1', '1.1.2', '1.1.3', '1.2.4'];

  it.each<[Selection, string[]]>([
    [{ PatientID: 'P1' }, [...STUDY_1, '2.1.5', '3.1.6']],
    [{ PatientID: 'P1', IssuerOfPatientID: 'OTHER' }, ['3.1.6']],
    [{ PatientID: 'P1', IssuerOfPatientID: 'NOBODY' }, []],
    [{ PatientID: 'p1' }, []],
    [{ StudyInstanceUID: ['1'] }, STUDY_1],
    [{ StudyInstanceUID: ['1', '4', '1'] }, [...STUDY_1, '4.1.7']],
    [{ StudyInstanceUID: ['1'], PatientID: 'P4' }, []],
    [{ StudyInstanceUID: ['3'], IssuerOfPatientID: 'OTHER' }, ['3.1.6']],
    [{ SeriesInstanceUID: ['1.1'] }, ['1.1.1', '1.1.2', '1.1.3']],
    [{ SeriesInstanceUID: ['1.2', '2.1'] }, ['1.2.4', '2.1.5']],
    [{ SeriesInstanceUID: ['1.2', '2.1'], StudyInstanceUID: ['2'] }, ['2.1.5']],
    [{ SOPInstanceUID: ['1.1.3', '4.1.7', '9'] }, ['1.1.3', '4.1.7']],
    [{ SOPInstanceUID: ['1.1.3', '4.1.7'], SeriesInstanceUID: ['4.1'] }, ['4.1.7']],
    [{ SOPInstanceUID: ['1.1.3'], StudyInstanceUID: ['1'], PatientID: 'P1' }, ['1.1.3']],
    [{ StudyInstanceUID: ['%'] }, []],
    [{ StudyInstanceUID: ['1*'] }, []],
  ])('finds by %j', async (selection, expected) => {
    for (const limit of [1, 2, 100]) expect((await all(selection, limit)).sort()).toEqual(expected);
    const { kinds } = await surveyAll(catalog(), selection);
    expect(Object.values(kinds).reduce((sum, count) => sum + count, 0)).toBe(expected.length);
  });

  it('counts by class', async () => {
    expect((await surveyAll(catalog(), { StudyInstanceUID: ['1'] })).kinds).toEqual({ [CT]: 3, [SR]: 1 });
  });

  it('goes through lists of thousands, each instance once', async () => {
    const asked = Array.from({ length: 3000 }, (_, index) => `none.${index}`);
    const list = [...asked.slice(0, 100), '1.1.2', ...asked.slice(100), '4.1.7', '1.1.2'];
    expect(await all({ SOPInstanceUID: list })).toEqual(['1.1.2', '4.1.7']);
    const studies = [...asked.slice(0, 200), '2', ...asked.slice(200), '4'];
    expect(await all({ StudyInstanceUID: studies }, 1)).toEqual(['2.1.5', '4.1.7']);
  });

  it('leaves out what arrives after the survey began', async () => {
    const selection = { StudyInstanceUID: ['1'] };
    const { until } = await surveyAll(catalog(), selection);
    await catalog().record(arrival({ number: 50, study: '1', series: '1.1', uid: 'new' }));
    await catalog().record(arrival({ number: 51, study: '1', series: '1.0', uid: 'newer' }));
    expect(await retrieveAll(catalog(), selection, { until })).toEqual(STUDY_1);
    expect(await all(selection)).toHaveLength(6);
  });

  it('names current arrivals only, and says what is known of them', async () => {
    await put(
      catalog(),
      arrival({ number: 60, study: '1', series: '1.1', uid: '1.1.2', sha256: 'f'.repeat(64) }),
    );
    await catalog().markDamaged(arrivalId(60), 'other bytes');
    const { rows } = await catalog().retrieve({ SOPInstanceUID: ['1.1.2'] }, { limit: 10 });
    expect(rows).toEqual([
      {
        arrivalId: arrivalId(60),
        SOPClassUID: CT,
        SOPInstanceUID: '1.1.2',
        StudyInstanceUID: '1',
        SeriesInstanceUID: '1.1',
        TransferSyntaxUID: '1.2.840.10008.1.2.1',
        dataSetOffset: 542,
        dataSetLength: 1000,
        sha256: 'f'.repeat(64),
        state: 'current',
        damaged: 'other bytes',
      },
    ]);
  });

  it('resumes behind instances and series that go meanwhile', async () => {
    const selection = { PatientID: 'P1' };
    const first = await catalog().retrieve(selection, { limit: 2 });
    const replay = [1, 3, 4, 5].map((number) => {
      const series = { 1: '1.1', 3: '1.1', 4: '1.2', 5: '2.1' }[number]!;
      return arrival({
        number,
        study: series[0]!,
        series,
        uid: `${series}.${number}`,
        sopClass: number === 4 ? SR : CT,
      });
    });
    expect(await catalog().exchange({ leaves: arrivalId(2), replay })).toBe('done');
    const rest: string[] = [];
    for (let after = first.next; after !== undefined;) {
      const page = await catalog().retrieve(selection, { limit: 2, after });
      rest.push(...page.rows.map(({ SOPInstanceUID }) => SOPInstanceUID));
      after = page.next;
    }
    expect(rest).toEqual(['1.1.3', '1.2.4', '2.1.5', '3.1.6']);
  });

  it.each(['', 'x', '1.2', '1.2.3.4', '-1.0.0', '0.0.99999999999999999'])(
    'refuses the cursor %j',
    async (after) => {
      const page = { limit: 10, after };
      await expect(catalog().retrieve({ PatientID: 'P1' }, page)).rejects.toMatchObject({
        code: 'CATALOG_CURSOR',
      });
      await expect(catalog().survey({ PatientID: 'P1' }, { until: after })).rejects.toMatchObject({
        code: 'CATALOG_CURSOR',
      });
    },
  );
}
