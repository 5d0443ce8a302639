import fc from 'fast-check';
import { shiftDays, shiftMinutes } from '../../src/dicom/date-time';
import {
  dateInterval,
  dateTimeInterval,
  isEmptyInterval,
  offsetMinutes,
  timeInterval,
} from '../../src/dicom/match-keys';

describe('a key of DA', () => {
  it.each<[string, string | undefined, string | undefined]>([
    ['20240101', '20240101', '20240101'],
    ['20240101-20240105', '20240101', '20240105'],
    ['20240101 - 20240105', '20240101', '20240105'],
    ['-20240105', undefined, '20240105'],
    ['20240110-', '20240110', undefined],
    ['2024.01.01', '20240101', '20240101'],
    ['2024.01.01-2024.01.05', '20240101', '20240105'],
    ['20240229', '20240229', '20240229'],
    // Backwards: a range, of nothing.
    ['20240105-20240101', '20240105', '20240101'],
  ])('%s', (key, from, to) => {
    expect(dateInterval(key)).toEqual({
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    });
  });

  it.each([
    '20241399',
    '20230229',
    '20240431',
    '2024.0101',
    '2024-01-01',
    '202401',
    '-',
    '',
    'today',
    '2024010*',
    '20240101-20240102-20240103',
    '20240101-2024',
    '00240001',
    '٢٠٢٤٠١٠١',
  ])('%s is no date', (key) => {
    expect(dateInterval(key)).toBeUndefined();
  });
});

describe('a key of TM', () => {
  it.each([
    ['10', '100000.000000', '105959.999999'],
    ['1015', '101500.000000', '101559.999999'],
    ['101500', '101500.000000', '101500.999999'],
    ['101500.5', '101500.500000', '101500.599999'],
    ['101500.123456', '101500.123456', '101500.123456'],
    ['10:15', '101500.000000', '101559.999999'],
    ['10:15:30', '101530.000000', '101530.999999'],
    ['10:15:30.25', '101530.250000', '101530.259999'],
    // T40: the upper bound covers its precision.
    ['1000-1100', '100000.000000', '110059.999999'],
    ['235960', '235960.000000', '235960.999999'],
    ['2200-0200', '220000.000000', '020059.999999'],
  ])('%s', (key, from, to) => {
    expect(timeInterval(key)).toEqual({ from, to });
  });

  it('has open ends', () => {
    expect(timeInterval('235959-')).toEqual({ from: '235959.000000' });
    expect(timeInterval('-10')).toEqual({ to: '105959.999999' });
  });

  it.each([
    '24',
    '1060',
    '101561',
    '1',
    '101',
    '10:1500',
    '101500.',
    '101500.1234567',
    '-',
    '1000+0100',
    'noon',
  ])('%s is no time', (key) => {
    expect(timeInterval(key)).toBeUndefined();
  });
});

describe('a key of DT', () => {
  const utc = (): number => 0;
  const read = (key: string, offset: (instant: number) => number = utc) => dateTimeInterval(key, offset);

  it.each([
    ['2024', '20240101000000.000000', '20241231235959.999999'],
    ['202402', '20240201000000.000000', '20240229235959.999999'],
    ['20240131', '20240131000000.000000', '20240131235959.999999'],
    ['2024013110', '20240131100000.000000', '20240131105959.999999'],
    ['20240131101500.25', '20240131101500.250000', '20240131101500.259999'],
    ['2023-2024', '20230101000000.000000', '20241231235959.999999'],
    // The hyphen of the offset is none of a range.
    ['20240101120000-0500', '20240101170000.000000', '20240101170000.999999'],
    ['20240101120000-0500-20240101130000-0500', '20240101170000.000000', '20240101180000.999999'],
    ['20240101120000+0130 - 2024010113', '20240101103000.000000', '20240101135959.999999'],
    ['2024-0500', '20240101050000.000000', '20250101045959.999999'],
  ])('%s', (key, from, to) => {
    expect(read(key)).toEqual({ from, to });
  });

  it('has open ends, with offsets too', () => {
    expect(read('20240101-0500-')).toEqual({ from: '20240101050000.000000' });
    expect(read('-20240101-0500')).toEqual({ to: '20240102045959.999999' });
    expect(read('2024-')).toEqual({ from: '20240101000000.000000' });
  });

  it('is brought to the local zone where it names its own', () => {
    const summer = (instant: number): number => (instant >= Date.UTC(2024, 2, 31, 1) ? 120 : 60);
    expect(read('20240331005959+0000', summer)?.from).toBe('20240331015959.000000');
    expect(read('20240331010000+0000', summer)?.from).toBe('20240331030000.000000');
    expect(read('20240331010000', summer)?.from).toBe('20240331010000.000000');
  });

  it.each(['202413', '20240101+9900', '-', '', '20240230', 'now', '20240101120000+1500', '2024-2023-2022'])(
    '%s is no date and time',
    (key) => {
      expect(read(key)).toBeUndefined();
    },
  );
});

it('knows a range of nothing', () => {
  expect(isEmptyInterval({ from: '2', to: '1' })).toBe(true);
  expect(isEmptyInterval({ from: '1', to: '1' })).toBe(false);
  expect(isEmptyInterval({ from: '2' })).toBe(false);
  expect(isEmptyInterval({})).toBe(false);
});

it('reads offsets from UTC', () => {
  expect(['+0000', '-0500', '+0545', '+1400', '-1200'].map(offsetMinutes)).toEqual([0, -300, 345, 840, -720]);
  for (const text of ['+1401', '-1201', '0500', '+05', '+0560', 'Z', ''])
    expect(offsetMinutes(text)).toBeUndefined();
});

describe('shifting', () => {
  it('goes over the ends of days, months and years', () => {
    expect(shiftMinutes('20231231233000.5', 45).text).toBe('20240101001500.5');
    expect(shiftMinutes('20240301000000', -1).text).toBe('20240229235900');
    expect(shiftDays('20240228', 2)).toBe('20240301');
  });

  it('stops at the first and the last year', () => {
    expect(shiftDays('99991231', 1)).toBe('99991231');
    expect(shiftDays('00000101', -1)).toBe('00000101');
    expect(shiftDays('00500101', 1)).toBe('00500102');
  });

  it('and back again changes nothing', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('0001-01-03'), max: new Date('9999-12-29'), noInvalidDate: true }),
        fc.integer({ min: -840, max: 840 }),
        (date, minutes) => {
          const text = date.toISOString().replace(/\D/g, '').slice(0, 14);
          expect(shiftMinutes(shiftMinutes(text, minutes).text, -minutes).text).toBe(text);
        },
      ),
    );
  });
});

it('never throws, and bounds are complete', () => {
  const characters = fc.string({ unit: fc.constantFrom(...Array.from('0123456789-+.: *')), maxLength: 24 });
  fc.assert(
    fc.property(characters, (key) => {
      for (const bound of Object.values(dateInterval(key) ?? {})) expect(bound).toMatch(/^\d{8}$/);
      for (const bound of Object.values(timeInterval(key) ?? {})) expect(bound).toMatch(/^\d{6}\.\d{6}$/);
      for (const bound of Object.values(dateTimeInterval(key, () => 60) ?? {}))
        expect(bound).toMatch(/^\d{14}\.\d{6}$/);
    }),
    { numRuns: 2000 },
  );
});
