import Database from 'better-sqlite3';
import fc from 'fast-check';
import { quickCheck } from '../../../src/catalog/sqlite/quick-check';
import type { Arrival } from '../../../src/catalog/types';
import { CT, SR, arrival, arrivalId, wrongCounters } from '../arrivals';
import { Direct } from './direct';

/** Few UIDs and values, so that arrivals meet: same instance, other study, other patient, no patient. */
const sketches = fc.array(
  fc.record({
    uid: fc.constantFrom('u1', 'u2', 'u3', 'u4', 'u5', 'u6', 'u7'),
    study: fc.constantFrom('1', '2'),
    series: fc.constantFrom('1.1', '1.2'),
    sopClass: fc.constantFrom(CT, SR),
    values: fc.record(
      {
        PatientID: fc.constantFrom('P1', 'P2', ''),
        IssuerOfPatientID: fc.constantFrom('A'),
        PatientName: fc.constantFrom('Doe^John', 'Doe^J'),
        AccessionNumber: fc.constantFrom('A1', 'A2'),
        Modality: fc.constantFrom('CT', 'SR', ''),
      },
      { requiredKeys: [] },
    ),
  }),
  { minLength: 1, maxLength: 10 },
);

const arrivals = sketches.map((all) => all.map((sketch, index) => arrival({ ...sketch, number: index + 1 })));

function withCatalog<T>(use: (catalog: Direct) => T): T {
  const catalog = new Direct();
  try {
    return use(catalog);
  } finally {
    catalog.remove();
  }
}

/** The dump, after it was checked against itself and the tables. */
function checkedDump(catalog: Direct): string[] {
  const lines = catalog.dump();
  expect(wrongCounters(lines)).toEqual([]);
  const database = new Database(catalog.file, { readonly: true });
  expect(quickCheck(database)).toEqual([]);
  database.close();
  const totals = catalog.reader.counts();
  const instances = lines.filter((line) => line.includes('"table":"instance"'));
  expect(totals.bytes).toBe(1000 * instances.length);
  expect(totals.instances).toBe(instances.filter((line) => line.includes('"state":"current"')).length);
  const live = (table: string, counter: string): number =>
    lines.filter((line) => line.includes(`"table":"${table}"`) && !line.includes(`"${counter}":0`)).length;
  expect(totals.patients).toBe(live('patient', 'NumberOfPatientRelatedInstances'));
  expect(totals.studies).toBe(live('study', 'NumberOfStudyRelatedInstances'));
  expect(totals.series).toBe(live('series', 'NumberOfSeriesRelatedInstances'));
  return lines;
}

describe('rows are a function of the arrivals', () => {
  it('whatever the order of commits and the bounds of batches', () => {
    fc.assert(
      fc.property(
        arrivals.chain((set) =>
          fc.tuple(
            fc.constant(set),
            fc.shuffledSubarray(set, { minLength: set.length, maxLength: set.length }),
            fc.integer({ min: 1, max: 10 }),
          ),
        ),
        ([inOrder, shuffled, size]) => {
          const expected = withCatalog((catalog) => {
            catalog.put(inOrder);
            return checkedDump(catalog);
          });
          withCatalog((catalog) => {
            for (let from = 0; from < shuffled.length; from += size) {
              catalog.put(shuffled.slice(from, from + size));
            }
            expect(checkedDump(catalog)).toEqual(expected);
          });
        },
      ),
      { numRuns: 25 },
    );
  });

  it('and an exchange leaves what would be had the arrival never come', () => {
    fc.assert(
      fc.property(arrivals, fc.nat(), fc.boolean(), (set, pick, replaced) => {
        const leaves = set[pick % set.length]!;
        const comes: Arrival[] = replaced
          ? [{ ...leaves, ...arrival({ ...leaves, number: 50, uid: leaves.header.SOPInstanceUID }) }]
          : [];
        const rest = set.filter((one) => one !== leaves);
        const expected = withCatalog((catalog) => {
          catalog.put([...rest, ...comes]);
          return checkedDump(catalog);
        });
        withCatalog((catalog) => {
          catalog.put(set);
          const others = catalog.reader.arrivalsOfPatient(leaves.arrivalId);
          const replay = rest.filter((one) => others.includes(one.arrivalId));
          expect(catalog.exchange({ leaves: leaves.arrivalId, replay: [...replay, ...comes] })).toBe('done');
          expect(checkedDump(catalog)).toEqual(expected);
        });
      }),
      { numRuns: 25 },
    );
  });

  it.each(['STUDY', 'IMAGE'] as const)('keeps row ids at level %s through an exchange', (level) => {
    withCatalog((catalog) => {
      const set = [1, 2, 3, 4].map((number) => arrival({ number, study: `1.${number}` }));
      catalog.put(set);
      const page = (limit: number, after?: string): ReturnType<typeof catalog.reader.find> =>
        catalog.reader.find({
          filter: { level, keys: {} },
          page: { limit, ...(after === undefined ? {} : { after }) },
        });
      const { next } = page(2);
      catalog.exchange({ leaves: arrivalId(1), replay: set.slice(1).reverse() });
      const rest = page(10, next).rows.map((row) => row['StudyInstanceUID']);
      expect(rest).toEqual(['1.3', '1.4']);
    });
  });
});
