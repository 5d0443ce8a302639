import { inflateRawSync } from 'node:zlib';
import type { QueryRow } from '../../src/catalog/query-types';
import { ResponseEncoder, type ResponseOptions } from '../../src/services/query-response';
import { encode, TS } from '../support/data-sets';
import { elementsOf, plan, read, type Keys, type Terms } from './query-kit';

const STUDY = { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '' };

interface Asked extends Terms {
  readonly keys?: Keys;
  readonly options?: Partial<ResponseOptions>;
}

function encoder({ keys = {}, options, ...terms }: Asked = {}): ResponseEncoder {
  return new ResponseEncoder(plan({ ...STUDY, ...keys }, terms), {
    transferSyntax: TS.explicit,
    aeTitle: 'NODE',
    ...options,
  });
}

function answer(row: QueryRow, asked: Asked = {}): Record<string, unknown> {
  return read(encoder(asked).encode(row), asked.options?.transferSyntax);
}

const CONSTANT = { QueryRetrieveLevel: 'STUDY', RetrieveAETitle: 'NODE', InstanceAvailability: 'ONLINE' };

describe('an answer (QR-05)', () => {
  it('is byte for byte what the standard says, in the order of the tags', () => {
    const keys = { PatientID: '', NumberOfStudyRelatedInstances: '', StudyDate: '' };
    const row = {
      StudyInstanceUID: '1.2.3',
      PatientID: 'PID',
      NumberOfStudyRelatedInstances: 4,
      StudyDate: null,
    };
    const expected = elementsOf({
      StudyDate: '',
      ...CONSTANT,
      PatientID: 'PID',
      StudyInstanceUID: '1.2.3',
      NumberOfStudyRelatedInstances: '4',
    });
    for (const [syntax, encoding] of [
      [TS.explicit, 'explicit'],
      [TS.implicit, 'implicit'],
      [TS.big, 'big'],
    ] as const) {
      const bytes = encoder({ keys, options: { transferSyntax: syntax } }).encode(row);
      expect(bytes).toEqual(encode(expected, encoding));
    }
    const deflated = encoder({ keys, options: { transferSyntax: TS.deflated } }).encode(row);
    expect(deflated.length % 2).toBe(0);
    expect(inflateRawSync(deflated)).toEqual(encode(expected));
  });

  it('has an empty value for what is absent, and nothing that was not asked for', () => {
    expect(
      answer({ StudyInstanceUID: '1', StudyTime: null, extra: 'x' }, { keys: { StudyTime: '' } }),
    ).toEqual({
      ...CONSTANT,
      StudyInstanceUID: '1',
      StudyTime: '',
    });
  });

  it('writes numbers by their VR', () => {
    const keys = {
      QueryRetrieveLevel: 'IMAGE',
      StudyInstanceUID: '1',
      SeriesInstanceUID: '2',
      Rows: '',
      Columns: '',
      InstanceNumber: '',
    };
    const row = { Rows: 512, Columns: 70000, InstanceNumber: '007' };
    expect(answer(row, { keys })).toMatchObject({
      Rows: Buffer.from([0, 2]),
      // US can't hold it.
      Columns: Buffer.alloc(0),
      InstanceNumber: '007',
    });
    const bytes = encoder({ keys, options: { transferSyntax: TS.big } }).encode(row);
    expect(bytes.includes(encode([{ tag: 0x00280010, vr: 'US', value: [512] }], 'big'))).toBe(true);
  });

  it('keeps several values', () => {
    expect(answer({ ModalitiesInStudy: 'CT\\SR' }, { keys: { ModalitiesInStudy: '' } })).toMatchObject({
      ModalitiesInStudy: 'CT\\SR',
    });
  });

  it('is right each time, whatever came before it', () => {
    const one = encoder({ keys: { PatientName: '', SpecificCharacterSet: 'ISO_IR 100' } });
    const rows = [
      { PatientName: 'Müller' },
      { PatientName: 'DOE' },
      { PatientName: null },
      { PatientName: '山田' },
    ];
    const names = [...rows, ...rows].map((row) => {
      const { PatientName, SpecificCharacterSet } = read(one.encode(row));
      return [PatientName, SpecificCharacterSet];
    });
    const expected = [
      ['Müller', 'ISO_IR 100'],
      ['DOE', undefined],
      ['', undefined],
      [Buffer.from('山田').toString('latin1'), 'ISO_IR 192'],
    ];
    expect(names).toEqual([...expected, ...expected]);
  });

  it('takes a value that is too long for its length field', () => {
    const keys = { StudyDescription: '' };
    const bytes = encoder({ keys }).encode({ StudyDescription: 'x'.repeat(70_000) });
    expect((read(bytes)['(0008,1030)'] ?? read(bytes)['StudyDescription']) as Buffer).toHaveLength(70_000);
  });

  it('names the zone that it was adjusted to', () => {
    const asked = { keys: { StudyDate: '', TimezoneOffsetFromUTC: '-0500' }, agreed: { timezone: true } };
    expect(answer({ StudyDate: '20240101' }, asked)).toEqual({
      ...CONSTANT,
      StudyDate: '20240101',
      StudyInstanceUID: '',
      TimezoneOffsetFromUTC: '-0500',
    });
  });
});

describe('the character set of an answer (QR-21)', () => {
  const utf8 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

  it.each<[string, string | undefined, string, string | undefined, string]>([
    ['of the request, where it holds every value', 'ISO_IR 100', 'Müller', 'ISO_IR 100', 'M\xfcller'],
    ['is not stated where nothing needs it', 'ISO_IR 100', 'Muller', undefined, 'Muller'],
    ['UTF-8 where it does not', 'ISO_IR 100', 'Wang=王', 'ISO_IR 192', utf8('Wang=王')],
    ['UTF-8 where none was named', undefined, 'Müller', 'ISO_IR 192', utf8('Müller')],
    ['UTF-8 where the request’s is unknown', 'ISO_IR 999', 'Müller', 'ISO_IR 192', utf8('Müller')],
    ['UTF-8 as asked', 'ISO_IR 192', 'Müller', 'ISO_IR 192', utf8('Müller')],
    ['with its usual misspelling mended', 'UTF-8', 'Müller', 'ISO_IR 192', utf8('Müller')],
    ['another misspelling', 'ISO IR 100', 'Müller', 'ISO_IR 100', 'M\xfcller'],
    ['with escapes', '\\ISO 2022 IR 87', 'Yamada=山田', '\\ISO 2022 IR 87', 'Yamada=\x1b$B;3ED\x1b(B'],
    ['GB18030', 'GB18030', '王', 'GB18030', '\xcd\xf5'],
    ['undecodable bytes', 'ISO_IR 100', 'M\uFFFDller', 'ISO_IR 192', utf8('M\uFFFDller')],
    ['half a character', 'ISO_IR 100', 'M\uD800', 'ISO_IR 192', utf8('M\uFFFD')],
    ['an escape in a value', 'ISO_IR 100', 'M\x1b', 'ISO_IR 192', utf8('M\x1b')],
  ])('%s', (_what, asked, name, stated, written) => {
    const keys = { PatientName: '', ...(asked === undefined ? {} : { SpecificCharacterSet: asked }) };
    const { SpecificCharacterSet, PatientName } = answer({ PatientName: name }, { keys });
    expect([SpecificCharacterSet, PatientName]).toEqual([stated, written]);
  });

  it('is one for all of its values', () => {
    const keys = { PatientName: '', StudyDescription: '', SpecificCharacterSet: 'ISO_IR 100' };
    expect(answer({ PatientName: 'Müller', StudyDescription: '王' }, { keys })).toMatchObject({
      SpecificCharacterSet: 'ISO_IR 192',
      PatientName: utf8('Müller'),
      StudyDescription: utf8('王'),
    });
  });

  it('is that of the remote before that of the request, and UTF-8 where it does not do', () => {
    const asked = {
      keys: { PatientName: '', SpecificCharacterSet: 'ISO_IR 192' },
      options: { charset: 'ISO_IR 100' },
    };
    expect(answer({ PatientName: 'Müller' }, asked)).toMatchObject({
      SpecificCharacterSet: 'ISO_IR 100',
      PatientName: 'M\xfcller',
    });
    expect(answer({ PatientName: '王' }, asked)).toMatchObject({ SpecificCharacterSet: 'ISO_IR 192' });
  });

  it('does not reach what is of the default repertoire', () => {
    expect(
      answer(
        { ModalitiesInStudy: 'C\uFFFD' },
        { keys: { ModalitiesInStudy: '', SpecificCharacterSet: 'ISO_IR 100' } },
      ),
    ).toMatchObject({ ModalitiesInStudy: 'C?' });
  });
});

describe('a sequence in an answer', () => {
  const stored = JSON.stringify([
    { '00400009': { vr: 'SH', Value: ['SPS1'] }, '00400007': { vr: 'LO', Value: ['Schädel'] } },
    { '00400009': { vr: 'SH', Value: ['SPS2'] }, '00400007': { vr: 'LO', Value: ['Thorax'] } },
  ]);
  const series = (item: Keys, more: Keys = {}): Asked => ({
    keys: {
      QueryRetrieveLevel: 'SERIES',
      StudyInstanceUID: '1',
      RequestAttributesSequence: [item],
      ...more,
    },
  });

  it('holds the items that match, text in the set that is stated', () => {
    const asked = series(
      { ScheduledProcedureStepID: 'SPS1', ScheduledProcedureStepDescription: '' },
      { SpecificCharacterSet: 'ISO_IR 100' },
    );
    expect(answer({ RequestAttributesSequence: stored }, asked)).toMatchObject({
      SpecificCharacterSet: 'ISO_IR 100',
      RequestAttributesSequence: [
        { ScheduledProcedureStepDescription: 'Sch\xe4del', ScheduledProcedureStepID: 'SPS1' },
      ],
    });
  });

  it('is empty where the entity has none', () => {
    expect(answer({ RequestAttributesSequence: null }, series({}))).toMatchObject({
      RequestAttributesSequence: [],
    });
  });

  it('holds values of every kind', () => {
    const item = {
      '00080016': { vr: 'UI', Value: ['1.2.3'] },
      '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Wang', Ideographic: '王' }] },
      '00280010': { vr: 'US', Value: [512] },
      '00280009': { vr: 'AT', Value: ['00181063'] },
      '00200013': { vr: 'IS', Value: [7] },
      '00091001': { vr: 'UN', InlineBinary: Buffer.from('ab').toString('base64') },
      '00081030': { vr: 'LO' },
    };
    const asked = series({});
    expect(answer({ RequestAttributesSequence: JSON.stringify([item]) }, asked)).toMatchObject({
      RequestAttributesSequence: [
        {
          SOPClassUID: '1.2.3',
          PatientName: Buffer.from('Wang=王').toString('latin1'),
          Rows: Buffer.from([0, 2]),
          FrameIncrementPointer: '\x18\0\x63\x10',
          InstanceNumber: '7',
          '(0009,1001)': Buffer.from('ab'),
          StudyDescription: '',
        },
      ],
    });
  });
});
