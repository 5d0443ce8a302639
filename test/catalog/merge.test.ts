import fc from 'fast-check';
import { emptyMerged, merge, type Merged } from '../../src/catalog/merge';
import type { AttributeValue } from '../../src/dicom/types';

interface Said {
  readonly arrivalId: string;
  readonly values: readonly (AttributeValue | null)[];
}

/** What the table of conflicts would hold: first arrival of each differing value. */
type Conflicts = Map<string, string>;

function mergeAll(arrivals: readonly Said[]): { merged: Merged; conflicts: Conflicts } {
  let merged = emptyMerged(3);
  const conflicts: Conflicts = new Map();
  for (const { arrivalId, values } of arrivals) {
    const result = merge(merged, arrivalId, values);
    merged = result.merged;
    for (const change of result.conflicts) {
      const key = JSON.stringify([change.position, change.value]);
      if (change.kind === 'agrees') conflicts.delete(key);
      else {
        const known = conflicts.get(key);
        if (known === undefined || change.arrivalId < known) conflicts.set(key, change.arrivalId);
      }
    }
  }
  return { merged, conflicts };
}

/** The definition, without any increments. */
function defined(arrivals: readonly Said[]): { values: (AttributeValue | null)[]; conflicts: Conflicts } {
  const sorted = [...arrivals].sort((a, b) => (a.arrivalId < b.arrivalId ? -1 : 1));
  const conflicts: Conflicts = new Map();
  const values = [0, 1, 2].map((position) => {
    let kept: AttributeValue | null = null;
    for (const said of sorted) {
      const value = said.values[position] ?? null;
      kept ??= value;
      const key = JSON.stringify([position, value]);
      if (value !== null && value !== kept && !conflicts.has(key)) conflicts.set(key, said.arrivalId);
    }
    return kept;
  });
  return { values, conflicts };
}

const value = fc.constantFrom(null, 'a', 'b', 'c', 7, 8);
const arrivals = fc
  .uniqueArray(fc.nat({ max: 99 }), { minLength: 1, maxLength: 8 })
  .chain((numbers) =>
    fc.tuple(
      ...numbers.map((number) =>
        fc
          .tuple(value, value, value)
          .map((values) => ({ arrivalId: String(number).padStart(2, '0'), values })),
      ),
    ),
  );

describe('merge', () => {
  it('depends on the set of arrivals alone, and says what the definition says', () => {
    fc.assert(
      fc.property(
        arrivals.chain((set) =>
          fc.tuple(
            fc.constant(set),
            fc.shuffledSubarray(set, { minLength: set.length, maxLength: set.length }),
          ),
        ),
        ([set, shuffled]) => {
          const one = mergeAll(set);
          const other = mergeAll(shuffled);
          expect(other.merged.firstArrival).toBe(one.merged.firstArrival);
          expect(other.merged.values).toEqual(one.merged.values);
          expect([...other.merged.sources]).toEqual([...one.merged.sources]);
          expect(new Map([...other.conflicts].sort())).toEqual(new Map([...one.conflicts].sort()));
          const expected = defined(set);
          expect(one.merged.values).toEqual(expected.values);
          expect(new Map([...one.conflicts].sort())).toEqual(new Map([...expected.conflicts].sort()));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('hands the same object back where a later arrival says nothing new', () => {
    const first = merge(emptyMerged(2), '01', ['a', 'b']).merged;
    expect(merge(first, '02', ['a', null])).toEqual({ merged: first, conflicts: [] });
    expect(merge(first, '02', ['a', 'b']).merged).toBe(first);
  });

  it('keeps a source only for what the first arrival did not say', () => {
    const one = merge(emptyMerged(2), '05', ['a', null]).merged;
    const two = merge(one, '07', [null, 'x']).merged;
    expect([...two.sources]).toEqual([[1, '07']]);
    const three = merge(two, '03', [null, 'x']).merged;
    expect(three).toMatchObject({ firstArrival: '03', values: ['a', 'x'] });
    expect([...three.sources]).toEqual([[0, '05']]);
  });
});
