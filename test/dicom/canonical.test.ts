import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { CanonicalDigest } from '../../src/dicom/canonical';
import { encodeDataSet } from '../../src/dicom/data-set';
import { UID } from '../../src/dicom/uids';
import { encode, encapsulated, header, type Element, type Encoding } from '../support/data-sets';
import { asDataSet, bigEndian, SYNTAXES, trees } from './trees';

const e = (tag: number, vr: string, value: Element['value']): Element => ({ tag, vr, value });

async function digest(
  bytes: Buffer,
  uid: string = UID.ExplicitVRLittleEndian,
  size = bytes.length,
): Promise<string> {
  const canonical = new CanonicalDigest(uid);
  for (let at = 0; at < bytes.length; at += size) await canonical.push(bytes.subarray(at, at + size));
  return canonical.digest();
}

describe('CanonicalDigest', () => {
  it('is the same in every uncompressed syntax, with lengths defined or not, however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(trees, fc.integer({ min: 1, max: 30 }), async (tree, size) => {
        const explicit = encode(tree);
        const expected = await digest(explicit);
        expect(await digest(explicit, UID.ExplicitVRLittleEndian, size)).toBe(expected);
        expect(await digest(encode(tree, 'implicit'), UID.ImplicitVRLittleEndian, size)).toBe(expected);
        expect(await digest(encode(bigEndian(tree), 'big'), UID.ExplicitVRBigEndian, size)).toBe(expected);
        expect(await digest(encodeDataSet(asDataSet(tree), SYNTAXES.big), SYNTAXES.big)).toBe(expected);
        expect(await digest(deflateRawSync(explicit), UID.DeflatedExplicitVRLittleEndian, size)).toBe(
          expected,
        );
      }),
      { numRuns: 50 },
    );
  });

  it('differs with any change of a value, a tag or the structure', async () => {
    const base: Element[] = [
      e(0x00100010, 'PN', 'AB'),
      e(0x0040a730, 'SQ', { items: [[e(0x00080100, 'SH', 'C1')], []] }),
      e(0x7fe00010, 'OW', Buffer.from([1, 2, 3, 4])),
    ];
    const others: Element[][] = [
      [e(0x00100010, 'PN', 'AC'), ...base.slice(1)],
      [e(0x00100020, 'PN', 'AB'), ...base.slice(1)],
      base.slice(1),
      [base[0]!, e(0x0040a730, 'SQ', { items: [[], [e(0x00080100, 'SH', 'C1')]] }), base[2]!],
      [base[0]!, e(0x0040a730, 'SQ', { items: [[e(0x00080100, 'SH', 'C1')]] }), base[2]!],
      [base[0]!, e(0x0040a730, 'SQ', { items: [] }), base[2]!],
      [...base.slice(0, 2), e(0x7fe00010, 'OW', Buffer.from([1, 2, 3, 5]))],
      [...base.slice(0, 2), e(0x7fe00010, 'OW', Buffer.from([1, 2, 3, 4, 0, 0]))],
    ];
    const digests = await Promise.all([base, ...others].map((elements) => digest(encode(elements))));
    expect(new Set(digests).size).toBe(others.length + 1);
  });

  it('does not count group lengths and padding', async () => {
    const plain = [e(0x00080060, 'CS', 'CT'), e(0x00100010, 'PN', 'AB')];
    const dressed = [
      e(0x00080000, 'UL', [10]),
      plain[0]!,
      e(0x00100000, 'UL', [10]),
      plain[1]!,
      e(0xfffcfffc, 'OB', Buffer.alloc(20)),
    ];
    expect(await digest(encode(dressed))).toBe(await digest(encode(plain)));
  });

  it('reads a known sequence in UN as that sequence (CP-246)', async () => {
    const inner = encode([e(0x00080100, 'SH', 'C1')], 'implicit');
    const items = Buffer.concat([header(0xfffee000, '', inner.length, 'implicit'), inner]);
    const known = encode([e(0x0040a730, 'SQ', { items: [[e(0x00080100, 'SH', 'C1')]] })]);
    expect(await digest(encode([e(0x0040a730, 'UN', items)]))).toBe(await digest(known));
  });

  it('covers fragments', async () => {
    const one = await digest(encapsulated([Buffer.from('abcd'), Buffer.from('ef')]));
    expect(await digest(encapsulated([Buffer.from('abcd'), Buffer.from('eg')]))).not.toBe(one);
    expect(await digest(encapsulated([Buffer.from('ab'), Buffer.from('cdef')]))).not.toBe(one);
  });

  it.each<Encoding>(['explicit', 'implicit', 'big'])('refuses a cut %s data set', async (encoding) => {
    const bytes = encode([e(0x00100010, 'PN', 'DOE^JOHN')], encoding);
    await expect(digest(bytes.subarray(0, 12), SYNTAXES[encoding])).rejects.toMatchObject({
      reason: 'truncated',
    });
  });
});
