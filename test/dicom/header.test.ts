import { deflateRawSync } from 'node:zlib';
import { attributesOf } from '../../src/dicom/attributes';
import { HeaderReader, type HeaderReaderOptions } from '../../src/dicom/header';
import type { InstanceHeader } from '../../src/dicom/types';
import { UID } from '../../src/dicom/uids';
import { encode, header, type Element, type Encoding } from '../support/data-sets';
import { deflateBomb, nested } from '../support/hostile-data-sets';
import { SYNTAXES } from './trees';

const e = (tag: number, vr: string, value: Element['value']): Element => ({ tag, vr, value });

const IDENTITY: Element[] = [
  e(0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.2'),
  e(0x00080018, 'UI', '1.2.3.4.5'),
  e(0x0020000d, 'UI', '1.2.3'),
  e(0x0020000e, 'UI', '1.2.3.4'),
];

function ordered(...elements: Element[]): Element[] {
  return [...IDENTITY, ...elements].sort((a, b) => a.tag - b.tag);
}

async function read(
  bytes: Buffer,
  options: Partial<HeaderReaderOptions> = {},
  size = bytes.length,
): Promise<InstanceHeader> {
  const reader = new HeaderReader({ transferSyntaxUID: UID.ExplicitVRLittleEndian, ...options });
  for (let at = 0; at < bytes.length; at += size) await reader.push(bytes.subarray(at, at + size));
  return reader.finish();
}

async function valuesOf(
  elements: Element[],
  options: Partial<HeaderReaderOptions> = {},
): Promise<InstanceHeader['values']> {
  return (await read(encode(ordered(...elements)), options)).values;
}

const FULL: Element[] = ordered(
  e(0x00080005, 'CS', 'ISO_IR 100'),
  e(0x00080008, 'CS', 'ORIGINAL\\PRIMARY '),
  e(0x00080020, 'DA', '20240101'),
  e(0x00080060, 'CS', 'CT'),
  e(0x00080201, 'SH', '+0100'),
  e(0x00081030, 'LO', ' CHEST CT '),
  e(0x00100010, 'PN', 'Müller^Jörg '),
  e(0x00100020, 'LO', 'PID1'),
  e(0x00200013, 'IS', ' 7'),
  e(0x00280010, 'US', [512]),
  e(0x00280011, 'US', [256]),
  e(0x00400275, 'SQ', {
    items: [[e(0x00321060, 'LO', 'Schädel'), e(0x00400009, 'SH', 'SPS1')]],
    undefinedLength: true,
  }),
  e(0x7fe00010, 'OW', Buffer.alloc(64)),
);

const FULL_VALUES = {
  SOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
  SOPInstanceUID: '1.2.3.4.5',
  StudyInstanceUID: '1.2.3',
  SeriesInstanceUID: '1.2.3.4',
  ImageType: 'ORIGINAL\\PRIMARY',
  StudyDate: '20240101',
  Modality: 'CT',
  TimezoneOffsetFromUTC: '+0100',
  StudyDescription: 'CHEST CT',
  PatientName: 'Müller^Jörg',
  PatientID: 'PID1',
  InstanceNumber: '7',
  Rows: 512,
  Columns: 256,
  RequestAttributesSequence: JSON.stringify([
    { '00321060': { vr: 'LO', Value: ['Schädel'] }, '00400009': { vr: 'SH', Value: ['SPS1'] } },
  ]),
};

function refusal(reason: string): Record<string, string> {
  return { code: 'DICOM_PARSE', reason };
}

describe('HeaderReader', () => {
  it.each<Encoding>(['explicit', 'implicit', 'big'])(
    'reads %s, cut in two at every byte',
    async (encoding) => {
      const bytes = encode(FULL, encoding);
      const options = { transferSyntaxUID: SYNTAXES[encoding] };
      const whole = await read(bytes, options);
      expect(whole).toEqual({
        SOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
        SOPInstanceUID: '1.2.3.4.5',
        StudyInstanceUID: '1.2.3',
        SeriesInstanceUID: '1.2.3.4',
        values: FULL_VALUES,
      });
      for (let cut = 1; cut < bytes.length; cut++) {
        const reader = new HeaderReader(options);
        await reader.push(bytes.subarray(0, cut));
        await reader.push(bytes.subarray(cut));
        expect(await reader.finish()).toEqual(whole);
      }
      expect(await read(bytes, options, 1)).toEqual(whole);
    },
  );

  it('never takes a data set that is cut', async () => {
    const bytes = encode(FULL);
    const ends = new Set(FULL.map((_, index) => encode(FULL.slice(0, index)).length));
    for (let cut = 0; cut < bytes.length; cut++) {
      const between = ends.has(cut);
      const expected = expect(read(bytes.subarray(0, cut)));
      // Between elements only what is missing can tell.
      if (!between) await expected.rejects.toMatchObject(refusal('truncated'));
      else if (cut < encode(FULL.filter(({ tag }) => tag <= 0x0020000e)).length)
        await expected.rejects.toMatchObject(refusal('missing-uid'));
    }
  });

  it('is synchronous where nothing has to be inflated', () => {
    const reader = new HeaderReader({ transferSyntaxUID: UID.ExplicitVRLittleEndian });
    expect(reader.push(encode(FULL))).toBeUndefined();
  });

  it('reads an unknown transfer syntax as Explicit VR Little Endian', async () => {
    expect((await read(encode(FULL), { transferSyntaxUID: '1.2.3.4.5.6' })).values).toEqual(FULL_VALUES);
  });

  it('does not keep the pieces that it was given', async () => {
    const bytes = encode(FULL);
    const reader = new HeaderReader({ transferSyntaxUID: UID.ExplicitVRLittleEndian });
    void reader.push(bytes);
    bytes.fill(0);
    expect((await reader.finish()).values).toEqual(FULL_VALUES);
  });

  describe('identity', () => {
    it.each([
      ['no SOP class', 0x00080016, 'no SOPClassUID'],
      ['no SOP instance', 0x00080018, 'no SOPInstanceUID'],
      ['no study', 0x0020000d, 'no StudyInstanceUID'],
      ['no series', 0x0020000e, 'no SeriesInstanceUID'],
    ])('is refused with %s', async (_what, tag, message) => {
      const without = IDENTITY.filter((element) => element.tag !== tag);
      await expect(read(encode(without))).rejects.toMatchObject({ ...refusal('missing-uid'), message });
      const empty = IDENTITY.map((element) => (element.tag === tag ? e(tag, 'UI', '') : element));
      await expect(read(encode(empty))).rejects.toMatchObject(refusal('missing-uid'));
    });

    it.each(['1.2\\1.3', '../../etc', '1.2*', '1'.repeat(66), '1.2\n3', '1.2\u00e9'])(
      'is refused with the UID %j',
      async (uid) => {
        const odd = IDENTITY.map((element) =>
          element.tag === 0x00080018 ? e(0x00080018, 'UI', uid) : element,
        );
        await expect(read(encode(odd))).rejects.toMatchObject({ message: 'unusable SOPInstanceUID' });
      },
    );

    it.each(['1.02.3', 'ABC-1', 'x'.repeat(64)])('is kept as it is with the UID %j', async (uid) => {
      const odd = IDENTITY.map((element) =>
        element.tag === 0x00080018 ? e(0x00080018, 'UI', uid) : element,
      );
      expect((await read(encode(odd))).SOPInstanceUID).toBe(uid);
    });

    it('loses its padding: NUL, or spaces', async () => {
      const padded = IDENTITY.map(({ tag, value }) => e(tag, 'UI', Buffer.from(`${value as string} \0`)));
      expect(await read(encode(padded))).toMatchObject({
        SOPInstanceUID: '1.2.3.4.5',
        StudyInstanceUID: '1.2.3',
      });
    });

    it('is that of the first element where one comes twice', async () => {
      const twice = [...FULL, e(0x00080018, 'UI', '9.9'), e(0x00100020, 'LO', 'OTHER')];
      const result = await read(encode(twice));
      expect(result.SOPInstanceUID).toBe('1.2.3.4.5');
      expect(result.values['PatientID']).toBe('PID1');
    });

    it('is not taken from inside sequences', async () => {
      const inside = e(0x00081140, 'SQ', {
        items: [[e(0x00080018, 'UI', '9.9'), e(0x00100020, 'LO', 'OTHER')]],
      });
      const values = await valuesOf([inside]);
      expect(values['SOPInstanceUID']).toBe('1.2.3.4.5');
      expect(values['PatientID']).toBeUndefined();
    });
  });

  describe('values', () => {
    it('are trimmed by VR, joined, and left out where empty', async () => {
      expect(
        await valuesOf([
          e(0x00080050, 'SH', '  A1\\ B2 '),
          e(0x00081010, 'SH', '   '),
          e(0x00080090, 'PN', ' Ref^ '),
          e(0x00100021, 'LO', ''),
          e(0x00101000, 'LO', '\\'),
          e(0x00100040, 'CS', 'M\0'),
        ]),
      ).toMatchObject({ AccessionNumber: 'A1\\B2', ReferringPhysicianName: ' Ref^', PatientSex: 'M' });
      const values = await valuesOf([e(0x00081010, 'SH', '   '), e(0x00101000, 'LO', '\\')]);
      expect(values).not.toHaveProperty('StationName');
      expect(values).not.toHaveProperty('OtherPatientIDs');
    });

    it('count in spite of a wrong VR', async () => {
      expect(
        await valuesOf([
          e(0x00100010, 'UN', 'DOE^JOHN'),
          e(0x00100020, 'OB', 'PID1'),
          e(0x00280010, 'IS', '512 '),
          e(0x00280011, 'UN', Buffer.from([0, 1])),
          e(0x00200013, 'US', [7]),
          e(0x00280008, 'UL', [3]),
        ]),
      ).toMatchObject({
        PatientName: 'DOE^JOHN',
        PatientID: 'PID1',
        Rows: 512,
        Columns: 256,
        InstanceNumber: '7',
        NumberOfFrames: '3',
      });
    });

    it('are left out where they make no sense: a sequence for a text, a text for a sequence, half a number', async () => {
      const values = await valuesOf([
        e(0x00100010, 'SQ', { items: [[e(0x00100010, 'PN', 'DOE')]] }),
        e(0x00400275, 'LO', 'TEXT'),
        e(0x00280010, 'US', Buffer.from([1])),
        e(0x00280011, 'IS', 'many'),
      ]);
      expect(Object.keys(values).sort()).toEqual([
        'SOPClassUID',
        'SOPInstanceUID',
        'SeriesInstanceUID',
        'StudyInstanceUID',
      ]);
    });

    it('are not kept above a megabyte', async () => {
      const values = await valuesOf([
        e(0x00100010, 'UN', 'X'.repeat(1_048_578)),
        e(0x00100020, 'LO', 'PID1'),
      ]);
      expect(values).not.toHaveProperty('PatientName');
      expect(values['PatientID']).toBe('PID1');
    });
  });

  describe('character sets', () => {
    const utf8 = Buffer.from('王^小东 ');

    it('come from the data set, else from the caller, else ISO_IR 6', async () => {
      const name = e(0x00100010, 'PN', utf8);
      expect((await valuesOf([e(0x00080005, 'CS', 'ISO_IR 192'), name]))['PatientName']).toBe('王^小东');
      expect((await valuesOf([name], { defaultCharacterSet: 'ISO_IR 192' }))['PatientName']).toBe('王^小东');
      expect(
        (await valuesOf([e(0x00080005, 'CS', ''), name], { defaultCharacterSet: 'ISO_IR 192' }))[
          'PatientName'
        ],
      ).toBe('王^小东');
      const own = [e(0x00080005, 'CS', 'ISO_IR 100'), e(0x00100010, 'PN', 'Müller')];
      expect((await valuesOf(own, { defaultCharacterSet: 'ISO_IR 192' }))['PatientName']).toBe('Müller');
      expect((await valuesOf([e(0x00100010, 'PN', 'Müller')]))['PatientName']).toBe('M\uFFFDller');
    });

    it('hold for items, until an item brings its own', async () => {
      const sequence = e(0x00400275, 'SQ', {
        items: [
          [e(0x00321060, 'LO', 'Schädel ')],
          [e(0x00080005, 'CS', 'ISO_IR 192'), e(0x00321060, 'LO', Buffer.from('头部'))],
        ],
      });
      const values = await valuesOf([e(0x00080005, 'CS', 'ISO_IR 100'), sequence]);
      expect(JSON.parse(String(values['RequestAttributesSequence']))).toEqual([
        { '00321060': { vr: 'LO', Value: ['Schädel'] } },
        { '00321060': { vr: 'LO', Value: ['头部'] } },
      ]);
    });

    it('do not fail on an unknown term or broken bytes', async () => {
      const values = await valuesOf([
        e(0x00080005, 'CS', 'ISO_IR 999'),
        e(0x00100010, 'PN', Buffer.from([0x41, 0xff])),
        e(0x00100020, 'LO', 'PID1'),
      ]);
      expect(values).toMatchObject({ PatientName: 'A\uFFFD', PatientID: 'PID1' });
    });
  });

  describe('sequences', () => {
    it('are kept in the DICOM JSON model', async () => {
      const sequence = e(0x0040a043, 'SQ', {
        items: [
          [
            e(0x00080100, 'SH', 'C1'),
            e(0x00080104, 'LO', 'One\\ '),
            e(0x00100010, 'PN', 'A^B=山=や'),
            e(0x00281052, 'DS', '1.5 '),
            e(0x00280010, 'US', [3, 4]),
            e(0x00280009, 'AT', [0x18, 0x1063]),
            e(0x00091001, 'UN', 'AB'),
            e(0x0040a730, 'SQ', { items: [] }),
          ],
        ],
      });
      const values = await valuesOf([sequence]);
      expect(JSON.parse(String(values['ConceptNameCodeSequence']))).toEqual([
        {
          '00080100': { vr: 'SH', Value: ['C1'] },
          '00080104': { vr: 'LO', Value: ['One', null] },
          '00100010': {
            vr: 'PN',
            Value: [{ Alphabetic: 'A^B', Ideographic: expect.any(String), Phonetic: expect.any(String) }],
          },
          '00281052': { vr: 'DS', Value: [1.5] },
          '00280010': { vr: 'US', Value: [3, 4] },
          '00280009': { vr: 'AT', Value: ['00181063'] },
          '00091001': { vr: 'UN', InlineBinary: Buffer.from('AB').toString('base64') },
          '0040A730': { vr: 'SQ' },
        },
      ]);
    });

    it('are left out above 64 KiB, and nothing else with them', async () => {
      const large = e(0x00400275, 'SQ', {
        items: Array.from({ length: 1000 }, () => [e(0x00321060, 'LO', 'X'.repeat(64))]),
      });
      const values = await valuesOf([large, e(0x00100020, 'LO', 'PID1')]);
      expect(values).not.toHaveProperty('RequestAttributesSequence');
      expect(values['PatientID']).toBe('PID1');
    });

    it('are read from UN (CP-246), and opaque UN is left alone', async () => {
      const items = encode([e(0x00400009, 'SH', 'SPS1')], 'implicit');
      const content = Buffer.concat([header(0xfffee000, '', items.length, 'implicit'), items]);
      const values = await valuesOf([e(0x00400275, 'UN', content), e(0x00081140, 'UN', 'no item here')]);
      expect(JSON.parse(String(values['RequestAttributesSequence']))).toEqual([
        { '00400009': { vr: 'SH', Value: ['SPS1'] } },
      ]);
    });
  });

  describe('deflated data sets', () => {
    const deflated = { transferSyntaxUID: UID.DeflatedExplicitVRLittleEndian };

    it('are inflated as they come', async () => {
      const bytes = deflateRawSync(encode(FULL));
      for (const size of [1, 13, bytes.length])
        expect((await read(bytes, deflated, size)).values).toEqual(FULL_VALUES);
      const padded = Buffer.concat([bytes, Buffer.of(0)]);
      for (const size of [bytes.length, padded.length])
        expect((await read(padded, deflated, size)).values).toEqual(FULL_VALUES);
    });

    it('are refused cut at any byte, and when they are none', async () => {
      const bytes = deflateRawSync(encode(FULL));
      for (let cut = 0; cut < bytes.length; cut += 3)
        await expect(read(bytes.subarray(0, cut), deflated)).rejects.toMatchObject(refusal('truncated'));
      await expect(read(encode(FULL), deflated, 50)).rejects.toMatchObject({ code: 'DICOM_PARSE' });
      await expect(read(Buffer.alloc(100, 0xff), deflated)).rejects.toMatchObject(refusal('inflate'));
    });

    it('are refused when they grow 200-fold', async () => {
      const bomb = deflateBomb(300 * 1024 * 1024).dataSet;
      const reader = new HeaderReader(deflated);
      let taken = 0;
      const push = async (): Promise<void> => {
        for (let at = 0; at < bomb.length; at += 4096) {
          await reader.push(bomb.subarray(at, at + 4096));
          taken = at;
        }
      };
      await expect(push()).rejects.toMatchObject(refusal('inflate'));
      expect(taken).toBeLessThan(20_000);
    });

    it('may be small and all zeros', async () => {
      const zeros = encode([...FULL.slice(0, -1), e(0x7fe00010, 'OW', Buffer.alloc(900_000))]);
      expect((await read(deflateRawSync(zeros), deflated)).values).toEqual(FULL_VALUES);
    });

    it('stay refused once they were', async () => {
      const reader = new HeaderReader(deflated);
      const bad = Buffer.alloc(1000, 0xff);
      await expect(reader.push(bad)).rejects.toMatchObject(refusal('inflate'));
      await expect(reader.push(bad)).rejects.toMatchObject(refusal('inflate'));
      await expect(reader.finish()).rejects.toMatchObject(refusal('inflate'));
    });
  });

  it.each([true, false])(
    'refuses 65 and 10,000 nested sequences (undefined lengths: %s)',
    async (undefinedLength) => {
      for (const depth of [65, 10_000])
        await expect(read(nested(depth, undefinedLength).dataSet)).rejects.toMatchObject(refusal('nesting'));
      expect(await read(nested(64, undefinedLength).dataSet)).toHaveProperty('SOPInstanceUID');
    },
  );

  it('reads 20,000 elements within half a second', async () => {
    const many = encode([
      ...FULL.slice(0, -1),
      ...Array.from({ length: 20_000 }, (_, index) => e(0x50000000 + index, 'LO', 'AB')),
    ]);
    const started = process.hrtime.bigint();
    await read(many, {}, many.length);
    const milliseconds = Number(process.hrtime.bigint() - started) / 1e6;
    expect(milliseconds).toBeLessThan(500);
  });
});

describe('attributes that were added', () => {
  const attributes = attributesOf([
    { keyword: 'StudyComments', level: 'study' },
    { keyword: 'DiffusionBValue', level: 'instance' },
    { keyword: 'ViewCodeSequence', level: 'instance' },
    { keyword: 'PatientOrientation', level: 'instance' },
  ]);
  const number = Buffer.alloc(8);
  number.writeDoubleLE(1000.5);

  it('are read like the others; several numbers in binary are left out rather than cut', async () => {
    const elements = [
      e(0x00189087, 'FD', number),
      e(0x00200020, 'CS', 'L\\P'),
      e(0x00324000, 'LT', 'two\\lines '),
      e(0x00540220, 'SQ', { items: [[e(0x00080100, 'SH', 'R-10202')]] }),
    ];
    expect(await valuesOf(elements, { attributes })).toMatchObject({
      DiffusionBValue: 1000.5,
      PatientOrientation: 'L\\P',
      StudyComments: 'two\\lines',
      ViewCodeSequence: '[{"00080100":{"vr":"SH","Value":["R-10202"]}}]',
    });
    expect(await valuesOf(elements)).not.toHaveProperty('StudyComments');
    const several = [e(0x00189087, 'FD', Buffer.concat([number, number]))];
    expect(await valuesOf(several, { attributes })).not.toHaveProperty('DiffusionBValue');
  });

  it('are bounded together: sequences count', async () => {
    const sequences = [
      'ViewCodeSequence',
      'ConceptCodeSequence',
      'ProcedureCodeSequence',
      'AnatomicRegionSequence',
    ];
    const many = attributesOf(sequences.map((keyword) => ({ keyword, level: 'instance' as const })));
    const big = (tag: number): Element =>
      e(tag, 'SQ', { items: [[e(0x00324000, 'LT', 'x'.repeat(40_000))]] });
    const fill = e(0x00081030, 'UT', Buffer.alloc(950_000, 'y'));
    const elements = [big(0x00081032), big(0x00082218), big(0x0040a168), big(0x00540220)];
    const kept = (values: InstanceHeader['values']): string[] => sequences.filter((name) => name in values);
    expect(kept(await valuesOf(elements, { attributes: many }))).toHaveLength(4);
    expect(kept(await valuesOf([fill, ...elements], { attributes: many }))).toHaveLength(1);
  });
});

describe('what nobody wants', () => {
  it('can be left out: the rest is read as it is', async () => {
    const bytes = encode([
      ...FULL.slice(0, -1),
      e(0x7fe00010, 'OW', Buffer.alloc(500_000)),
      e(0x00324000, 'LT', 'late'),
    ]);
    const attributes = attributesOf([{ keyword: 'StudyComments', level: 'study' }]);
    const reader = new HeaderReader({ transferSyntaxUID: UID.ExplicitVRLittleEndian, attributes });
    let pushed = 0;
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + 1000);
      await reader.push(piece);
      pushed += piece.length;
      at += piece.length;
      const rest = reader.skippable;
      expect(() => reader.skip(rest + 1)).toThrow('skipped');
      reader.skip(rest);
      at += rest;
    }
    expect(pushed).toBeLessThan(4000);
    expect((await reader.finish()).values).toEqual({ ...FULL_VALUES, StudyComments: 'late' });
  });

  it('is not left out beyond the end', async () => {
    const bytes = encode([...FULL.slice(0, -1), e(0x7fe00010, 'OW', Buffer.alloc(5000))]);
    const reader = new HeaderReader({ transferSyntaxUID: UID.ExplicitVRLittleEndian });
    await reader.push(bytes.subarray(0, -4000));
    reader.skip(3999);
    await expect(reader.finish()).rejects.toMatchObject({ reason: 'truncated' });
  });
});
