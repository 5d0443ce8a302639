import type { Catalog, EntityRow, FindFilter } from '../../src/catalog/types';
import { findAll, findContract } from './contract-find';
import { retrieveContract } from './contract-retrieve';
import { CT, SR, arrival, arrivalId, dumpOf, put, quarantineEntry, wrongCounters } from './arrivals';

/** A fresh, opened catalog, and what removes it. */
export interface Fixture {
  readonly catalog: Catalog;
  /** Closes it and opens the same data again. */
  reopen(): Promise<Catalog>;
  remove(): Promise<void>;
}

/** What every adapter must do. */
export function catalogContract(create: () => Promise<Fixture>): void {
  let fixture: Fixture;
  let catalog: Catalog;

  beforeEach(async () => {
    fixture = await create();
    catalog = fixture.catalog;
  });

  afterEach(async () => {
    await fixture.remove();
  });

  const all = (filter: FindFilter): Promise<EntityRow[]> => findAll(catalog, filter);

  const studies = async (keys: Record<string, string>): Promise<string[]> =>
    (await all({ level: 'STUDY', keys })).map((row) => String(row['StudyInstanceUID'])).sort();

  describe('record', () => {
    it('shows a recorded arrival to the next question', async () => {
      expect(await catalog.record(arrival())).toEqual({ kind: 'recorded' });
      const [location] = await catalog.locate('1.2.3.1.1');
      expect(location).toEqual({
        arrivalId: arrivalId(1),
        SOPClassUID: CT,
        SOPInstanceUID: '1.2.3.1.1',
        StudyInstanceUID: '1.2.3',
        SeriesInstanceUID: '1.2.3.1',
        TransferSyntaxUID: '1.2.840.10008.1.2.1',
        dataSetOffset: 542,
        dataSetLength: 1000,
        sha256: '1'.padStart(64, '0'),
        state: 'current',
        damaged: undefined,
      });
      expect(await catalog.counts()).toEqual({
        patients: 1,
        studies: 1,
        series: 1,
        instances: 1,
        bytes: 1000,
        quarantined: 0,
      });
    });

    it('writes nothing for a second arrival of a UID and says who holds it', async () => {
      await catalog.record(arrival());
      const before = await dumpOf(catalog);
      const outcome = await catalog.record(
        arrival({ number: 2, uid: '1.2.3.1.1', study: '9', values: { PatientID: 'P9' } }),
      );
      expect(outcome).toMatchObject({
        kind: 'exists',
        current: { arrivalId: arrivalId(1), StudyInstanceUID: '1.2.3' },
      });
      expect(await dumpOf(catalog)).toEqual(before);
    });

    it('takes the same arrival again without a change', async () => {
      await catalog.record(arrival());
      const before = await dumpOf(catalog);
      expect(await catalog.record(arrival())).toEqual({ kind: 'recorded' });
      expect(await dumpOf(catalog)).toEqual(before);
      expect((await catalog.counts()).instances).toBe(1);
    });

    it('gives one of many simultaneous arrivals of a UID the place', async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, index) => catalog.record(arrival({ number: index + 1, uid: '5.5' }))),
      );
      expect(outcomes.filter((outcome) => outcome.kind === 'recorded')).toHaveLength(1);
      expect((await catalog.counts()).instances).toBe(1);
    });

    it('counts exactly when many series of a study come interleaved', async () => {
      await Promise.all(
        Array.from({ length: 300 }, (_, index) =>
          catalog.record(
            arrival({
              number: 300 - index,
              series: `1.2.3.${index % 7}`,
              sopClass: index % 7 === 0 ? SR : CT,
              values: { Modality: index % 7 === 0 ? 'SR' : 'CT' },
            }),
          ),
        ),
      );
      const [study] = await all({ level: 'STUDY', keys: {} });
      expect(study).toMatchObject({
        NumberOfStudyRelatedSeries: 7,
        NumberOfStudyRelatedInstances: 300,
        ModalitiesInStudy: 'CT\\SR',
        SOPClassesInStudy: `${CT}\\${SR}`,
        NumberOfPatientRelatedStudies: 1,
      });
      expect(wrongCounters(await dumpOf(catalog))).toEqual([]);
    });
  });

  describe('versions', () => {
    it('keeps both, the later arrival current', async () => {
      await catalog.record(arrival());
      const replacement = arrival({ number: 2, uid: '1.2.3.1.1', sopClass: SR });
      expect(await catalog.record(replacement, { replaces: arrivalId(1) })).toEqual({ kind: 'recorded' });
      const states = (await catalog.locate('1.2.3.1.1')).map((one) => [one.arrivalId, one.state]);
      expect(states).toEqual([
        [arrivalId(2), 'current'],
        [arrivalId(1), 'version'],
      ]);
      expect(await catalog.counts()).toMatchObject({ instances: 1, bytes: 2000 });
      const [study] = await all({ level: 'STUDY', keys: {} });
      expect(study).toMatchObject({ NumberOfStudyRelatedInstances: 1, SOPClassesInStudy: SR });
      expect(await all({ level: 'IMAGE', keys: {} })).toHaveLength(1);
    });

    it('makes an arrival that is older than the one it replaces a version', async () => {
      await catalog.record(arrival({ number: 5, uid: '7' }));
      await catalog.record(arrival({ number: 3, uid: '7' }), { replaces: arrivalId(5) });
      const [current] = await catalog.locate('7');
      expect(current?.arrivalId).toBe(arrivalId(5));
    });

    it('replaces only what the caller saw', async () => {
      await catalog.record(arrival({ number: 1, uid: '7' }));
      await catalog.record(arrival({ number: 2, uid: '7' }), { replaces: arrivalId(1) });
      const outcome = await catalog.record(arrival({ number: 3, uid: '7' }), { replaces: arrivalId(1) });
      expect(outcome).toMatchObject({ kind: 'exists', current: { arrivalId: arrivalId(2) } });
      expect(await catalog.record(arrival({ number: 1, uid: '7' }))).toEqual({ kind: 'recorded' });
    });

    it('hides a study whose only instance moved to another one', async () => {
      await put(catalog, arrival({ number: 1, uid: '7', study: '1' }));
      await put(catalog, arrival({ number: 2, uid: '7', study: '2' }));
      expect(await studies({})).toEqual(['2']);
      expect(await catalog.counts()).toMatchObject({ patients: 1, studies: 1, series: 1, instances: 1 });
      expect(wrongCounters(await dumpOf(catalog))).toEqual([]);
    });
  });

  describe('values', () => {
    it('keeps the first arrival of an attribute, whatever the order of commits', async () => {
      await catalog.record(arrival({ number: 2, values: { StudyDescription: 'second', Modality: 'MR' } }));
      await catalog.record(
        arrival({ number: 3, values: { StudyDescription: 'third', AccessionNumber: 'A3' } }),
      );
      await catalog.record(arrival({ number: 1, values: { StudyDescription: 'first' } }));
      const [study] = await all({ level: 'STUDY', keys: {} });
      expect(study).toMatchObject({
        StudyDescription: 'first',
        AccessionNumber: 'A3',
        ModalitiesInStudy: 'CT',
      });
      const { rows } = await catalog.conflicts({ limit: 10 });
      const seen = rows.map((row) => [row.keyword, row.kept, row.differing, row.arrivalId]);
      expect(seen.sort()).toEqual([
        ['Modality', 'CT', 'MR', arrivalId(2)],
        ['StudyDescription', 'first', 'second', arrivalId(2)],
        ['StudyDescription', 'first', 'third', arrivalId(3)],
      ]);
      expect(rows.find((row) => row.keyword === 'Modality')).toMatchObject({
        level: 'SERIES',
        PatientID: 'P1',
        StudyInstanceUID: '1.2.3',
        SeriesInstanceUID: '1.2.3.1',
      });
    });

    it('tells patients apart by issuer, and has one a study where there is no PatientID', async () => {
      const record = (number: number, study: string, values: Record<string, string>): Promise<unknown> =>
        catalog.record(arrival({ number, study, values }));
      await record(1, '1', { PatientID: 'X', IssuerOfPatientID: 'A' });
      await record(2, '2', { PatientID: 'X', IssuerOfPatientID: 'B' });
      await record(3, '3', { PatientID: 'X', IssuerOfPatientID: 'A' });
      await record(4, '4', { PatientID: '' });
      await record(5, '5', { PatientID: '' });
      await record(6, '5', { PatientID: '', IssuerOfPatientID: 'A' });
      expect(await catalog.counts()).toMatchObject({ patients: 4, studies: 5 });
      const [patient] = await all({ level: 'PATIENT', keys: { PatientID: 'X', IssuerOfPatientID: 'A' } });
      expect(patient?.['NumberOfPatientRelatedStudies']).toBe(2);
    });

    it('keeps one study of a UID for each patient', async () => {
      await catalog.record(arrival({ number: 1, study: '1' }));
      await catalog.record(arrival({ number: 2, study: '1', values: { PatientID: 'P2' } }));
      expect(await studies({})).toEqual(['1', '1']);
      expect(wrongCounters(await dumpOf(catalog))).toEqual([]);
    });

    it('gives numbers back as numbers, and absent values as null', async () => {
      await catalog.record(arrival({ values: { Rows: 512 } }));
      const [image] = await all({ level: 'IMAGE', keys: { Rows: '512' } });
      expect(image).toMatchObject({
        Rows: 512,
        Columns: null,
        PatientName: 'Doe^John',
        NumberOfStudyRelatedSeries: 1,
      });
      expect(await all({ level: 'IMAGE', keys: { Rows: '511' } })).toEqual([]);
    });
  });

  describe('find', () => {
    findContract(() => catalog);
  });

  describe('retrieve', () => {
    retrieveContract(() => catalog);
  });

  describe('segments and arrivals', () => {
    it('keeps marks over a restart', async () => {
      await catalog.openSegment(1);
      await catalog.openSegment(2);
      await catalog.settle(1);
      await catalog.settle(7);
      await catalog.openSegment(1);
      catalog = await fixture.reopen();
      expect(await catalog.segments()).toEqual([
        { segment: 1, settled: true },
        { segment: 2, settled: false },
        { segment: 7, settled: true },
      ]);
    });

    it('lists the arrivals of a segment, versions too', async () => {
      await put(catalog, arrival({ number: 1, segment: 1, uid: '7' }));
      await put(catalog, arrival({ number: 2, segment: 2, uid: '7' }));
      await put(catalog, arrival({ number: 3, segment: 2 }));
      expect(await catalog.arrivals(2)).toEqual(new Set([arrivalId(2, 2), arrivalId(3, 2)]));
      expect(await catalog.arrivals(3)).toEqual(new Set());
    });

    it('lists the arrivals of a patient in order', async () => {
      await put(catalog, arrival({ number: 2, study: '2' }));
      await put(catalog, arrival({ number: 1, study: '1' }));
      await put(catalog, arrival({ number: 3, study: '3', values: { PatientID: 'P2' } }));
      expect(await catalog.arrivalsOfPatient(arrivalId(2))).toEqual([arrivalId(1), arrivalId(2)]);
      expect(await catalog.arrivalsOfPatient(arrivalId(9))).toEqual([]);
    });

    it('marks a row damaged', async () => {
      await catalog.record(arrival());
      await catalog.markDamaged(arrivalId(1), 'the bytes changed');
      await catalog.markDamaged(arrivalId(99), 'no such row');
      expect((await catalog.locate('1.2.3.1.1'))[0]?.damaged).toBe('the bytes changed');
    });
  });

  describe('quarantine', () => {
    it('counts the same bytes of an instance and keeps them once', async () => {
      expect(await catalog.addQuarantine(quarantineEntry(2))).toBe(true);
      expect(await catalog.addQuarantine(quarantineEntry(3))).toBe(false);
      expect(await catalog.addQuarantine(quarantineEntry(4, { sha256: 'e'.repeat(64) }))).toBe(true);
      expect(await catalog.quarantineEntry(arrivalId(2))).toEqual({ ...quarantineEntry(2), count: 2 });
      expect(await catalog.quarantineEntry(arrivalId(3))).toBeUndefined();
      expect((await catalog.counts()).quarantined).toBe(2);
    });

    it('takes the same entry again without counting it', async () => {
      await catalog.addQuarantine(quarantineEntry(2, { conflictsWith: undefined }));
      expect(await catalog.addQuarantine(quarantineEntry(2, { conflictsWith: undefined }))).toBe(true);
      const entry = await catalog.quarantineEntry(arrivalId(2));
      expect(entry).toMatchObject({ count: 1, conflictsWith: undefined });
    });

    it('pages and removes', async () => {
      for (const number of [5, 3, 4]) {
        await catalog.addQuarantine(quarantineEntry(number, { sha256: String(number).repeat(64) }));
      }
      const first = await catalog.quarantined({ limit: 2 });
      expect(first.rows.map((row) => row.arrivalId)).toEqual([arrivalId(5), arrivalId(3)]);
      await catalog.removeQuarantine(arrivalId(5));
      const second = await catalog.quarantined({ limit: 2, after: first.next! });
      expect(second).toMatchObject({ rows: [{ arrivalId: arrivalId(4) }], next: undefined });
    });
  });

  describe('exchange', () => {
    const one = arrival({
      number: 1,
      uid: '7',
      values: { StudyDescription: 'wrong', AccessionNumber: 'A1' },
    });
    const two = arrival({ number: 2, values: { StudyDescription: 'right' } });
    const comes = arrival({ number: 3, uid: '7', values: { StudyDescription: 'right' } });

    it('leaves what would be had the arrival never come', async () => {
      for (const each of [one, two]) await catalog.record(each);
      await catalog.markDamaged(two.arrivalId, 'looked at');
      await catalog.addQuarantine(quarantineEntry(3));
      const change = {
        leaves: one.arrivalId,
        replay: [two, comes],
        quarantineAdd: quarantineEntry(1, { reason: 'replaced' }),
        quarantineRemove: comes.arrivalId,
      };
      expect(await catalog.exchange(change)).toBe('done');
      const [study] = await all({ level: 'STUDY', keys: {} });
      expect(study).toMatchObject({
        StudyDescription: 'right',
        AccessionNumber: null,
        NumberOfStudyRelatedInstances: 2,
      });
      expect((await catalog.conflicts({ limit: 10 })).rows).toEqual([]);
      expect((await catalog.locate('7')).map((held) => held.arrivalId)).toEqual([comes.arrivalId]);
      expect((await catalog.locate(two.header.SOPInstanceUID))[0]?.damaged).toBe('looked at');
      const listed = (await catalog.quarantined({ limit: 10 })).rows.map((row) => row.arrivalId);
      expect(listed).toEqual([one.arrivalId]);
      expect(await catalog.exchange(change)).toBe('done');
      expect(wrongCounters(await dumpOf(catalog))).toEqual([]);
    });

    it('does nothing where the patient has other arrivals than the caller read', async () => {
      for (const each of [one, two]) await catalog.record(each);
      const before = await dumpOf(catalog);
      expect(await catalog.exchange({ leaves: one.arrivalId, replay: [comes] })).toBe('stale');
      expect(await catalog.exchange({ leaves: arrivalId(77), replay: [comes] })).toBe('stale');
      expect(await dumpOf(catalog)).toEqual(before);
    });

    it('removes what nothing speaks of any more, and makes a version of another patient current', async () => {
      await put(catalog, arrival({ number: 1, uid: '7', study: '1', values: { PatientID: 'P1' } }));
      await put(catalog, arrival({ number: 2, uid: '7', study: '2', values: { PatientID: 'P2' } }));
      expect(await catalog.exchange({ leaves: arrivalId(2), replay: [] })).toBe('done');
      expect((await catalog.locate('7')).map((held) => held.state)).toEqual(['current']);
      expect(await catalog.counts()).toMatchObject({
        patients: 1,
        studies: 1,
        series: 1,
        instances: 1,
        bytes: 1000,
      });
      const lines = await dumpOf(catalog);
      expect(lines.filter((line) => line.includes('P2'))).toEqual([]);
      expect(wrongCounters(lines)).toEqual([]);
    });
  });

  it('dumps and keeps everything over a restart', async () => {
    for (let number = 1; number <= 20; number++) {
      const values = { PatientID: `P${number % 3}`, StudyDescription: `d${number % 4}` };
      await put(catalog, arrival({ number, study: `1.${number % 3}`, values }));
    }
    await catalog.addQuarantine(quarantineEntry(30));
    const before = await dumpOf(catalog);
    catalog = await fixture.reopen();
    expect(await dumpOf(catalog)).toEqual(before);
    expect(before.every((line) => !('id' in (JSON.parse(line) as object)))).toBe(true);
    // What was read back from the tables goes on as what was in memory.
    await put(catalog, arrival({ number: 21, study: '1.0', values: { PatientID: 'P0' } }));
    expect(wrongCounters(await dumpOf(catalog))).toEqual([]);
  });
}
