import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { Recoder } from '../../src/dicom/recode';
import { TRANSFER_SYNTAXES } from '../../src/dicom/uids';
import type { Transcoder } from '../../src/services/outgoing';
import type { After } from '../../src/transcode/decoder';
import { createTranscoder, type LosslessTranscoder } from '../../src/transcode/transcoder';
import { header, pattern, TS, type Element } from '../support/data-sets';
import { collect, encode, fragmentsOf, imageOf, literal, pieces, rleOf } from './frames';

const transcoder = createTranscoder();
// What the services expect is what is made.
const contract: Transcoder = transcoder;

afterAll(() => transcoder.close());

const PIXELS = [1, 2, 3, 4, 5, 6];
const FRAME = rleOf(literal(PIXELS));
/** A frame whose only segment is cut. */
const BROKEN = rleOf(Buffer.of(4, 1));

const BEFORE: Element[] = [
  { tag: 0x00080016, vr: 'UI', value: '1.2.3\0' },
  { tag: 0x00091001, vr: 'UN', value: Buffer.from('0102', 'hex') },
  { tag: 0x00091002, vr: 'ST', value: Buffer.from('odd') },
  {
    tag: 0x00081140,
    vr: 'SQ',
    value: { items: [[{ tag: 0x00081150, vr: 'UI', value: '1.2\0' }], []] },
  },
];
const AFTER: Element[] = [{ tag: 0xfffcfffc, vr: 'OB', value: Buffer.alloc(6) }];

const compressed = (image: readonly Element[], pixels: Buffer): Buffer =>
  Buffer.concat([encode([...BEFORE, ...image]), pixels, encode(AFTER)]);
const plain = (image: readonly Element[], vr: string, pixels: readonly number[] | Buffer): Buffer =>
  encode([...BEFORE, ...image, { tag: 0x7fe00010, vr, value: Buffer.from(pixels) }, ...AFTER]);

const transcode = (dataSet: Buffer, from: string, to: string = TS.explicit, size = 1000): Promise<Buffer> =>
  collect(contract.transcode(pieces(dataSet, size), from, to));

function recode(dataSet: Buffer, littleEndian: boolean, explicit: boolean): Buffer {
  const recoder = new Recoder({ explicit: true, littleEndian: true }, { explicit, littleEndian });
  return Buffer.concat([...recoder.push(dataSet), ...recoder.finish()]);
}

/** What came out before it failed, and the failure. */
async function failing(
  source: AsyncIterable<Buffer>,
): Promise<{ length: number; error: Error & { code?: string } }> {
  let length = 0;
  try {
    for await (const bytes of source) length += bytes.length;
  } catch (error) {
    return { length, error: error as Error };
  }
  throw new Error('it did not fail');
}

describe('targets', () => {
  const native = [TS.explicit, TS.implicit, TS.big, TS.deflated];

  it('uncompressed syntaxes can be brought into each other', () => {
    for (const from of native) expect(contract.targets(from)).toEqual(native.filter((uid) => uid !== from));
  });

  it('compressed ones that can be decoded into any of them; all others stay as they are', () => {
    const decodable = TRANSFER_SYNTAXES.filter(({ uid }) => contract.targets(uid).length === 4).map(
      ({ uid }) => uid.replace('1.2.840.10008.1.2', ''),
    );
    expect(decodable).toEqual([
      '.4.50',
      '.4.57',
      '.4.70',
      '.4.80',
      '.4.81',
      '.4.90',
      '.4.91',
      '.4.201',
      '.4.202',
      '.4.203',
      '.5',
    ]);
    for (const uid of [TS.mpeg4, '1.2.840.10008.1.2.4.51', '1.2.3'])
      expect(contract.targets(uid)).toEqual([]);
  });

  it('another one fails', async () => {
    const { error } = await failing(contract.transcode(pieces(FRAME), TS.mpeg4, TS.explicit));
    expect(error).toMatchObject({ code: 'TRANSCODE_FAILED', message: expect.stringContaining('no way') });
  });
});

describe('compressed images', () => {
  it.each([1, 3, 64, 100000])('all but the pixels stays byte for byte, in pieces of %d', async (size) => {
    const image = imageOf({});
    expect(await transcode(compressed(image, fragmentsOf([FRAME])), TS.rle, TS.explicit, size)).toEqual(
      plain(image, 'OB', PIXELS),
    );
  });

  it('go on into the other uncompressed syntaxes', async () => {
    const image = imageOf({
      BitsAllocated: 16,
      BitsStored: 12,
      SamplesPerPixel: 3,
      PhotometricInterpretation: 'RGB',
    });
    const low = literal([1, 2, 3, 4, 5, 6]);
    const high = literal([7, 8, 9, 10, 11, 12]);
    const dataSet = compressed(image, fragmentsOf([rleOf(high, low, high, low, high, low)]));
    const explicit = await transcode(dataSet, TS.rle);
    const pixels = [7, 8, 9, 10, 11, 12].flatMap((byte, index) => [
      index + 1,
      byte,
      index + 1,
      byte,
      index + 1,
      byte,
    ]);
    expect(explicit).toEqual(plain(image, 'OW', pixels));
    expect(await transcode(dataSet, TS.rle, TS.implicit)).toEqual(recode(explicit, true, false));
    expect(await transcode(dataSet, TS.rle, TS.big)).toEqual(recode(explicit, false, true));
    expect(inflateRawSync(await transcode(dataSet, TS.rle, TS.deflated))).toEqual(explicit);
  });

  it('of an odd number of bytes are padded', async () => {
    const image = imageOf({ Rows: 1, NumberOfFrames: 3 });
    const frames = [1, 4, 7].map((from) => rleOf(literal([from, from + 1, from + 2])));
    expect(await transcode(compressed(image, fragmentsOf(frames)), TS.rle)).toEqual(
      plain(image, 'OB', [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]),
    );
  });

  it('may have an offset table, basic or extended', async () => {
    const image = imageOf({ NumberOfFrames: 2 });
    const halves = [FRAME.subarray(0, 20), FRAME.subarray(20)];
    const fragments = [...halves, FRAME];
    const table = [0, 16 + FRAME.length];
    const expected = plain(image, 'OB', [...PIXELS, ...PIXELS]);
    expect(await transcode(compressed(image, fragmentsOf(fragments, { table })), TS.rle)).toEqual(expected);

    const offsets = Buffer.alloc(16);
    table.forEach((offset, index) => offsets.writeBigUInt64LE(BigInt(offset), 8 * index));
    const extended: Element[] = [
      ...image,
      { tag: 0x7fe00001, vr: 'OV', value: offsets },
      { tag: 0x7fe00002, vr: 'OV', value: Buffer.alloc(16, 1) },
      { tag: 0x7fe00003, vr: 'UV', value: Buffer.alloc(8, 1) },
    ];
    expect(await transcode(compressed(extended, fragmentsOf(fragments)), TS.rle)).toEqual(expected);
  });

  it('of YBR_FULL_422 have all of their chroma afterwards, in planes if they say so', async () => {
    const of = (PhotometricInterpretation: string): Element[] =>
      imageOf({ SamplesPerPixel: 3, PhotometricInterpretation, PlanarConfiguration: 1 });
    const planes = [PIXELS, PIXELS, PIXELS].map(literal);
    expect(await transcode(compressed(of('YBR_FULL_422'), fragmentsOf([rleOf(...planes)])), TS.rle)).toEqual(
      plain(of('YBR_FULL'), 'OB', [...PIXELS, ...PIXELS, ...PIXELS]),
    );
  });

  it('take the lengths of their groups with them, and no others', async () => {
    const length = (tag: number): Element => ({ tag, vr: 'UL', value: [99] });
    const image = imageOf({});
    const dataSet = Buffer.concat([
      encode([length(0x00080000), length(0x00280000), ...image, length(0x7fe00000)]),
      fragmentsOf([FRAME]),
    ]);
    expect(await transcode(dataSet, TS.rle)).toEqual(
      encode([length(0x00080000), ...image, { tag: 0x7fe00010, vr: 'OB', value: Buffer.from(PIXELS) }]),
    );
  });

  it('a data set without pixel data passes', async () => {
    const dataSet = encode([...BEFORE, ...imageOf({})]);
    expect(await transcode(dataSet, TS.rle, TS.explicit, 5)).toEqual(dataSet);
    expect(await transcode(dataSet, TS.rle, TS.implicit)).toEqual(recode(dataSet, true, false));
  });

  describe('inside sequences', () => {
    const iconImage = imageOf({ SamplesPerPixel: 3, PhotometricInterpretation: 'YBR_FULL_422' });
    const iconPixels = PIXELS.flatMap((value) => [value, value, value]);
    const native = (vr: string, undefinedLength: boolean, image = iconImage): Element => ({
      tag: 0x00880200,
      vr: 'SQ',
      value: {
        undefinedLength,
        items: [[...image, { tag: 0x7fe00010, vr, value: Buffer.from(iconPixels) }]],
      },
    });
    const image = imageOf({});

    it('native icons stay as they are', async () => {
      const elements = [...image, native('OB', false)];
      expect(await transcode(compressed(elements, fragmentsOf([FRAME])), TS.rle)).toEqual(
        plain(elements, 'OB', PIXELS),
      );
    });

    it.each([true, false])(
      'compressed icons are decompressed too; defined lengths around: %s',
      async (defined) => {
        const content = Buffer.concat([
          encode(iconImage),
          fragmentsOf([rleOf(...[PIXELS, PIXELS, PIXELS].map(literal))]),
        ]);
        const delimiters = defined
          ? []
          : [header(0xfffee00d, '', 0, 'explicit'), header(0xfffee0dd, '', 0, 'explicit')];
        const sequence = Buffer.concat([
          header(0x00880200, 'SQ', defined ? content.length + 8 : 0xffffffff, 'explicit'),
          header(0xfffee000, '', defined ? content.length : 0xffffffff, 'explicit'),
          content,
          ...delimiters,
        ]);
        const dataSet = Buffer.concat([encode([...BEFORE, ...image]), sequence, fragmentsOf([FRAME])]);
        const full = imageOf({ SamplesPerPixel: 3, PhotometricInterpretation: 'YBR_FULL' });
        const expected = encode([
          ...BEFORE,
          ...image,
          native('OB', true, full),
          { tag: 0x7fe00010, vr: 'OB', value: Buffer.from(PIXELS) },
        ]);
        for (const size of [7, 100000]) {
          expect(await transcode(dataSet, TS.rle, TS.explicit, size)).toEqual(expected);
          expect(await transcode(dataSet, TS.rle, TS.implicit, size)).toEqual(recode(expected, true, false));
        }
      },
    );
  });
});

describe('failures', () => {
  it.each<[string, Element[], Buffer, RegExp]>([
    ['1 bit', imageOf({ BitsAllocated: 1 }), fragmentsOf([FRAME]), /1 bits allocated/],
    ['4 samples', imageOf({ SamplesPerPixel: 4 }), fragmentsOf([FRAME]), /4 samples/],
    ['no rows', imageOf({ Rows: 0 }), fragmentsOf([FRAME]), /Rows or Columns/],
    ['frames that are no number', imageOf({ NumberOfFrames: '1.5 ' }), fragmentsOf([FRAME]), /no count/],
    ['4 GiB', imageOf({ NumberOfFrames: 0x40000000 }), fragmentsOf([FRAME]), /4 GiB/],
    ['a huge frame', imageOf({ Rows: 65535, Columns: 65535 }), fragmentsOf([FRAME]), /MiB can't/],
    ['a broken frame', imageOf({}), fragmentsOf([BROKEN]), /RLE segment is cut/],
    ['too few frames', imageOf({ NumberOfFrames: 2 }), fragmentsOf([FRAME]), /has 1 frames and says 2/],
    ['no frame', imageOf({}), fragmentsOf([]), /has 0 frames/],
    [
      'pixels that are not in fragments',
      [...imageOf({}), { tag: 0x7fe00010, vr: 'OB', value: FRAME }],
      Buffer.alloc(0),
      /not in fragments/,
    ],
    [
      'a cut data set',
      imageOf({}),
      fragmentsOf([FRAME], { delimiter: false }).subarray(0, -9),
      /ends inside/,
    ],
  ])('%s: before the first byte, with the reason and without a value', async (_, image, pixels, reason) => {
    const dataSet = Buffer.concat([encode([...BEFORE, ...image]), pixels]);
    const { length, error } = await failing(contract.transcode(pieces(dataSet, 50), TS.rle, TS.implicit));
    expect(length).toBe(0);
    expect(error).toMatchObject({ code: 'TRANSCODE_FAILED', message: expect.stringMatching(reason) });
    expect(error.message).toContain('from RLE Lossless to Implicit VR Little Endian: ');
  });

  it('a later frame: in the middle', async () => {
    const image = imageOf({ NumberOfFrames: 3 });
    const dataSet = compressed(image, fragmentsOf([FRAME, BROKEN, FRAME]));
    const { length, error } = await failing(contract.transcode(pieces(dataSet), TS.rle, TS.explicit));
    expect(length).toBeGreaterThan(PIXELS.length);
    expect(error.message).toMatch(/RLE segment is cut/);
  });

  it.each([TS.rle, TS.explicit, TS.deflated])(
    'of the source (%s) come as they are, and it is closed',
    async (from) => {
      const failure = Object.assign(new Error('damaged'), { code: 'FILE_DAMAGED' });
      let closed = 0;
      async function* source(): AsyncGenerator<Buffer> {
        try {
          yield from === TS.deflated ? deflateRawSync(encode(BEFORE)).subarray(0, 20) : encode(BEFORE);
          throw failure;
        } finally {
          closed++;
        }
      }
      expect((await failing(contract.transcode(source(), from, TS.implicit))).error).toBe(failure);
      expect(closed).toBe(1);
    },
  );

  it.each([TS.rle, TS.explicit, TS.deflated])(
    'a consumer that leaves closes the source (%s)',
    async (from) => {
      const dataSet = encode([...BEFORE, { tag: 0x7fe00010, vr: 'OW', value: pattern(100000, 1) }]);
      let closed = 0;
      async function* source(): AsyncGenerator<Buffer> {
        try {
          if (from === TS.rle) yield compressed(imageOf({}), fragmentsOf([FRAME]));
          for (;;) yield from === TS.deflated ? deflateRawSync(dataSet) : dataSet;
        } finally {
          closed++;
        }
      }
      for await (const bytes of contract.transcode(source(), from, TS.implicit)) {
        expect(bytes.length).toBeGreaterThan(0);
        break;
      }
      expect(closed).toBe(1);
    },
  );
});

describe('deflated', () => {
  const dataSet = encode([...BEFORE, { tag: 0x00104000, vr: 'LT', value: 'x'.repeat(5000) }]);

  it('is inflated and deflated, nothing else where VR and order of bytes stay', async () => {
    const deflated = await transcode(dataSet, TS.explicit, TS.deflated);
    expect(inflateRawSync(deflated)).toEqual(dataSet);
    expect(await transcode(deflated, TS.deflated, TS.explicit, 3)).toEqual(dataSet);
    expect(await transcode(deflated, TS.deflated, TS.implicit)).toEqual(recode(dataSet, true, false));
    expect(inflateRawSync(await transcode(recode(dataSet, false, true), TS.big, TS.deflated))).toEqual(
      dataSet,
    );
  });

  it('has an even length (PS3.5 A.5), and a byte behind its end is none of it', async () => {
    const odd = new Set<number>();
    for (let size = 2; size < 40; size += 2) {
      const elements = encode([{ tag: 0x00104000, vr: 'LT', value: pattern(size * 4, size) }]);
      odd.add(deflateRawSync(elements).length % 2);
      const deflated = await transcode(elements, TS.explicit, TS.deflated);
      expect(deflated.length % 2).toBe(0);
      expect(await transcode(deflated, TS.deflated, TS.explicit, 1)).toEqual(elements);
      expect(
        await transcode(Buffer.concat([deflated, Buffer.alloc(3000)]), TS.deflated, TS.explicit, 10),
      ).toEqual(elements);
    }
    expect(odd).toEqual(new Set([0, 1]));
  });

  it('that is cut or no such stream fails', async () => {
    const cut = deflateRawSync(dataSet).subarray(0, -2);
    expect((await failing(contract.transcode(pieces(cut), TS.deflated, TS.implicit))).error).toMatchObject({
      code: 'TRANSCODE_FAILED',
      message: expect.stringContaining('ends early'),
    });
    const noise = Buffer.alloc(100, 0xff);
    expect((await failing(contract.transcode(pieces(noise), TS.deflated, TS.explicit))).error).toMatchObject({
      code: 'TRANSCODE_FAILED',
      message: expect.stringContaining('no valid deflated stream'),
    });
  });
});

describe('the thread', () => {
  const good = compressed(imageOf({}), fragmentsOf([FRAME]));
  const frame = 111;
  const idle = 222;
  let timers: { milliseconds: number; callback: () => void }[];
  let other: LosslessTranscoder;
  const after: After = (milliseconds, callback) => {
    const timer = { milliseconds, callback };
    timers.push(timer);
    return () => {
      timers = timers.filter((each) => each !== timer);
    };
  };
  const make = (): LosslessTranscoder => createTranscoder({ frameTimeout: frame, idleTimeout: idle, after });
  const run = (dataSet: Buffer): Promise<Buffer> =>
    collect(other.transcode(pieces(dataSet), TS.rle, TS.explicit));

  beforeEach(() => {
    timers = [];
    other = make();
  });
  afterEach(() => other.close());

  it('is not started for what needs no decoder', async () => {
    await collect(other.transcode(pieces(encode(BEFORE)), TS.explicit, TS.implicit));
    expect(other.decoding).toBe(false);
    expect(timers).toEqual([]);
  });

  it('is there from the first frame until it was idle for long', async () => {
    await run(good);
    expect(other.decoding).toBe(true);
    expect(timers.map(({ milliseconds }) => milliseconds)).toEqual([idle]);
    timers[0]!.callback();
    expect(other.decoding).toBe(false);
    expect(await run(good)).toEqual(plain(imageOf({}), 'OB', PIXELS));
  });

  it('a frame that takes too long fails alone', async () => {
    const slow = failing(other.transcode(pieces(good), TS.rle, TS.explicit));
    const next = run(good);
    while (timers.length === 0) await new Promise(setImmediate);
    expect(timers.map(({ milliseconds }) => milliseconds)).toEqual([frame]);
    timers[0]!.callback();
    expect(await slow).toMatchObject({
      length: 0,
      error: { code: 'TRANSCODE_FAILED', message: expect.stringContaining('not decoded within') },
    });
    expect(await next).toEqual(plain(imageOf({}), 'OB', PIXELS));
  });

  it('what waits at the end fails, and what comes later', async () => {
    const waiting = failing(other.transcode(pieces(good), TS.rle, TS.explicit));
    while (timers.length === 0) await new Promise(setImmediate);
    await other.close();
    expect((await waiting).error.message).toContain('stopping');
    expect((await failing(other.transcode(pieces(good), TS.rle, TS.explicit))).error.message).toContain(
      'stopping',
    );
    expect(other.decoding).toBe(false);
  });

  it('survives streams that break its codecs', async () => {
    // JPEG-LS whose head is right and whose data are noise.
    const head = Buffer.from('ffd8fff7000b080002000301011100ffda0008010100000000', 'hex');
    const noise = Buffer.concat([
      head,
      pattern(400, 3).map((byte) => byte & 0x7f),
      Buffer.from('ffd9', 'hex'),
    ]);
    const broken = compressed(
      imageOf({ Rows: 2, Columns: 3 }),
      fragmentsOf([noise.subarray(0, 40), noise.subarray(40)]),
    );
    const cut = compressed(imageOf({}), fragmentsOf([Buffer.concat([head, Buffer.from('ffd9', 'hex')])]));
    for (const dataSet of [broken, cut]) {
      const { length, error } = await failing(other.transcode(pieces(dataSet), TS.jpegLs, TS.explicit));
      expect(length).toBe(0);
      expect(error).toMatchObject({
        code: 'TRANSCODE_FAILED',
        message: expect.stringContaining('the decoder broke down'),
      });
      expect(await run(good)).toEqual(plain(imageOf({}), 'OB', PIXELS));
    }
  });
});

it('frames pass one by one, however many a piece holds', async () => {
  // 200 frames of 1 MiB from 3 MB: each run is 128 times the same byte.
  const Rows = 1024;
  const run = Buffer.concat(Array.from({ length: (Rows * Rows) / 128 }, () => Buffer.of(0x81, 7)));
  const dataSet = compressed(
    imageOf({ Rows, Columns: Rows, NumberOfFrames: 200 }),
    fragmentsOf(Array.from({ length: 200 }, () => rleOf(run))),
  );
  let total = 0;
  let most = 0;
  const before = process.memoryUsage().arrayBuffers;
  for await (const bytes of transcoder.transcode(pieces(dataSet, dataSet.length), TS.rle, TS.explicit)) {
    total += bytes.length;
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  expect(total).toBeGreaterThan(200 * Rows * Rows);
  expect(most).toBeLessThan(100 * 1024 * 1024);
});
