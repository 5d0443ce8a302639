import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { DataSetBuilder, decodeDataSet, encodeDataSet, type DataSet } from '../../src/dicom/data-set';
import { ElementWalker } from '../../src/dicom/element-walker';
import { encodingOf, UID } from '../../src/dicom/uids';
import { encode, header, type Encoding } from '../support/data-sets';
import { asDataSet, bigEndian, SYNTAXES, trees } from './trees';

const ENCODINGS: readonly Encoding[] = ['explicit', 'implicit', 'big'];

describe('data sets', () => {
  it.each(ENCODINGS)('are decoded from %s as they were built, cut anywhere', (encoding) => {
    fc.assert(
      fc.property(trees, fc.integer({ min: 1, max: 20 }), (tree, size) => {
        const bytes = encode(encoding === 'big' ? bigEndian(tree) : tree, encoding);
        expect(decodeDataSet(bytes, SYNTAXES[encoding])).toEqual(asDataSet(tree));
        const builder = new DataSetBuilder(1e6);
        const walker = new ElementWalker(encodingOf(SYNTAXES[encoding]), builder);
        for (let at = 0; at < bytes.length; at += size) walker.push(bytes.subarray(at, at + size));
        walker.finish();
        expect(builder.elements).toEqual(asDataSet(tree));
        expect(walker.position).toBe(bytes.length);
      }),
    );
  });

  it.each(ENCODINGS)('are encoded in %s so that they decode again', (encoding) => {
    fc.assert(
      fc.property(trees, (tree) => {
        const elements = asDataSet(tree);
        expect(decodeDataSet(encodeDataSet(elements, SYNTAXES[encoding]), SYNTAXES[encoding])).toEqual(
          elements,
        );
      }),
    );
  });

  it('are encoded as PS3.5 7.1 has it: ascending, padded, lengths defined', () => {
    const elements: DataSet = [
      { tag: 0x00100010, vr: 'PN', value: Buffer.from('DOE') },
      { tag: 0x00080018, vr: 'UI', value: Buffer.from('1.2.3') },
      { tag: 0x00081140, vr: 'SQ', items: [[{ tag: 0x00081150, vr: 'UI', value: Buffer.from('1.2') }]] },
    ];
    const expected = [
      { tag: 0x00080018, vr: 'UI', value: '1.2.3' },
      { tag: 0x00081140, vr: 'SQ', value: { items: [[{ tag: 0x00081150, vr: 'UI', value: '1.2' }]] } },
      { tag: 0x00100010, vr: 'PN', value: 'DOE' },
    ];
    for (const encoding of ENCODINGS)
      expect(encodeDataSet(elements, SYNTAXES[encoding])).toEqual(encode(expected, encoding));
  });

  it('write a text that is too long for its length field as UN', () => {
    const long: DataSet = [{ tag: 0x00080058, vr: 'UI', value: Buffer.alloc(70_000, '1') }];
    const bytes = encodeDataSet(long, UID.ExplicitVRLittleEndian);
    expect(bytes.toString('latin1', 4, 6)).toBe('UN');
    expect(bytes.readUInt32LE(8)).toBe(70_000);
  });

  it('are refused above the limit, whatever they are made of', () => {
    const tooLarge = expect.objectContaining({ code: 'DICOM_PARSE', reason: 'too-large' }) as unknown;
    const text = encode([{ tag: 0x00080008, vr: 'CS', value: 'X'.repeat(2000) }]);
    expect(() => decodeDataSet(text, UID.ExplicitVRLittleEndian, { bytes: 1000 })).toThrow(tooLarge as Error);
    const zeros = deflateRawSync(encode([{ tag: 0x00104000, vr: 'OB', value: Buffer.alloc(100_000) }]));
    expect(() => decodeDataSet(zeros, UID.DeflatedExplicitVRLittleEndian, { bytes: 50_000 })).toThrow(
      expect.objectContaining({ reason: 'inflate' }),
    );
    expect(decodeDataSet(zeros, UID.DeflatedExplicitVRLittleEndian)).toHaveLength(1);
  });

  it('take a million empty items within the limit without more', () => {
    const items = Buffer.concat([
      header(0x00081140, 'SQ', 8_000_000, 'explicit'),
      Buffer.alloc(8_000_000, header(0xfffee000, '', 0, 'explicit')),
    ]);
    expect(() => decodeDataSet(items, UID.ExplicitVRLittleEndian)).toThrow(
      expect.objectContaining({ reason: 'too-large' }),
    );
  });
});
