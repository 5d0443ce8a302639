import fc from 'fast-check';
import type { DataSet } from '../../src/dicom/data-set';
import { vrOf } from '../../src/dicom/dictionary';
import type { Element, Encoding } from '../support/data-sets';

/** Attributes of every kind whose VR the dictionary knows, so that the implicit syntax tells as much as the explicit ones. */
const LEAVES: readonly number[] = [
  0x00080008, 0x00080016, 0x00080018, 0x00080020, 0x00081030, 0x00100010, 0x00100020, 0x00104000, 0x00200013,
  0x0020000d, 0x00280010, 0x00280011, 0x00189004, 0x00189306, 0x00620010, 0x0040a160, 0x00660129, 0x7fe00001,
  0x00189219, 0x00089459,
];
const SEQUENCES: readonly number[] = [0x00081140, 0x00400275, 0x0040a730, 0x0040a043, 0x52009230];

/** A data set as the byte builder takes it, little endian and unpadded values of even length. */
function level(depth: number): fc.Arbitrary<Element[]> {
  const leaf = fc
    .record({ tag: fc.constantFrom(...LEAVES), size: fc.nat(6), fill: fc.nat(255) })
    .map(({ tag, size, fill }): Element => ({
      tag,
      vr: vrOf(tag),
      value: Buffer.from(Array.from({ length: size * 8 }, (_, index) => (fill + index * 7) & 0xff)),
    }));
  const kinds: fc.Arbitrary<Element>[] = [leaf, leaf, leaf];
  if (depth > 0) {
    kinds.push(
      fc
        .record({
          tag: fc.constantFrom(...SEQUENCES),
          items: fc.array(level(depth - 1), { maxLength: 3 }),
          undefinedLength: fc.boolean(),
        })
        .map(({ tag, ...value }): Element => ({ tag, vr: 'SQ', value })),
    );
  }
  return fc
    .uniqueArray(fc.oneof(...kinds), { maxLength: 8, selector: ({ tag }) => tag })
    .map((elements) => elements.sort((a, b) => a.tag - b.tag));
}

export const trees: fc.Arbitrary<Element[]> = level(3);

export const SYNTAXES: Readonly<Record<Encoding, string>> = {
  explicit: '1.2.840.10008.1.2.1',
  implicit: '1.2.840.10008.1.2',
  big: '1.2.840.10008.1.2.2',
};

const UNITS: Readonly<Record<string, number>> = {
  US: 2,
  SS: 2,
  AT: 2,
  OW: 2,
  UL: 4,
  SL: 4,
  FL: 4,
  OF: 4,
  OL: 4,
  FD: 8,
  OD: 8,
  OV: 8,
  UV: 8,
  SV: 8,
};

/** The same elements with their values in big-endian order. */
export function bigEndian(elements: readonly Element[]): Element[] {
  return elements.map((element): Element => {
    const { value } = element;
    if (typeof value === 'object' && 'items' in value)
      return { ...element, value: { ...value, items: value.items.map(bigEndian) } };
    if (!Buffer.isBuffer(value)) return element;
    const unit = UNITS[element.vr] ?? 1;
    const swapped = Buffer.from(value);
    for (let at = 0; at + unit <= swapped.length; at += unit) swapped.subarray(at, at + unit).reverse();
    return { ...element, value: swapped };
  });
}

/** What a decoder should find. */
export function asDataSet(elements: readonly Element[]): DataSet {
  return elements.map(({ tag, vr, value }) => {
    if (typeof value === 'object' && 'items' in value)
      return { tag, vr: 'SQ', items: value.items.map(asDataSet) };
    if (!Buffer.isBuffer(value)) throw new Error('only bytes');
    return { tag, vr, value };
  });
}
