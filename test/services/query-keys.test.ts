import fc from 'fast-check';
import type { Match } from '../../src/catalog/query-types';
import { parseCharacterSet } from '../../src/dicom/charset';
import { tagOf, vrOf } from '../../src/dicom/dictionary';
import { keyValues, matchOf, type KeyRules } from '../../src/services/query-keys';
import { refusal } from './query-kit';

const BASELINE: KeyRules = { fuzzyNames: false, emptyValue: false, multipleValues: false };
const SET = parseCharacterSet([]);

function match(keyword: string, key: string, rules: Partial<KeyRules> = {}): Match | undefined {
  const tag = tagOf(keyword)!;
  const vr = vrOf(tag);
  const values = keyValues({ tag, vr, value: Buffer.from(key, 'latin1') }, vr, SET);
  return matchOf(tag, vr, values, { ...BASELINE, ...rules });
}

const values = (...list: string[]): Match => ({ kind: 'values', values: list });
const wildcard = (...patterns: string[]): Match => ({ kind: 'wildcard', patterns });

describe('a key', () => {
  it.each<[string, string, string, Match | undefined]>([
    ['QR-08: a single value', 'PatientID', 'PID1', values('PID1')],
    ['insignificant spaces and NULs go', 'PatientID', '  PID1 \0', values('PID1')],
    ['of UI as well', 'StudyInstanceUID', '1.2.3\0', values('1.2.3')],
    ['inner spaces stay', 'StudyDescription', 'CHEST  CT', values('CHEST  CT')],
    ['a name is left to the catalog to fold', 'PatientName', 'Doe^Jane', values('Doe^Jane')],
    ['QR-09: a list of UIDs', 'StudyInstanceUID', '1.2\\1.3', values('1.2', '1.3')],
    ['several values of other VRs: any of them', 'AccessionNumber', 'A1\\A2', values('A1', 'A2')],
    ['empty ones among them say nothing', 'AccessionNumber', 'A1\\', values('A1')],
    ['QR-10: no value is universal', 'PatientID', '', undefined],
    ['spaces are no value', 'PatientID', '   ', undefined],
    ['QR-11: a star alone is universal', 'PatientID', '*', undefined],
    ['so are several', 'PatientName', '**', undefined],
    ['and names without a component', 'PatientName', '*^ ^=*', undefined],
    ['one among alternatives too', 'PatientID', 'PID1\\*', undefined],
    ['of a date as well', 'StudyDate', '*', undefined],
    ['wildcards', 'PatientName', 'DOE^J*', wildcard('DOE^J*')],
    ['a question mark', 'PatientID', 'PID?', wildcard('PID?')],
    ['what means something elsewhere is literal', 'PatientID', '%_[a-z]', values('%_[a-z]')],
    ['a list with a pattern', 'PatientID', 'A1\\B*', wildcard('A1', 'B*')],
    ['QR-12: a date', 'StudyDate', '20240101', values('20240101')],
    ['an old date', 'StudyDate', '2024.01.01', values('20240101')],
    ['a date range', 'StudyDate', '20240101-20240105', { kind: 'range', from: '20240101', to: '20240105' }],
    ['an open one', 'StudyDate', '20240110-', { kind: 'range', from: '20240110' }],
    [
      'a backwards one',
      'StudyDate',
      '20240105-20240101',
      { kind: 'range', from: '20240105', to: '20240101' },
    ],
    ['a list of dates', 'StudyDate', '20240101\\20240105', values('20240101', '20240105')],
    [
      'a time covers its precision',
      'StudyTime',
      '10',
      { kind: 'range', from: '100000.000000', to: '105959.999999' },
    ],
    ['a time range', 'StudyTime', '1000-', { kind: 'range', from: '100000.000000' }],
    ['a number, however it is written', 'SeriesNumber', '+007', values('7')],
    ['a list of numbers', 'InstanceNumber', '1\\ 2', values('1', '2')],
    ['a binary number', 'Rows', '\x00\x02', values('512')],
    ['two quotation marks are literal', 'PatientID', '""', values('""')],
  ])('%s', (_what, keyword, key, expected) => {
    expect(match(keyword, key)).toEqual(expected);
  });

  it.each<[string, string, string, Partial<KeyRules>, Match | undefined]>([
    ['QR-16: empty value', 'AccessionNumber', '""', { emptyValue: true }, { kind: 'empty' }],
    ['of a date', 'StudyDate', '""', { emptyValue: true }, { kind: 'empty' }],
    ['of a number', 'SeriesNumber', '""', { emptyValue: true }, { kind: 'empty' }],
    [
      'multiple values',
      'OtherPatientIDs',
      'A\\B',
      { multipleValues: true },
      { kind: 'every', values: ['A', 'B'] },
    ],
    ['a single one is as ever', 'OtherPatientIDs', 'A', { multipleValues: true }, values('A')],
    [
      'a list of UIDs stays one',
      'StudyInstanceUID',
      '1.2\\1.3',
      { multipleValues: true },
      values('1.2', '1.3'),
    ],
    [
      'multiple numbers',
      'SeriesNumber',
      '01\\2',
      { multipleValues: true },
      { kind: 'every', values: ['1', '2'] },
    ],
    ['QR-17: a fuzzy name', 'PatientName', 'Meyer', { fuzzyNames: true }, { kind: 'fuzzy', name: 'Meyer' }],
    ['not with wildcards', 'PatientName', 'Mey*', { fuzzyNames: true }, wildcard('Mey*')],
    ['nor what isn’t a name', 'PatientID', 'Meyer', { fuzzyNames: true }, values('Meyer')],
  ])('where it was agreed on: %s', (_what, keyword, key, rules, expected) => {
    expect(match(keyword, key, rules)).toEqual(expected);
  });

  it.each<[string, string, Partial<KeyRules>]>([
    ['StudyDate', '20241399', {}],
    ['StudyDate', '2024*', {}],
    ['StudyDate', '""', {}],
    ['StudyDate', '20240101-20240102\\20240105', {}],
    ['StudyTime', '9999', {}],
    ['StudyTime', '10??', {}],
    ['StudyTime', '10\\11', {}],
    ['StudyInstanceUID', '1.2.*', {}],
    ['StudyInstanceUID', '1.2\\1.?', {}],
    ['SeriesNumber', '1*', {}],
    ['SeriesNumber', 'one', {}],
    ['PatientID', 'x'.repeat(1025), {}],
    ['OtherPatientIDs', 'A\\B*', { multipleValues: true }],
  ])('%s = %.20s is refused with A900 and its element', (keyword, key, rules) => {
    const { status, at, comment } = refusal(() => match(keyword, key, rules));
    expect([status, at]).toEqual([0xa900, [keyword]]);
    expect(comment.length).toBeLessThanOrEqual(64);
  });

  it('that is refused is not quoted', () => {
    for (const [keyword, key] of [
      ['StudyDate', 'SECRET'],
      ['SeriesNumber', 'SECRET'],
      ['StudyInstanceUID', 'SECRET*'],
      ['StudyTime', 'SECRET-'],
    ] as const)
      expect(refusal(() => match(keyword, key)).comment).not.toContain('SECRET');
  });

  it('CS-08: matches any character for one that could not be decoded', () => {
    const tag = tagOf('PatientName')!;
    const unknown = parseCharacterSet(['ISO_IR 999']);
    const read = (bytes: Buffer): string[] => keyValues({ tag, vr: 'PN', value: bytes }, 'PN', unknown);
    expect(matchOf(tag, 'PN', read(Buffer.from('M\xfcller', 'latin1')), BASELINE)).toEqual(
      wildcard('M?ller'),
    );
  });

  it('is read by its attribute where the VR in the data set is wrong', () => {
    const read = (keyword: string, vr: string, value: Buffer | string): string[] =>
      keyValues({ tag: tagOf(keyword)!, vr, value: Buffer.from(value) }, vrOf(tagOf(keyword)!), SET);
    expect(read('PatientID', 'SH', 'PID1 ')).toEqual(['PID1']);
    expect(read('PatientID', 'UN', 'PID1')).toEqual(['PID1']);
    expect(read('StudyDate', 'LO', '20240101')).toEqual(['20240101']);
    expect(read('Rows', 'IS', '512 ')).toEqual(['512']);
    expect(read('Rows', 'UN', Buffer.from([0, 2]))).toEqual(['512']);
    expect(read('SeriesNumber', 'US', Buffer.from([7, 0]))).toEqual(['7']);
    expect(read('StudyDescription', 'OB', '')).toEqual(['']);
  });

  it('of any bytes and VR is read or refused, never worse', () => {
    const keywords = ['PatientName', 'StudyDate', 'StudyTime', 'SeriesNumber', 'Rows', 'StudyInstanceUID'];
    fc.assert(
      fc.property(
        fc.constantFrom(...keywords),
        fc.constantFrom('UN', 'OB', 'LO', 'US', 'FD', 'DA', 'UI', 'AT', 'UT', 'XX'),
        fc.uint8Array({ maxLength: 40 }),
        (keyword, vr, bytes) => {
          const tag = tagOf(keyword)!;
          const known = vrOf(tag);
          try {
            matchOf(tag, known, keyValues({ tag, vr, value: Buffer.from(bytes) }, known, SET), BASELINE);
          } catch (error) {
            expect(error).toMatchObject({ code: 'DIMSE', status: 0xa900 });
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
