import { decodeFileMeta, encodeFileMeta, guessTransferSyntax } from '../../src/dicom/part10';
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, UID } from '../../src/dicom/uids';
import { encode, header, type Encoding } from '../support/data-sets';

const META = {
  MediaStorageSOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
  MediaStorageSOPInstanceUID: '1.2.3.4',
  TransferSyntaxUID: UID.ExplicitVRLittleEndian,
  SourceApplicationEntityTitle: 'CT1',
  ReceivingApplicationEntityTitle: 'ISOCENTER',
};
const DATA_SET = encode([{ tag: 0x00080016, vr: 'UI', value: '1.2.840.10008.5.1.4.1.1.2\0' }]);

/** The elements of an encoded group: [tag, vr, text]. */
function elementsOf(file: Buffer): [number, string, string][] {
  const found: [number, string, string][] = [];
  for (let at = 132; at < file.length;) {
    const vr = file.toString('latin1', at + 4, at + 6);
    const long = vr === 'OB';
    const length = long ? file.readUInt32LE(at + 8) : file.readUInt16LE(at + 6);
    const start = at + (long ? 12 : 8);
    found.push([file.readUInt16LE(at + 2), vr, file.toString('latin1', start, start + length)]);
    at = start + length;
  }
  return found;
}

describe('encodeFileMeta', () => {
  it('writes what PS3.10 7.1 asks for, in ascending order', () => {
    const file = encodeFileMeta(META, { creator: '2.25.1', data: Buffer.alloc(128, 7) });
    expect(file.subarray(0, 128).every((byte) => byte === 0)).toBe(true);
    expect(file.toString('latin1', 128, 132)).toBe('DICM');
    const elements = elementsOf(file);
    expect(elements.map(([element, vr]) => [element, vr])).toEqual([
      [0x0000, 'UL'],
      [0x0001, 'OB'],
      [0x0002, 'UI'],
      [0x0003, 'UI'],
      [0x0010, 'UI'],
      [0x0012, 'UI'],
      [0x0013, 'SH'],
      [0x0016, 'AE'],
      [0x0018, 'AE'],
      [0x0100, 'UI'],
      [0x0102, 'OB'],
    ]);
    const text = new Map(elements.map(([element, , value]) => [element, value]));
    expect(text.get(0x0001)).toBe('\0\x01');
    expect(text.get(0x0002)).toBe('1.2.840.10008.5.1.4.1.1.2\0');
    expect(text.get(0x0003)).toBe('1.2.3.4\0');
    expect(text.get(0x0012)?.replace(/\0$/, '')).toBe(IMPLEMENTATION_CLASS_UID);
    expect(text.get(0x0013)?.trimEnd()).toBe(IMPLEMENTATION_VERSION_NAME);
    expect(text.get(0x0016)).toBe('CT1 ');
    expect(file.readUInt32LE(140)).toBe(file.length - 144);
    expect(file.length % 2).toBe(0);
    expect(file.subarray(-128).every((byte) => byte === 7)).toBe(true);
  });

  it('leaves out what is empty', () => {
    const file = encodeFileMeta({
      ...META,
      SourceApplicationEntityTitle: '',
      ReceivingApplicationEntityTitle: '',
    });
    expect(elementsOf(file).map(([element]) => element)).not.toContain(0x0016);
    expect(elementsOf(file).map(([element]) => element)).not.toContain(0x0102);
  });
});

describe('decodeFileMeta', () => {
  const data = Buffer.alloc(128, 7);
  const written = encodeFileMeta(META, { creator: '2.25.1', data });

  it('reads back what was written', () => {
    expect(decodeFileMeta(Buffer.concat([written, DATA_SET]))).toEqual({
      meta: {
        ...META,
        ImplementationClassUID: IMPLEMENTATION_CLASS_UID,
        ImplementationVersionName: IMPLEMENTATION_VERSION_NAME,
      },
      dataSetOffset: written.length,
      privateInformation: { creator: '2.25.1', offset: written.length - 128, data },
    });
  });

  it('asks for more at every cut, and needs nothing behind the group', () => {
    for (let cut = 0; cut < written.length; cut++)
      expect(decodeFileMeta(written.subarray(0, cut))).toBe('need-more');
    expect(decodeFileMeta(written)).toMatchObject({ dataSetOffset: written.length });
  });

  it('does not take a deflated data set for part of the group', () => {
    const file = Buffer.concat([written, Buffer.from([2, 0, 0, 0, 0x55, 0x49, 2, 0, 1, 1])]);
    expect(decodeFileMeta(file)).toMatchObject({ dataSetOffset: written.length });
  });

  it.each<[string, (group: Buffer, length: number) => Buffer]>([
    ['no preamble', (group) => Buffer.concat([Buffer.from('DICM'), group])],
    ['neither preamble nor prefix', (group) => group],
    [
      'no group length',
      (group) => Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), group.subarray(12)]),
    ],
    [
      'a wrong group length',
      (group) => {
        const wrong = Buffer.from(group);
        wrong.writeUInt32LE(17, 8);
        return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), wrong]);
      },
    ],
    [
      'an executable in the preamble',
      (group) => Buffer.concat([Buffer.alloc(128, 'MZ'), Buffer.from('DICM'), group]),
    ],
  ])('takes a file with %s', (_what, build) => {
    const start = build(encodeFileMeta(META).subarray(132), 0);
    expect(decodeFileMeta(Buffer.concat([start, DATA_SET]))).toMatchObject({
      meta: { TransferSyntaxUID: META.TransferSyntaxUID, SourceApplicationEntityTitle: 'CT1' },
      dataSetOffset: start.length,
      privateInformation: undefined,
    });
  });

  it.each<Encoding>(['implicit', 'big'])('takes a group in %s encoding', (encoding) => {
    const group = encode(
      [
        { tag: 0x00020002, vr: 'UI', value: '1.2\0' },
        { tag: 0x00020010, vr: 'UI', value: '1.2.840.10008.1.2.2\0' },
      ],
      encoding,
    );
    const file = Buffer.concat([
      Buffer.alloc(128),
      Buffer.from('DICM'),
      group,
      encode([{ tag: 0x00080016, vr: 'UI', value: '1.2\0' }], encoding),
    ]);
    expect(decodeFileMeta(file)).toMatchObject({
      meta: { MediaStorageSOPClassUID: '1.2', TransferSyntaxUID: '1.2.840.10008.1.2.2' },
      dataSetOffset: 132 + group.length,
    });
  });

  it('takes a bare data set', () => {
    expect(decodeFileMeta(DATA_SET)).toEqual({ meta: {}, dataSetOffset: 0, privateInformation: undefined });
  });

  it('refuses a group without an end', () => {
    const huge = Buffer.concat([header(0x00020102, 'OB', 0x7fffffff, 'explicit'), Buffer.alloc(100)]);
    expect(() => decodeFileMeta(Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), huge]))).toThrow(
      expect.objectContaining({ reason: 'malformed' }),
    );
  });
});

describe('guessTransferSyntax', () => {
  it.each<[Encoding, string]>([
    ['explicit', UID.ExplicitVRLittleEndian],
    ['implicit', UID.ImplicitVRLittleEndian],
    ['big', UID.ExplicitVRBigEndian],
  ])('tells %s', (encoding, uid) => {
    expect(guessTransferSyntax(encode([{ tag: 0x00080016, vr: 'UI', value: '1.2.840\0' }], encoding))).toBe(
      uid,
    );
  });

  it.each([
    '',
    '%PDF-1.7\n%',
    '\x89PNG\r\n\x1a\n',
    'PK\x03\x04\x14\0\0\0',
    'GIF89a\0\0',
    'hello, world',
    '\0'.repeat(64),
  ])('makes nothing of %j', (text) => {
    expect(guessTransferSyntax(Buffer.from(text, 'latin1'))).toBeUndefined();
  });
});
