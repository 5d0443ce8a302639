import fc from 'fast-check';
import { inflateRawSync } from 'node:zlib';
import { decodeDataSet } from '../../src/dicom/data-set';
import type { CommandSet } from '../../src/dimse/types';
import { Tally, type SubOperation } from '../../src/services/retrieve-tally';
import { TS } from '../support/data-sets';
import { read } from './query-kit';

const sum = (fields: Partial<CommandSet> = {}): number =>
  (fields.NumberOfRemainingSuboperations ?? 0) +
  (fields.NumberOfCompletedSuboperations ?? 0) +
  (fields.NumberOfFailedSuboperations ?? 0) +
  (fields.NumberOfWarningSuboperations ?? 0);

const listOf = (bytes: Buffer | undefined): string[] | undefined =>
  bytes === undefined ? undefined : String(read(bytes)['FailedSOPInstanceUIDList']).split('\\');

describe('counters', () => {
  it('always make the whole, whatever ends how, and however often', () => {
    const outcome = fc.constantFrom<SubOperation>('completed', 'warning', 'failed');
    fc.assert(
      fc.property(
        fc.nat(40),
        fc.array(outcome, { maxLength: 60 }),
        fc.boolean(),
        (total, outcomes, cancelled) => {
          const tally = new Tally(total);
          for (const [index, one] of outcomes.entries()) {
            tally.add(one, `1.${index}`);
            expect(sum(tally.pending().fields)).toBe(total);
          }
          const open = tally.remaining;
          if (!cancelled) tally.failRest();
          const { status, fields, dataSet } = tally.final(TS.explicit, { cancelled });
          expect(sum(fields)).toBe(total);
          expect(fields?.NumberOfRemainingSuboperations).toBe(cancelled ? open : undefined);
          // DM-15 and DM-16.
          const { completed, warning, failed } = tally;
          const expected = cancelled
            ? 0xfe00
            : failed + warning === 0
              ? 0
              : failed === total
                ? 0xa702
                : 0xb000;
          expect([completed + warning + failed + tally.remaining, status]).toEqual([total, expected]);
          const listed = outcomes
            .slice(0, total)
            .flatMap((one, index) => (one === 'failed' ? [`1.${index}`] : []));
          if (failed === 0) expect(dataSet).toBeUndefined();
          else if (listed.length > 0) expect(listOf(dataSet)).toEqual(listed);
        },
      ),
    );
  });

  it('stop at 65535', () => {
    const tally = new Tally(70_001);
    expect(tally.pending().fields?.NumberOfRemainingSuboperations).toBe(65_535);
    for (let index = 0; index < 70_000; index++) tally.add('completed', '1');
    expect(tally.pending().fields).toEqual({
      NumberOfRemainingSuboperations: 1,
      NumberOfCompletedSuboperations: 65_535,
      NumberOfFailedSuboperations: 0,
      NumberOfWarningSuboperations: 0,
    });
  });

  it('are all there in every response, but Remaining only where something may remain', () => {
    const tally = new Tally(0);
    expect(Object.keys(tally.pending().fields!)).toHaveLength(4);
    expect(tally.final(TS.explicit).fields).toEqual({
      NumberOfCompletedSuboperations: 0,
      NumberOfFailedSuboperations: 0,
      NumberOfWarningSuboperations: 0,
    });
    expect(tally.final(TS.explicit).status).toBe(0);
  });
});

describe('the list of what failed', () => {
  function failed(count: number, uid: (index: number) => string): Tally {
    const tally = new Tally(count + 1);
    for (let index = 0; index < count; index++) tally.add('failed', uid(index));
    tally.add('completed', 'x');
    return tally;
  }

  it('is cut by whole UIDs so that its length fits two bytes', () => {
    // 64 characters and a separator: 1008 of them have 65519 bytes.
    const uid = (index: number): string => String(index).padStart(64, '1');
    const { dataSet } = failed(2000, uid).final(TS.explicit);
    const list = listOf(dataSet)!;
    expect(list).toEqual(Array.from({ length: 1008 }, (_, index) => uid(index)));
    const [element] = decodeDataSet(dataSet!, TS.explicit);
    expect([element?.vr, element !== undefined && 'value' in element ? element.value.length : 0]).toEqual([
      'UI',
      65_520,
    ]);
  });

  it('takes 65534 bytes and not one more', () => {
    const of = (last: number): string[] => {
      // 1008 UIDs with separators have 65520 bytes; the last one fills up.
      const uids = [
        ...Array.from({ length: 1008 }, (_, index) => String(index).padStart(64, '1')),
        '2'.repeat(last),
      ];
      return listOf(failed(1009, (index) => uids[index]!).final(TS.explicit).dataSet)!;
    };
    expect(of(14)).toHaveLength(1009);
    expect(of(15)).toHaveLength(1008);
  });

  it('has no character set, and the transfer syntax of the context', () => {
    const tally = failed(1, () => '1.2.3');
    for (const syntax of [TS.implicit, TS.big, TS.explicit])
      expect(read(tally.final(syntax).dataSet!, syntax)).toEqual({ FailedSOPInstanceUIDList: '1.2.3' });
    const { dataSet } = tally.final(TS.deflated);
    expect(dataSet!.length % 2).toBe(0);
    expect(read(inflateRawSync(dataSet!))).toEqual({ FailedSOPInstanceUIDList: '1.2.3' });
  });

  it('comes with a cancel, but what remains is not on it', () => {
    const tally = new Tally(5);
    tally.add('failed', '1.1');
    tally.add('completed', '1.2');
    const { status, dataSet, comment } = tally.final(TS.explicit, { cancelled: true });
    expect([status, listOf(dataSet), comment]).toEqual([0xfe00, ['1.1'], undefined]);
  });
});

it('says how many, and why', () => {
  const tally = new Tally(3);
  tally.add('failed', '1');
  tally.add('warning', '2');
  tally.add('completed', '3');
  expect(tally.final(TS.explicit, { why: 'A700: full' }).comment).toBe('1 of 3 failed: A700: full');
  const warned = new Tally(2);
  warned.add('warning', '1');
  warned.add('completed', '2');
  expect(warned.final(TS.explicit).comment).toBe('1 of 2 with warnings');
});
