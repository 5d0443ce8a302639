import fc from 'fast-check';
import { decodeDataSet, isSequence, type DataElement, type DataSet } from '../../src/dicom/data-set';
import { tagOf, keywordOf } from '../../src/dicom/dictionary';
import { decodeFileMeta } from '../../src/dicom/part10';
import { STORAGE_CLASSES } from '../../src/dicom/uids';
import { DicomDirectory, type DirectoryInstance } from '../../src/services/dicomdir';
import { HeaderCollector } from '../../src/services/dicomdir-header';
import { HEADER_KEYWORDS, RECORD_KEYS, recordOf } from '../../src/services/dicomdir-records';
import { MediaNames, fileNameOf } from '../../src/services/export-names';
import { imageObject, SOP, TS, UID_ROOT, type Element, type ObjectFields } from '../support/data-sets';

interface Spec extends ObjectFields {
  readonly syntax?: string;
  readonly patient?: string;
}

async function instance(spec: Spec, names = new MediaNames()): Promise<DirectoryInstance> {
  const object = imageObject({ size: 4, ...spec }, spec.syntax ?? TS.explicit);
  const collector = new HeaderCollector(object.transferSyntax, HEADER_KEYWORDS);
  for (let at = 0; at < object.dataSet.length; at += 7)
    await collector.push(object.dataSet.subarray(at, at + 7));
  const place = { ...object, patient: spec.patient ?? spec.PatientID ?? 'TESTID' };
  return {
    ...place,
    TransferSyntaxUID: object.transferSyntax,
    file: names.next(place),
    header: await collector.finish(),
  };
}

async function directoryOf(specs: readonly Spec[]): Promise<Buffer> {
  const directory = new DicomDirectory();
  const names = new MediaNames();
  for (const spec of specs) directory.add(await instance(spec, names));
  return directory.encode();
}

interface Found {
  readonly type: string;
  readonly elements: Readonly<Record<string, string>>;
  readonly raw: DataSet;
  readonly below: Found[];
}

const value = (element: DataElement | undefined): string =>
  element === undefined || isSequence(element) ? '' : element.value.toString('latin1').replace(/[ \0]+$/, '');

/** Goes by the offsets alone, as a reader of media does. */
function walk(file: Buffer): Found[] {
  const decoded = decodeFileMeta(file);
  if (decoded === 'need-more') throw new Error('cut');
  expect(decoded.meta).toMatchObject({
    MediaStorageSOPClassUID: '1.2.840.10008.1.3.10',
    TransferSyntaxUID: TS.explicit,
  });
  const top = decodeDataSet(file.subarray(decoded.dataSetOffset), TS.explicit);
  const number = (elements: DataSet, tag: number): number => {
    const element = elements.find((one) => one.tag === tag);
    if (element === undefined || isSequence(element)) throw new Error('no number');
    return element.value.readUInt32LE();
  };
  const items = top.find(({ tag }) => tag === 0x00041220);
  if (items === undefined || !isSequence(items)) throw new Error('no records');
  let seen = 0;
  const level = (first: number): { row: Found[]; last: number } => {
    const row: Found[] = [];
    let last = 0;
    for (let at = first; at !== 0;) {
      seen++;
      last = at;
      expect(file.readUInt32LE(at)).toBe(0xe000fffe);
      const elements = decodeDataSet(file.subarray(at + 8, at + 8 + file.readUInt32LE(at + 4)), TS.explicit);
      const named = Object.fromEntries(elements.map((one) => [keywordOf(one.tag) ?? '', value(one)]));
      row.push({
        type: named['DirectoryRecordType'] ?? '',
        elements: named,
        raw: elements,
        below: level(number(elements, 0x00041420)).row,
      });
      at = number(elements, 0x00041400);
    }
    return { row, last };
  };
  const { row, last } = level(number(top, 0x00041200));
  expect(last).toBe(number(top, 0x00041202));
  expect(seen).toBe(items.items.length);
  return row;
}

describe('a DICOMDIR', () => {
  it('names patients, studies, series and instances, by offsets that are right', async () => {
    const study = (patient: string, number: number, series: number, image: number): Spec => ({
      PatientID: patient,
      StudyInstanceUID: `${UID_ROOT}.${patient}.${number}`,
      SeriesInstanceUID: `${UID_ROOT}.${patient}.${number}.${series}`,
      SOPInstanceUID: `${UID_ROOT}.${patient}.${number}.${series}.${image}`,
      SeriesNumber: String(series),
      InstanceNumber: String(image),
      StudyDate: '20240102',
      StudyTime: '101112',
    });
    const file = await directoryOf([
      study('1', 1, 2, 3),
      study('1', 1, 2, 1),
      study('1', 1, 1, 1),
      study('2', 1, 1, 1),
      study('1', 2, 1, 1),
    ]);
    const patients = walk(file);
    expect(patients.map((one) => [one.type, one.elements['PatientID']])).toEqual([
      ['PATIENT', '1'],
      ['PATIENT', '2'],
    ]);
    const [first] = patients;
    expect(first!.below.map((one) => [one.type, one.below.length, one.elements['StudyDate']])).toEqual([
      ['STUDY', 2, '20240102'],
      ['STUDY', 1, '20240102'],
    ]);
    // In the order of their numbers, whatever the order in which they came.
    const series = first!.below[0]!.below;
    expect(series.map((one) => one.elements['SeriesNumber'])).toEqual(['1', '2']);
    expect(series[1]!.below.map((one) => one.elements['InstanceNumber'])).toEqual(['1', '3']);
    expect(series[1]!.below[1]!.elements).toMatchObject({
      DirectoryRecordType: 'IMAGE',
      ReferencedFileID: 'DICOM\\PAT00001\\STU00001\\SER00001\\IMG00001',
      ReferencedSOPClassUIDInFile: SOP.ct,
      ReferencedSOPInstanceUIDInFile: `${UID_ROOT}.1.1.2.3`,
      ReferencedTransferSyntaxUIDInFile: TS.explicit,
    });
  });

  it('is the same file for the same instances, and another one for others', async () => {
    const specs = [{ InstanceNumber: '1' }, { InstanceNumber: '2', SOPInstanceUID: `${UID_ROOT}.2` }];
    const file = await directoryOf(specs);
    expect(await directoryOf(specs)).toEqual(file);
    const meta = decodeFileMeta(file);
    const other = decodeFileMeta(await directoryOf(specs.slice(1)));
    if (meta === 'need-more' || other === 'need-more') throw new Error('cut');
    expect(meta.meta.MediaStorageSOPInstanceUID).toMatch(/^2\.25\.\d+$/);
    expect(other.meta.MediaStorageSOPInstanceUID).not.toBe(meta.meta.MediaStorageSOPInstanceUID);
  });

  it.each([TS.explicit, TS.implicit, TS.big, TS.deflated, TS.jpegLossless])(
    'carries names in the bytes and the character set that they have in an instance in %s',
    async (syntax) => {
      const [patient] = walk(
        await directoryOf([
          {
            syntax,
            PatientName: Buffer.from('M\xfcller^J', 'latin1'),
            SpecificCharacterSet: 'ISO_IR 100',
            PatientID: 'P1',
          },
        ]),
      );
      expect(patient!.elements).toMatchObject({
        SpecificCharacterSet: 'ISO_IR 100',
        PatientName: 'M\xfcller^J',
        PatientID: 'P1',
      });
      expect(patient!.below[0]!.below[0]!.below[0]!.elements).toMatchObject({
        Rows: '\x04',
        ReferencedTransferSyntaxUIDInFile: syntax,
      });
    },
  );

  it('makes up what must have a value, from what is nearest', async () => {
    const without = ['PatientID', 'StudyID', 'SeriesNumber', 'InstanceNumber', 'Modality', 'StudyDate'].map(
      (keyword) => tagOf(keyword)!,
    );
    const [patient] = walk(
      await directoryOf([{ without, extra: [{ tag: tagOf('ContentDate')!, vr: 'DA', value: '20230405' }] }]),
    );
    expect(patient!.elements['PatientID']).not.toBe('');
    const study = patient!.below[0]!;
    expect(study.elements).toMatchObject({ StudyDate: '20230405', StudyTime: '000000', AccessionNumber: '' });
    expect(study.elements['StudyID']).not.toBe('');
    const series = study.below[0]!;
    expect(series.elements).toMatchObject({ SeriesNumber: '1', Modality: 'OT' });
    expect(series.below[0]!.elements).toMatchObject({ InstanceNumber: '1' });
  });

  it('says of a report what it is about, and not what is in it', async () => {
    const item = (relationship: string): Element[] => [{ tag: 0x0040a010, vr: 'CS', value: relationship }];
    const [patient] = walk(
      await directoryOf([
        {
          SOPClassUID: SOP.sr,
          size: 0,
          extra: [
            {
              tag: 0x0040a043,
              vr: 'SQ',
              value: { items: [[{ tag: 0x00080100, vr: 'SH', value: '18748-4 ' }]], undefinedLength: true },
            },
            { tag: 0x0040a491, vr: 'CS', value: 'COMPLETE' },
            { tag: 0x0040a730, vr: 'SQ', value: { items: [item('CONTAINS'), item('HAS CONCEPT MOD')] } },
          ],
        },
      ]),
    );
    const report = patient!.below[0]!.below[0]!.below[0]!;
    expect(report.elements).toMatchObject({
      DirectoryRecordType: 'SR DOCUMENT',
      CompletionFlag: 'COMPLETE',
      VerificationFlag: 'UNVERIFIED',
    });
    const content = report.raw.find(({ tag }) => tag === 0x0040a730);
    const title = report.raw.find(({ tag }) => tag === 0x0040a043);
    expect(content).toMatchObject({ items: [[{ tag: 0x0040a010 }]] });
    expect(title).toMatchObject({ items: [[{ tag: 0x00080100 }]] });
  });

  it('puts what has no patient beside the patients, and private classes under PRIVATE', async () => {
    const roots = walk(
      await directoryOf([
        { SOPInstanceUID: `${UID_ROOT}.1` },
        { SOPInstanceUID: `${UID_ROOT}.2`, SOPClassUID: '1.2.840.10008.5.1.4.38.1' },
        { SOPInstanceUID: `${UID_ROOT}.3`, SOPClassUID: '1.3.12.2.1107.5.9.1' },
      ]),
    );
    expect(roots.map(({ type }) => type).sort()).toEqual(['HANGING PROTOCOL', 'PATIENT']);
    const leaves = roots.find(({ type }) => type === 'PATIENT')!.below[0]!.below[0]!.below;
    expect(leaves.map(({ type }) => type)).toEqual(['IMAGE', 'PRIVATE']);
    expect(leaves[1]!.elements['PrivateRecordUID']).toBe('1.3.12.2.1107.5.9.1');
  });

  it('has offsets that are right for any set of instances', async () => {
    const spec = fc.record({
      patient: fc.integer({ min: 1, max: 3 }),
      study: fc.integer({ min: 1, max: 3 }),
      series: fc.integer({ min: 1, max: 3 }),
      number: fc.integer({ min: 0, max: 99 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(spec, { minLength: 1, maxLength: 30 }), async (specs) => {
        const file = await directoryOf(
          specs.map(({ patient, study, series, number }, index) => ({
            PatientID: `P${patient}`,
            StudyInstanceUID: `${UID_ROOT}.${patient}.${study}`,
            SeriesInstanceUID: `${UID_ROOT}.${patient}.${study}.${series}`,
            SOPInstanceUID: `${UID_ROOT}.0.${index}`,
            InstanceNumber: String(number),
          })),
        );
        const leaves = walk(file).flatMap((p) => p.below.flatMap((s) => s.below.flatMap((e) => e.below)));
        expect(leaves).toHaveLength(specs.length);
      }),
      { numRuns: 30 },
    );
  });
});

describe('records', () => {
  it('have a type that is known for every storage class, and keys of the dictionary', () => {
    for (const { uid } of STORAGE_CLASSES) expect([...RECORD_KEYS.keys()]).toContain(recordOf(uid).type);
    for (const keys of RECORD_KEYS.values())
      for (const { keyword } of keys)
        expect([keyword, tagOf(keyword)]).toEqual([keyword, expect.any(Number)]);
  });

  it.each([
    ['1.2.840.10008.5.1.4.1.1.2', 'IMAGE'],
    ['1.2.840.10008.5.1.4.1.1.66.4', 'IMAGE'],
    ['1.2.840.10008.5.1.4.1.1.481.1', 'IMAGE'],
    ['1.2.840.10008.5.1.4.1.1.481.23', 'IMAGE'],
    ['1.2.840.10008.5.1.4.1.1.481.2', 'RT DOSE'],
    ['1.2.840.10008.5.1.4.1.1.481.3', 'RT STRUCTURE SET'],
    ['1.2.840.10008.5.1.4.1.1.481.5', 'RT PLAN'],
    ['1.2.840.10008.5.1.4.1.1.481.8', 'RT PLAN'],
    ['1.2.840.10008.5.1.4.1.1.481.4', 'RT TREAT RECORD'],
    ['1.2.840.10008.5.1.4.1.1.481.7', 'RT TREAT RECORD'],
    ['1.2.840.10008.5.1.4.1.1.481.10', 'RADIOTHERAPY'],
    ['1.2.840.10008.5.1.4.1.1.481.13', 'RADIOTHERAPY'],
    ['1.2.840.10008.5.1.4.34.7', 'PLAN'],
    ['1.2.840.10008.5.1.4.1.1.11.1', 'PRESENTATION'],
    ['1.2.840.10008.5.1.4.1.1.9.1.1', 'WAVEFORM'],
    ['1.2.840.10008.5.1.4.1.1.88.33', 'SR DOCUMENT'],
    ['1.2.840.10008.5.1.4.1.1.88.59', 'KEY OBJECT DOC'],
    ['1.2.840.10008.5.1.4.1.1.4.2', 'SPECTROSCOPY'],
    ['1.2.840.10008.5.1.4.1.1.66', 'RAW DATA'],
    ['1.2.840.10008.5.1.4.1.1.66.1', 'REGISTRATION'],
    ['1.2.840.10008.5.1.4.1.1.66.2', 'FIDUCIAL'],
    ['1.2.840.10008.5.1.4.1.1.66.5', 'SURFACE'],
    ['1.2.840.10008.5.1.4.1.1.104.1', 'ENCAP DOC'],
    ['1.2.840.10008.5.1.4.1.1.67', 'VALUE MAP'],
  ])('of %s are %s', (uid, type) => {
    expect(recordOf(uid)).toEqual({ type, root: false });
  });
});

describe('names', () => {
  it('for media have eight characters at most, and are never used twice', () => {
    const names = new MediaNames();
    const seen = new Set<string>();
    for (let at = 0; at < 100_003; at++) {
      const components = names.next({
        patient: 'A',
        StudyInstanceUID: '1',
        SeriesInstanceUID: '2',
        SOPInstanceUID: String(at),
      });
      seen.add(components.join('/'));
      if (at % 9999 === 0) for (const one of components) expect(one).toMatch(/^[A-Z0-9]{1,8}$/);
    }
    expect(seen.size).toBe(100_003);
    expect(seen).toContain('DICOM/PAT00001/STU00001/SER00001/IM100001');
  });

  it('from UIDs hold digits and dots, or a digest', () => {
    expect(fileNameOf('1.2.840.1')).toBe('1.2.840.1');
    for (const uid of [
      '',
      '..',
      '.',
      '1..2',
      '1.2.',
      '../x',
      'a/b',
      'con',
      ' 1',
      '1\u0000',
      `1.${'2'.repeat(70)}`,
    ])
      expect(fileNameOf(uid)).toMatch(/^uid-[0-9a-f]{32}$/);
    expect(fileNameOf('A')).not.toBe(fileNameOf('a'));
  });
});
