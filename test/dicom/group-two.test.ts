import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { GroupTwoStripper } from '../../src/dicom/group-two';
import { encodeFileMeta } from '../../src/dicom/part10';
import { UID } from '../../src/dicom/uids';
import { encode, header, type Encoding } from '../support/data-sets';

const SYNTAX: Readonly<Record<Encoding, string>> = {
  explicit: UID.ExplicitVRLittleEndian,
  implicit: UID.ImplicitVRLittleEndian,
  big: UID.ExplicitVRBigEndian,
};
const FILE_META = encodeFileMeta({
  MediaStorageSOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
  MediaStorageSOPInstanceUID: '1.2.3.4',
  TransferSyntaxUID: UID.ExplicitVRLittleEndian,
  SourceApplicationEntityTitle: 'CT1',
  ReceivingApplicationEntityTitle: '',
});
const GROUP = FILE_META.subarray(132);

function dataSet(encoding: Encoding): Buffer {
  return encode(
    [
      { tag: 0x00080016, vr: 'UI', value: '1.2.840.10008.5.1.4.1.1.2\0' },
      { tag: 0x00100010, vr: 'PN', value: 'DOE^JOHN' },
    ],
    encoding,
  );
}

function strip(bytes: Buffer, syntax: string, size = bytes.length): { kept: Buffer; stripped: boolean } {
  const stripper = new GroupTwoStripper(syntax);
  const kept: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const part = stripper.push(bytes.subarray(at, at + size));
    if (part !== undefined) kept.push(part);
  }
  const rest = stripper.flush();
  if (rest !== undefined) kept.push(rest);
  return { kept: Buffer.concat(kept), stripped: stripper.stripped };
}

describe('GroupTwoStripper', () => {
  it.each<Encoding>(['explicit', 'implicit', 'big'])(
    'hands an ordinary %s data set on at once, uncopied',
    (encoding) => {
      const bytes = dataSet(encoding);
      const stripper = new GroupTwoStripper(SYNTAX[encoding]);
      const first = bytes.subarray(0, 2);
      expect(stripper.push(first)).toBe(first);
      const rest = bytes.subarray(2);
      expect(stripper.push(rest)).toBe(rest);
      expect(stripper.flush()).toBeUndefined();
      expect(stripper.stripped).toBe(false);
    },
  );

  it.each([
    ['the group', GROUP],
    ['preamble and group', FILE_META],
    ['a preamble with text and group', Buffer.concat([Buffer.alloc(128, 'II*'), FILE_META.subarray(128)])],
    ['a group without its length', GROUP.subarray(12)],
  ])('takes off %s, however the bytes are cut', (_what, front) => {
    for (const encoding of ['explicit', 'implicit', 'big'] as const) {
      const kept = dataSet(encoding);
      for (const size of [1, 2, 3, 7, 131, 132, 133, 140, 1000])
        expect(strip(Buffer.concat([front, kept]), SYNTAX[encoding], size)).toEqual({ kept, stripped: true });
    }
  });

  it.each<Encoding>(['implicit', 'big'])('takes off a group in %s encoding', (encoding) => {
    const group = encode([{ tag: 0x00020010, vr: 'UI', value: '1.2.840.10008.1.2\0' }], encoding);
    const kept = dataSet(encoding);
    expect(strip(Buffer.concat([group, kept]), SYNTAX[encoding], 5)).toEqual({ kept, stripped: true });
  });

  it('takes it off a deflated data set too, and leaves compressed bytes alone', () => {
    const kept = deflateRawSync(dataSet('explicit'));
    const uid = UID.DeflatedExplicitVRLittleEndian;
    expect(strip(Buffer.concat([GROUP, kept]), uid, 9)).toEqual({ kept, stripped: true });
    expect(strip(kept, uid, 3)).toEqual({ kept, stripped: false });
    const unlucky = Buffer.concat([Buffer.from([2, 0, 8, 0, 0x55, 0x49]), Buffer.alloc(200, 9)]);
    expect(strip(unlucky, uid)).toEqual({ kept: unlucky, stripped: false });
  });

  it('alters nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 50 }), (array, size) => {
        const bytes = Buffer.from(array);
        fc.pre(bytes.length < 2 || (bytes.readUInt16LE(0) !== 2 && bytes.readUInt16BE(0) !== 2));
        expect(strip(bytes, UID.ExplicitVRLittleEndian, size)).toEqual({ kept: bytes, stripped: false });
      }),
    );
  });

  it('does not see a preamble in a data set that holds the letters DICM', () => {
    const bytes = Buffer.concat([header(0x00080008, 'UT', 0, 'explicit'), Buffer.alloc(120), GROUP]);
    bytes.write('DICM', 128, 'latin1');
    expect(strip(bytes, UID.ExplicitVRLittleEndian)).toEqual({ kept: bytes, stripped: false });
  });

  it('refuses a group that ends nowhere', () => {
    const element = encode([{ tag: 0x00020013, vr: 'SH', value: 'X'.repeat(1000) }]);
    const bytes = Buffer.concat(Array.from({ length: 70 }, () => element));
    expect(() => strip(bytes, UID.ExplicitVRLittleEndian, 4096)).toThrow(
      expect.objectContaining({ reason: 'malformed' }),
    );
    const claim = Buffer.concat([header(0x00020102, 'OB', 0x7fffffff, 'explicit'), Buffer.alloc(200)]);
    expect(() => strip(claim, UID.ExplicitVRLittleEndian)).toThrow(
      expect.objectContaining({ reason: 'malformed' }),
    );
  });

  it('says when the data set ends inside the group', () => {
    const boundaries = new Set<number>();
    for (let at = 0; at < GROUP.length; boundaries.add(at)) {
      const long = GROUP.toString('latin1', at + 4, at + 6) === 'OB';
      at += long ? 12 + GROUP.readUInt32LE(at + 8) : 8 + GROUP.readUInt16LE(at + 6);
    }
    for (let cut = 8; cut < GROUP.length; cut++) {
      if (boundaries.has(cut)) continue;
      expect(() => strip(GROUP.subarray(0, cut), UID.ExplicitVRLittleEndian)).toThrow(
        expect.objectContaining({ code: 'DICOM_PARSE', reason: 'truncated' }),
      );
    }
    expect(strip(GROUP, UID.ExplicitVRLittleEndian)).toEqual({ kept: Buffer.alloc(0), stripped: true });
  });
});
