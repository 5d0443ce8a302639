import { compileMatch } from '../../src/catalog/match';
import type { Match } from '../../src/catalog/query-types';
import type { AttributeValue } from '../../src/dicom/types';

const range = (from?: string, to?: string): Match => ({
  kind: 'range',
  ...(from === undefined ? {} : { from }),
  ...(to === undefined ? {} : { to }),
});
const values = (...list: string[]): Match => ({ kind: 'values', values: list });
const every = (...list: string[]): Match => ({ kind: 'every', values: list });

/** The hour from ten to eleven, as a key `10` covers it. */
const TEN = range('100000.000000', '105959.999999');

describe('a matcher', () => {
  it.each<[string, Match, AttributeValue | null, boolean]>([
    // Values of less precision count from their beginning (PS3.4 C.2.2.2.5, QR-12).
    ['TM', TEN, '10', true],
    ['TM', TEN, '1059', true],
    ['TM', TEN, '105959.9999', true],
    ['TM', TEN, '11', false],
    ['TM', TEN, '10:30:00', true],
    ['TM', TEN, '09\\1030', true],
    ['TM', TEN, '10-11', false],
    ['TM', TEN, null, false],
    ['TM', values('101500'), '10:15:00', true],
    ['TM', values('10'), '1000', true],
    ['TM', values('10'), '1030', false],
    ['DA', range('20240101', '20240131'), '2024.01.15', true],
    ['DA', range('20240101', '20240131'), '20240201\\20240131', true],
    ['DA', range('20240101'), '2024', false],
    ['DA', range(undefined, '20240131'), 'x', false],
    ['DA', values('20240101'), '2024.01.01', true],
    ['DT', range('20240101000000.000000', '20241231235959.999999'), '2024', true],
    ['DT', range('20240101000000.000000', '20241231235959.999999'), '20240601103000.5', true],
    ['DT', range('20240101000000.000000', '20241231235959.999999'), '2023', false],
    // Numbers as numbers (QR-08), and what is none by its text.
    ['IS', values('7'), '+007', true],
    ['DS', values('0.50'), '.5', true],
    ['DS', values('1e2'), '100', true],
    ['IS', values('7'), '8\\7', true],
    ['IS', values('x'), 'x', true],
    ['IS', values('7'), '7x', false],
    ['US', values('512'), 512, true],
    ['FL', values('0.1'), Math.fround(0.1), true],
    ['FL', values('0.1'), 0.1001, false],
    // Text of one value holds what looks like several (PS3.5 6.2 LT, ST, UT, UR).
    ['LT', values('a\\b'), 'a\\b', true],
    ['LT', values('a'), 'a\\b', false],
    ['LO', values('a'), 'b\\a', true],
    ['LO', values('b\\a'), 'b\\a', false],
    // Every one of the values, in any order (PS3.4 C.2.2.2.8).
    ['CS', every('CT', 'MR'), 'MR\\PT\\CT', true],
    ['CS', every('CT', 'MR'), 'CT', false],
    ['IS', every('1', '2'), '02\\+1', true],
    ['DA', every('20240101'), '2024.01.01\\20250101', true],
    // Absent or of zero length (C.2.2.2.7).
    ['LO', { kind: 'empty' }, null, true],
    ['LO', { kind: 'empty' }, 'a', false],
    ['SQ', { kind: 'empty' }, '[{}]', false],
    ['LO', { kind: 'wildcard', patterns: ['*'] }, null, false],
  ])('%s %j against %j: %s', (vr, match, value, expected) => {
    expect(compileMatch(vr, match)(value)).toBe(expected);
  });

  it('brings a date-time with an offset to the time zone of the process', () => {
    const utc = new Date(Date.UTC(2024, 5, 1, 12, 30));
    const two = (part: number): string => String(part).padStart(2, '0');
    const local = `${utc.getFullYear()}${two(utc.getMonth() + 1)}${two(utc.getDate())}${two(utc.getHours())}${two(utc.getMinutes())}`;
    const match = range(`${local}00.000000`, `${local}59.999999`);
    expect(compileMatch('DT', match)('202406011230+0000')).toBe(true);
    expect(compileMatch('DT', match)('202406011430+0200')).toBe(true);
    expect(compileMatch('DT', match)('202406011430+0000')).toBe(false);
  });

  it('makes one point in time of a date and its time', () => {
    // From the fifth at ten to the seventh at nine (PS3.4 C.2.2.2.5.4).
    const test = compileMatch('DA', {
      kind: 'dateTime',
      time: 'StudyTime',
      from: '20240105100000.000000',
      to: '20240107090000.000000',
    });
    expect(test('20240105', '0959')).toBe(false);
    expect(test('20240105', '10')).toBe(true);
    expect(test('20240106', null)).toBe(true);
    expect(test('2024.01.06', '23:00:00')).toBe(true);
    expect(test('20240107', '0901')).toBe(false);
    expect(test('20240107', null)).toBe(true);
    expect(test('20240105', null)).toBe(false);
    expect(test(null, '1200')).toBe(false);
    expect(test('20240101\\20240106', '12\\13')).toBe(true);
  });

  describe('of sequences', () => {
    const CODE = 0x00080100;
    const SCHEME = 0x00080102;
    const code = (value: string, scheme: string, more: object = {}): object => ({
      '00080100': { vr: 'SH', Value: [value] },
      '00080102': { vr: 'SH', Value: [scheme] },
      ...more,
    });
    const items = JSON.stringify([
      code('1', 'DCM'),
      code('2', 'SCT', {
        '00400006': { vr: 'PN', Value: [{ Alphabetic: 'Doe^John', Ideographic: '山田' }] },
        '00400009': { vr: 'SH' },
        '00400002': { vr: 'DA', Value: ['20240101'] },
        '00400003': { vr: 'TM', Value: ['1200'] },
        '00400008': { vr: 'SQ', Value: [code('3', 'DCM'), {}] },
        '0020000D': { vr: 'UI', Value: ['1.2'] },
        '00201208': { vr: 'IS', Value: [7] },
      }),
    ]);
    const meets = (...conditions: [number, string, Match][]): boolean =>
      compileMatch('SQ', {
        kind: 'item',
        conditions: conditions.map(([tag, vr, match]) => ({ tag, vr, match })),
      })(items);

    it('one item has to meet all conditions', () => {
      expect(meets([CODE, 'SH', values('2')], [SCHEME, 'SH', values('SCT')])).toBe(true);
      expect(meets([CODE, 'SH', values('2')], [SCHEME, 'SH', values('DCM')])).toBe(false);
    });

    it('every kind of match works inside', () => {
      expect(meets([0x00400006, 'PN', values('doe^john')])).toBe(true);
      expect(meets([0x00400006, 'PN', { kind: 'wildcard', patterns: ['=山*'] }])).toBe(true);
      expect(meets([0x00400006, 'PN', { kind: 'fuzzy', name: 'John Dow' }])).toBe(true);
      expect(meets([0x00400009, 'SH', { kind: 'empty' }], [CODE, 'SH', values('2')])).toBe(true);
      expect(meets([0x00400002, 'DA', range('20240101')])).toBe(true);
      expect(
        meets([0x00400002, 'DA', { kind: 'dateTime', time: '00400003', from: '20240101110000.000000' }]),
      ).toBe(true);
      expect(
        meets([0x00400002, 'DA', { kind: 'dateTime', time: '00400003', from: '20240101130000.000000' }]),
      ).toBe(false);
      expect(meets([0x0020000d, 'UI', values('1.1', '1.2')])).toBe(true);
      expect(meets([0x00201208, 'IS', values('007')])).toBe(true);
    });

    it('at any depth', () => {
      const inner = (value: string): Match => ({
        kind: 'item',
        conditions: [{ tag: CODE, vr: 'SH', match: values(value) }],
      });
      expect(meets([0x00400008, 'SQ', inner('3')])).toBe(true);
      expect(meets([0x00400008, 'SQ', inner('1')])).toBe(false);
    });

    it.each([
      '',
      '{',
      'null',
      '7',
      '[null]',
      '[7]',
      '[[]]',
      '{"00080100":1}',
      '[{"00080100":{"Value":7}}]',
      '[{"00080100":null}]',
    ])('nothing matches in %j, and nothing breaks', (json) => {
      const test = compileMatch('SQ', {
        kind: 'item',
        conditions: [{ tag: CODE, vr: 'SH', match: values('1') }],
      });
      expect(test(json)).toBe(false);
    });
  });
});
