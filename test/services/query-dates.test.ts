import type { Condition, QueryRow } from '../../src/catalog/query-types';
import { combineDateTimes, TimezoneAdjustment } from '../../src/services/query-dates';

const range = (keyword: string, from?: string, to?: string): Condition => ({
  keyword,
  match: { kind: 'range', ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) },
});
const date = (...values: string[]): Condition => ({
  keyword: 'StudyDate',
  match: { kind: 'values', values },
});
const time = (from?: string, to?: string): Condition => range('StudyTime', from, to);

describe('combined date-time matching', () => {
  it.each<[string, Condition[], { from?: string; to?: string }]>([
    [
      'closed ranges',
      [range('StudyDate', '20240101', '20240105'), time('100000.000000', '110059.999999')],
      { from: '20240101100000.000000', to: '20240105110059.999999' },
    ],
    [
      'one day',
      [date('20240101'), time('100000.000000', '110059.999999')],
      { from: '20240101100000.000000', to: '20240101110059.999999' },
    ],
    [
      'open to the future',
      [range('StudyDate', '20240101'), time('100000.000000')],
      { from: '20240101100000.000000' },
    ],
    [
      'open to the past',
      [range('StudyDate', undefined, '20240105'), time(undefined, '110059.999999')],
      { to: '20240105110059.999999' },
    ],
    [
      'times that don’t bound the last day',
      [range('StudyDate', '20240101', '20240105'), time('100000.000000')],
      { from: '20240101100000.000000', to: '20240105235959.999999' },
    ],
  ])('%s', (_what, conditions, expected) => {
    expect(combineDateTimes(conditions)).toEqual([
      { keyword: 'StudyDate', match: { kind: 'dateTime', time: 'StudyTime', ...expected } },
    ]);
  });

  it.each<[string, Condition[]]>([
    ['a date alone', [date('20240101')]],
    ['a time alone', [time('100000.000000')]],
    ['those of two pairs', [date('20240101'), range('SeriesTime', '100000.000000')]],
    ['a list of dates', [date('20240101', '20240103'), time('100000.000000')]],
    ['an empty time', [date('20240101'), { keyword: 'StudyTime', match: { kind: 'empty' } }]],
    ['other keys', [{ keyword: 'PatientID', match: { kind: 'values', values: ['20240101'] } }]],
  ])('leaves %s as they are', (_what, conditions) => {
    expect(combineDateTimes(conditions)).toEqual(conditions);
  });
});

describe('timezone adjustment', () => {
  const adjustment = (
    conditions: Condition[],
    offset = 120,
    localOffset: (instant: number) => number = () => 0,
  ) =>
    new TimezoneAdjustment({
      offset,
      conditions,
      returned: ['StudyDate', 'StudyTime'],
      zoned: true,
      localOffset,
    });
  const row = (
    StudyDate: string | null,
    StudyTime: string | null,
    TimezoneOffsetFromUTC: string | null,
  ): QueryRow => ({
    StudyDate,
    StudyTime,
    TimezoneOffsetFromUTC,
  });

  it('asks the catalog for a day more to each side, and for no times', () => {
    expect(adjustment([date('20240101'), time('100000.000000')]).widened).toEqual([
      range('StudyDate', '20231231', '20240102'),
    ]);
    expect(adjustment([range('StudyDate', '20240301')]).widened).toEqual([range('StudyDate', '20240229')]);
    expect(adjustment([date('20240110', '20240101')]).widened).toEqual([
      range('StudyDate', '20231231', '20240111'),
    ]);
    const other: Condition[] = [
      { keyword: 'PatientBirthDate', match: { kind: 'values', values: ['19700101'] } },
      { keyword: 'StudyTime', match: { kind: 'empty' } },
    ];
    expect(adjustment(other).widened).toEqual(other);
  });

  it.each<[string, QueryRow, string | undefined]>([
    ['of the entity’s own zone', row('20240101', '2330', '+0100'), '20240102 0030'],
    ['of another one', row('20240101', '003000.25', '+0530'), '20231231 210000.25'],
    ['of the process where none is known', row('20240101', '2330', null), '20240102 0130'],
    ['of one that is none', row('20240101', '2330', 'CET'), '20240102 0130'],
    ['with colons', row('2024.01.01', '23:30:00', '+0000'), '20240102 013000'],
    ['of an hour', row('20240101', '23', '+0000'), '20240102 01'],
    ['of an hour, half a zone off', row('20240101', '23', '+0130'), '20240101 2330'],
    ['without a time', row('20240101', null, '+0000'), '20240101 null'],
    ['without a date', row(null, '2330', '+0000'), 'null 2330'],
    ['without sense', row('20240101', 'noon', '+0000'), '20240101 noon'],
  ])('shifts date and time %s', (_what, given, expected) => {
    const { StudyDate, StudyTime } = adjustment([]).apply(given)!;
    expect(`${String(StudyDate)} ${String(StudyTime)}`).toBe(expected);
  });

  it('knows that the process’s zone has summers', () => {
    const summer = (instant: number): number => (instant >= Date.UTC(2024, 2, 31, 1) ? 120 : 60);
    const at = (StudyTime: string): QueryRow[string] | undefined =>
      adjustment([], 0, summer).apply(row('20240331', StudyTime, null))?.['StudyTime'];
    expect([at('0130'), at('0400')]).toEqual(['0030', '0200']);
  });

  it('matches what was shifted', () => {
    const late = row('20240101', '2330', '+0000');
    expect(adjustment([date('20240102')]).apply(late)).toBeDefined();
    expect(adjustment([date('20240101')]).apply(late)).toBeUndefined();
    expect(adjustment([time('010000.000000', '020000.000000')]).apply(late)).toBeDefined();
    expect(adjustment([time('230000.000000')]).apply(late)).toBeUndefined();
    const both: Condition = {
      keyword: 'StudyDate',
      match: {
        kind: 'dateTime',
        time: 'StudyTime',
        from: '20240102013000.000000',
        to: '20240102013000.999999',
      },
    };
    expect(adjustment([both]).apply(late)).toBeDefined();
    expect(adjustment([both]).apply(row('20240101', '2331', '+0000'))).toBeUndefined();
    expect(adjustment([date('20240102')]).apply(row(null, null, null))).toBeUndefined();
  });

  it('has nothing to do with dates that no time belongs to', () => {
    const plain = new TimezoneAdjustment({
      offset: 0,
      conditions: [],
      returned: ['PatientBirthDate'],
      zoned: true,
    });
    expect(plain.columns).toEqual([]);
    expect(plain.apply({ PatientBirthDate: '19700101' })).toEqual({ PatientBirthDate: '19700101' });
  });
});
