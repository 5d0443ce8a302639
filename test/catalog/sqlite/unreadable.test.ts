import fc from 'fast-check';
import type { QuarantineEntry } from '../../../src/catalog/types';
import { arrival, arrivalId, quarantineEntry, wrongCounters } from '../arrivals';
import { Direct, valueOf } from './direct';

/** Exchanges beside files that can't be read, and entries of quarantined files that stay in any case. */
let direct: Direct;

beforeEach(() => {
  direct = new Direct();
});

afterEach(() => direct.remove());

const rows = (): Record<string, unknown>[] =>
  direct
    .dump()
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((row) => row['table'] === 'instance');

it('keeps the row of an unreadable file, and what was said of its levels', () => {
  const [leaves, unreadable, other] = [
    arrival({ number: 1, values: { StudyDescription: 'first' } }),
    arrival({ number: 2, values: { Modality: 'MR' }, series: '1.2.3.2' }),
    arrival({ number: 3 }),
  ];
  direct.put([leaves, unreadable, other]);
  const comes = arrival({ number: 4, uid: leaves.header.SOPInstanceUID });
  expect(
    direct.exchange({ leaves: leaves.arrivalId, replay: [other, comes], unreadable: [unreadable.arrivalId] }),
  ).toBe('done');
  expect(rows().map((row) => [row['arrivalId'], row['state']])).toEqual([
    [arrivalId(2), 'current'],
    [arrivalId(3), 'current'],
    [arrivalId(4), 'current'],
  ]);
  expect(wrongCounters(direct.dump())).toEqual([]);
  const study = direct.dump().find((line) => line.includes('"table":"study"'));
  expect(JSON.parse(study!)).toMatchObject({ StudyDescription: 'first', ModalitiesInStudy: 'CT\\MR' });
  expect(direct.reader.counts()).toMatchObject({
    patients: 1,
    studies: 1,
    series: 2,
    instances: 3,
    bytes: 3000,
  });
});

it('is stale where an arrival is neither replayed nor unreadable', () => {
  direct.put([arrival({ number: 1 }), arrival({ number: 2 }), arrival({ number: 3 })]);
  const before = direct.dump();
  expect(direct.exchange({ leaves: arrivalId(1), replay: [], unreadable: [arrivalId(2)] })).toBe('stale');
  expect(direct.dump()).toEqual(before);
});

it('leaves counters and states right, whatever is unreadable', () => {
  const sketch = fc.record({
    uid: fc.integer({ min: 1, max: 3 }),
    study: fc.integer({ min: 1, max: 2 }),
    series: fc.integer({ min: 1, max: 2 }),
    modality: fc.constantFrom('CT', 'MR', ''),
    unreadable: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(sketch, { minLength: 2, maxLength: 8 }), fc.nat(7), (sketches, pick) => {
      const arrivals = sketches.map(({ uid, study, series, modality }, index) =>
        arrival({
          number: index + 1,
          uid: `2.25.${uid}`,
          study: `1.2.${study}`,
          series: `1.2.${study}.${series}`,
          values: { Modality: modality },
        }),
      );
      const fresh = new Direct();
      try {
        fresh.put(arrivals);
        const leaving = arrivals[pick % arrivals.length]!;
        const others = arrivals.filter((one) => one !== leaving);
        const unreadable = others.filter((one) => sketches[arrivals.indexOf(one)]!.unreadable);
        const comes = arrival({
          number: 20,
          uid: leaving.header.SOPInstanceUID,
          study: '1.2.1',
          series: '1.2.1.1',
        });
        const change = {
          leaves: leaving.arrivalId,
          replay: [...others.filter((one) => !unreadable.includes(one)), comes],
          unreadable: unreadable.map((one) => one.arrivalId),
        };
        expect(fresh.exchange(change)).toBe('done');
        const dump = fresh.dump();
        expect(wrongCounters(dump)).toEqual([]);
        const found = dump.map((line) => JSON.parse(line) as Record<string, unknown>);
        const ids = found.filter((row) => row['table'] === 'instance').map((row) => row['arrivalId']);
        expect(ids).toEqual([...others, comes].map((one) => one.arrivalId).sort());
        expect(fresh.reader.counts().bytes).toBe(ids.length * 1000);
      } finally {
        fresh.remove();
      }
    }),
    { numRuns: 60 },
  );
});

it('gives a file that stays an entry of its own, though the same bytes are there', () => {
  const add = (entry: Omit<QuarantineEntry, 'count'>, kept: boolean): unknown =>
    valueOf(direct.writer.run([{ kind: 'addQuarantine', entry, kept }]).results[0]);
  expect(add(quarantineEntry(2), false)).toBe(true);
  expect(add(quarantineEntry(3), false)).toBe(false);
  expect(add(quarantineEntry(4), true)).toBe(true);
  // Asked again after a commit whose answer was lost.
  expect(add(quarantineEntry(4), true)).toBe(true);
  expect(direct.reader.quarantined({ limit: 9 }).rows.map((row) => [row.arrivalId, row.count])).toEqual([
    [arrivalId(2), 2],
    [arrivalId(4), 1],
  ]);
});
