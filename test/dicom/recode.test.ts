import fc from 'fast-check';
import { decodeDataSet, type DataSet } from '../../src/dicom/data-set';
import { Recoder } from '../../src/dicom/recode';
import { encode, header, type Element, type Encoding } from '../support/data-sets';
import { asDataSet, bigEndian, SYNTAXES, trees } from './trees';

const ENCODINGS = {
  explicit: { explicit: true, littleEndian: true },
  implicit: { explicit: false, littleEndian: true },
  big: { explicit: true, littleEndian: false },
} as const;

function recode(dataSet: Buffer, from: Encoding, to: Encoding, piece = dataSet.length + 1): Buffer {
  const recoder = new Recoder(ENCODINGS[from], ENCODINGS[to]);
  const out: Buffer[] = [];
  for (let at = 0; at < dataSet.length; at += piece) {
    // The bytes that came in may be reused after the call: take what came out now.
    const chunk = Buffer.from(dataSet.subarray(at, at + piece));
    for (const bytes of recoder.push(chunk)) out.push(Buffer.from(bytes));
    chunk.fill(0xee);
  }
  out.push(...recoder.finish());
  return Buffer.concat(out);
}

/** Elements as both encodings write them. */
function becomes(
  elements: readonly Element[],
  from: Encoding,
  to: Encoding,
  expected: readonly Element[] = elements,
): void {
  expect(recode(encode(elements, from), from, to).toString('hex')).toBe(encode(expected, to).toString('hex'));
}

const decoded = (bytes: Buffer, encoding: Encoding): DataSet => decodeDataSet(bytes, SYNTAXES[encoding]);

describe('properties', () => {
  const pieces = fc.integer({ min: 1, max: 97 });
  // Deterministic, and soon done: the trees are large.
  const runs = { numRuns: 150 };

  it('explicit → implicit → explicit keeps every value, however the bytes come', () => {
    fc.assert(
      fc.property(trees, pieces, (tree, piece) => {
        const implicit = recode(encode(tree), 'explicit', 'implicit', piece);
        expect(decoded(implicit, 'implicit')).toEqual(asDataSet(tree));
        const again = recode(implicit, 'implicit', 'explicit', piece);
        expect(decoded(again, 'explicit')).toEqual(asDataSet(tree));
      }),
      runs,
    );
  });

  it('explicit little → big → little endian is identical, and the one in the middle is right', () => {
    fc.assert(
      fc.property(trees, pieces, (tree, piece) => {
        const little = encode(tree);
        const big = recode(little, 'explicit', 'big', piece);
        expect(big.equals(encode(bigEndian(tree), 'big'))).toBe(true);
        expect(recode(big, 'big', 'explicit', piece).equals(little)).toBe(true);
      }),
      runs,
    );
  });

  it('big endian ↔ implicit keeps every value', () => {
    fc.assert(
      fc.property(trees, pieces, (tree, piece) => {
        const implicit = recode(encode(bigEndian(tree), 'big'), 'big', 'implicit', piece);
        expect(decoded(implicit, 'implicit')).toEqual(asDataSet(tree));
        const big = recode(implicit, 'implicit', 'big', piece);
        expect(decoded(big, 'big')).toEqual(asDataSet(tree));
      }),
      runs,
    );
  });
});

describe('elements', () => {
  const open = (items: readonly (readonly Element[])[]) => ({ items, undefinedLength: true });

  it('sequences get undefined lengths where sizes change, empty ones and empty items none', () => {
    const inside: Element[] = [{ tag: 0x0040a160, vr: 'UT', value: 'TEXT' }];
    const sequence = (value: Element['value']): Element => ({ tag: 0x0040a730, vr: 'SQ', value });
    becomes([sequence({ items: [inside] })], 'explicit', 'implicit', [sequence(open([inside]))]);
    becomes([sequence({ items: [] })], 'explicit', 'implicit');
    const emptyItem = Buffer.concat([header(0xfffee000, '', 0, 'implicit')]);
    expect(recode(encode([sequence({ items: [[]] })]), 'explicit', 'implicit')).toEqual(
      Buffer.concat([
        header(0x0040a730, 'SQ', 0xffffffff, 'implicit'),
        emptyItem,
        header(0xfffee0dd, '', 0, 'implicit'),
      ]),
    );
  });

  it('private and unknown elements keep their bytes; implicit ones become UN, private creators LO', () => {
    const elements = (vr: string): Element[] => [
      { tag: 0x00090010, vr: 'LO', value: 'ACME 1.1' },
      { tag: 0x00091001, vr, value: Buffer.from('0102030405', 'hex') },
      { tag: 0x00201fff, vr, value: Buffer.from('0a0b', 'hex') },
    ];
    becomes(elements('UN'), 'implicit', 'explicit');
    becomes(elements('UN'), 'implicit', 'big');
    becomes(elements('UL'), 'explicit', 'implicit');
  });

  it('odd lengths stay as they came, and a rest that is no whole unit is not swapped', () => {
    const odd = (bytes: string): Element[] => [
      { tag: 0x00100010, vr: 'PN', value: Buffer.from('A^B') },
      { tag: 0x00280106, vr: 'US', value: Buffer.from(bytes, 'hex') },
    ];
    becomes(odd('010203'), 'explicit', 'implicit');
    becomes(odd('010203'), 'explicit', 'big', odd('020103'));
  });

  it('a VR that PS3.5 does not have stays between explicit syntaxes', () => {
    const later = Buffer.concat([header(0x00091001, 'OB', 4, 'explicit'), Buffer.from('abcd')]);
    later.write('ZZ', 4);
    const short = Buffer.concat([header(0x00091002, 'CS', 2, 'explicit'), Buffer.from('ab')]);
    short.write('??', 4);
    const both = Buffer.concat([later, short]);
    const big = recode(both, 'explicit', 'big');
    expect(big.toString('latin1', 4, 6)).toBe('ZZ');
    expect(recode(big, 'big', 'explicit')).toEqual(both);
    expect(recode(both, 'explicit', 'implicit')).toEqual(
      Buffer.concat([
        header(0x00091001, '', 4, 'implicit'),
        Buffer.from('abcd'),
        header(0x00091002, '', 2, 'implicit'),
        Buffer.from('ab'),
      ]),
    );
  });

  it('a value too long for its VR becomes UN (PS3.5 6.2.2)', () => {
    const long = (vr: string): Element[] => [{ tag: 0x00283006, vr, value: Buffer.alloc(70000, 7) }];
    becomes(long('OW'), 'implicit', 'explicit');
    const text = (vr: string, size: number): Element[] => [
      { tag: 0x00104000, vr, value: Buffer.alloc(size, 0x41) },
    ];
    becomes(text('UN', 65536), 'implicit', 'explicit');
    becomes(text('LT', 65535), 'implicit', 'explicit');
    becomes(text('UN', 65536), 'implicit', 'big');
  });

  it('group lengths go where sizes change, and are right where they stay', () => {
    const elements: Element[] = [
      { tag: 0x00080000, vr: 'UL', value: [10] },
      { tag: 0x00080060, vr: 'CS', value: 'CT' },
    ];
    becomes(elements, 'explicit', 'implicit', elements.slice(1));
    becomes(elements, 'explicit', 'big');
    becomes(elements, 'big', 'implicit', elements.slice(1));
  });

  it('groups of commands and file meta information are left out', () => {
    const elements: Element[] = [
      { tag: 0x00000002, vr: 'UI', value: '1.2\0' },
      { tag: 0x00020010, vr: 'UI', value: '1.2.840.10008.1.2\0' },
      { tag: 0x00080060, vr: 'CS', value: 'CT' },
    ];
    becomes(elements, 'explicit', 'big', elements.slice(2));
    becomes(elements, 'implicit', 'explicit', elements.slice(2));
  });

  it('stray delimiters keep defined lengths true', () => {
    const inside = Buffer.concat([
      encode([{ tag: 0x00080060, vr: 'CS', value: 'CT' }]),
      header(0xfffee00d, '', 0, 'explicit'),
    ]);
    const sequence = Buffer.concat([
      header(0x00081140, 'SQ', inside.length + 8, 'explicit'),
      header(0xfffee000, '', inside.length, 'explicit'),
      inside,
    ]);
    expect(recode(recode(sequence, 'explicit', 'big'), 'big', 'explicit')).toEqual(sequence);
    becomes(
      decoded(recode(sequence, 'explicit', 'implicit'), 'implicit').map(() => ({
        tag: 0x00081140,
        vr: 'SQ',
        value: open([[{ tag: 0x00080060, vr: 'CS', value: 'CT' }]]),
      })),
      'implicit',
      'explicit',
    );
  });
});

describe('VRs that the implicit syntax leaves open', () => {
  const image = (bits: number, signed: number, padding: string, pixels: string): Element[] => [
    { tag: 0x00280100, vr: 'US', value: [bits] },
    { tag: 0x00280103, vr: 'US', value: [signed] },
    { tag: 0x00280120, vr: padding, value: Buffer.from('0102', 'hex') },
    { tag: 0x7fe00010, vr: pixels, value: Buffer.from('01020304', 'hex') },
  ];
  it.each([
    [8, 0, 'US', 'OB'],
    [16, 0, 'US', 'OW'],
    [16, 1, 'SS', 'OW'],
    [1, 0, 'US', 'OB'],
    [32, 0, 'US', 'OW'],
  ])('%d bits, pixel representation %d: padding value %s, pixels %s', (bits, signed, padding, pixels) => {
    becomes(image(bits, signed, padding, pixels), 'implicit', 'explicit');
  });

  it('more than 8 bits are OW, whatever they were called', () => {
    becomes(image(16, 0, 'US', 'OB'), 'explicit', 'big', [
      ...image(16, 0, 'US', 'OB').slice(0, 2),
      { tag: 0x00280120, vr: 'US', value: Buffer.from('0201', 'hex') },
      { tag: 0x7fe00010, vr: 'OW', value: Buffer.from('02010403', 'hex') },
    ]);
  });

  it('an item has its own bits, and the pixel representation around it', () => {
    const icon = (padding: string, pixels: string): Element => ({
      tag: 0x00880200,
      vr: 'SQ',
      value: {
        undefinedLength: true,
        items: [
          [
            { tag: 0x00280100, vr: 'US', value: [8] },
            { tag: 0x00280106, vr: padding, value: [1] },
            { tag: 0x7fe00010, vr: pixels, value: Buffer.from('0102', 'hex') },
          ],
        ],
      },
    });
    const around = image(16, 1, 'SS', 'OW');
    becomes([...around.slice(0, 3), icon('SS', 'OB'), ...around.slice(3)], 'implicit', 'explicit');
  });

  it('waveforms go by their own bits', () => {
    const wave = (bits: number, vr: string): Element[] => [
      { tag: 0x54001004, vr: 'US', value: [bits] },
      { tag: 0x54001010, vr, value: Buffer.from('0102', 'hex') },
    ];
    becomes(wave(8, 'OB'), 'implicit', 'explicit');
    becomes(wave(16, 'OW'), 'implicit', 'explicit');
  });
});

describe('UN that holds a sequence (PS3.5 6.2.2)', () => {
  const inside: Element[] = [
    { tag: 0x00280010, vr: 'US', value: Buffer.from('0102', 'hex') },
    { tag: 0x0040a160, vr: 'UT', value: 'TEXT' },
  ];
  const items = (encoding: Encoding): Buffer => {
    const sequence = encode(
      [{ tag: 1, vr: 'SQ', value: { items: [inside], undefinedLength: true } }],
      encoding,
    );
    return sequence.subarray(encoding === 'implicit' ? 8 : 12);
  };
  const un = (tag: number, length: number, content: Buffer, encoding: Encoding): Buffer =>
    Buffer.concat([header(tag, 'UN', length, encoding), content]);
  const plain = (tag: number, encoding: Encoding): Buffer =>
    encode([{ tag, vr: 'SQ', value: { items: [inside], undefinedLength: true } }], encoding);

  it('of undefined length: stays as it is between explicit syntaxes, little endian', () => {
    const little = un(0x00091001, 0xffffffff, items('implicit'), 'explicit');
    const big = un(0x00091001, 0xffffffff, items('implicit'), 'big');
    expect(recode(little, 'explicit', 'big').toString('hex')).toBe(big.toString('hex'));
    expect(recode(big, 'big', 'explicit').toString('hex')).toBe(little.toString('hex'));
  });

  it.each<Encoding>(['implicit', 'explicit'])(
    'of undefined length, inside %s: implicit in the implicit syntax',
    (way) => {
      expect(recode(un(0x00091001, 0xffffffff, items(way), 'explicit'), 'explicit', 'implicit')).toEqual(
        plain(0x00091001, 'implicit'),
      );
    },
  );

  it('of undefined length, from big endian', () => {
    expect(recode(un(0x00091001, 0xffffffff, items('implicit'), 'big'), 'big', 'implicit')).toEqual(
      plain(0x00091001, 'implicit'),
    );
  });

  it.each<Encoding>(['implicit', 'explicit'])('of defined length, known as a sequence, inside %s', (way) => {
    const content = items(way).subarray(0, -8);
    expect(recode(un(0x00081140, content.length, content, 'explicit'), 'explicit', 'implicit')).toEqual(
      plain(0x00081140, 'implicit'),
    );
  });

  it('of defined length, not known: its bytes stay', () => {
    const content = items('implicit').subarray(0, -8);
    expect(recode(un(0x00091001, content.length, content, 'explicit'), 'explicit', 'implicit')).toEqual(
      Buffer.concat([header(0x00091001, '', content.length, 'implicit'), content]),
    );
  });

  it('a private sequence of undefined length, from implicit: is told to be one', () => {
    expect(recode(plain(0x00091001, 'implicit'), 'implicit', 'explicit')).toEqual(
      plain(0x00091001, 'explicit'),
    );
  });
});

describe('what can not be done', () => {
  it('compressed pixel data under an uncompressed syntax', () => {
    const bytes = Buffer.concat([
      header(0x7fe00010, 'OB', 0xffffffff, 'explicit'),
      header(0xfffee000, '', 0, 'explicit'),
      header(0xfffee0dd, '', 0, 'explicit'),
    ]);
    expect(() => recode(bytes, 'explicit', 'implicit')).toThrow(/compressed pixel data/);
  });

  it('a data set that is cut', () => {
    const bytes = encode([{ tag: 0x00100010, vr: 'PN', value: 'A^BC' }]);
    for (let length = 1; length < bytes.length; length++)
      expect(() => recode(bytes.subarray(0, length), 'explicit', 'implicit')).toThrow(/ends inside/);
  });

  it('elements without VR, into big endian', () => {
    const content = encode([{ tag: 0x0040a160, vr: 'UT', value: 'TEXT' }], 'implicit');
    const bytes = Buffer.concat([
      header(0x0040a730, 'SQ', content.length + 8, 'explicit'),
      header(0xfffee000, '', content.length, 'explicit'),
      content,
    ]);
    expect(() => recode(bytes, 'explicit', 'big')).toThrow(/without VR/);
    expect(decoded(recode(bytes, 'explicit', 'implicit'), 'implicit')).toEqual(decoded(bytes, 'explicit'));
  });
});

describe('cost', () => {
  it('hands large values on as slices', () => {
    const pixels = Buffer.alloc(512 * 1024, 1);
    const dataSet = encode([{ tag: 0x7fe00010, vr: 'OW', value: pixels }]);
    const recoder = new Recoder(ENCODINGS.explicit, ENCODINGS.implicit);
    const out = [...recoder.push(dataSet), ...recoder.finish()];
    expect(out.map(({ length }) => length)).toEqual([8, pixels.length]);
    expect(out[1]!.buffer).toBe(dataSet.buffer);
  });

  it('lets 2 GiB pass', () => {
    const chunk = Buffer.alloc(1024 * 1024, 5);
    const recoder = new Recoder(ENCODINGS.explicit, ENCODINGS.implicit);
    recoder.push(header(0x7fe00010, 'OW', 2 ** 31, 'explicit'));
    let total = 0;
    for (let count = 0; count < 2048; count++)
      for (const bytes of recoder.push(chunk)) {
        expect(bytes.buffer).toBe(chunk.buffer);
        total += bytes.length;
      }
    expect(recoder.finish()).toEqual([]);
    expect(total).toBe(2 ** 31);
  });
});
