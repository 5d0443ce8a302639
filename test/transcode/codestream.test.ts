import { readJpeg2000 } from '../../src/transcode/codestream-j2k';
import { asYbr, readJpeg } from '../../src/transcode/codestream-jpeg';

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');

/** SOF0 of 16 rows and 32 columns with components of the given names; SOS behind it. */
function jpeg(ids: readonly number[], before = '', sof = 'c0'): Buffer {
  const components = ids.map((id) => `${id.toString(16).padStart(2, '0')}1100`).join('');
  const length = (8 + 3 * ids.length).toString(16).padStart(4, '0');
  const scan = ids.map((id) => `${id.toString(16).padStart(2, '0')}00`).join('');
  const scanLength = (6 + 2 * ids.length).toString(16).padStart(4, '0');
  return hex(
    `ffd8 ${before} ff${sof} ${length} 08 0010 0020 0${ids.length} ${components} ffda ${scanLength} 0${ids.length} ${scan} 000000 1234 ffd9`,
  );
}

const JFIF = 'ffe0 0010 4a46494600 0101 00 0001 0001 0000';
const adobe = (transform: number): string => `ffee 000e 41646f6265 0064 0000 0000 0${transform}`;

describe('JPEG', () => {
  it('tells size, samples and precision', () => {
    expect(readJpeg(jpeg([1]))).toMatchObject({
      rows: 16,
      columns: 32,
      samples: 1,
      precision: 8,
      planar: false,
    });
    expect(readJpeg(jpeg([1, 2, 3], JFIF, 'c3'))).toMatchObject({ samples: 3 });
  });

  it.each([
    [[1, 2, 3], '', true],
    [[82, 71, 66], '', false],
    [[82, 71, 66], JFIF, true],
    [[1, 2, 3], adobe(0), false],
    [[82, 71, 66], adobe(1), true],
  ])('components %j after "%s" look like YCbCr: %s', (ids, before, expected) => {
    const frame = jpeg(ids, before);
    expect(readJpeg(frame).looksLikeYbr).toBe(expected);
    expect(readJpeg(asYbr(frame)).looksLikeYbr).toBe(true);
  });

  it('JPEG-LS of three samples without interleaving comes in planes', () => {
    const frame = jpeg([1, 2, 3], '', 'f7');
    expect(readJpeg(frame).planar).toBe(true);
    // ILV is the last but one of the scan header.
    frame[frame.length - 6] = 2;
    expect(readJpeg(frame).planar).toBe(false);
  });

  it('JPEG-LS without an end is cut; padding behind the end is none of it', () => {
    const frame = jpeg([1], '', 'f7');
    expect(() => readJpeg(frame.subarray(0, -2))).toThrow(/cut/);
    expect(readJpeg(Buffer.concat([frame, Buffer.alloc(1)])).rows).toBe(16);
  });

  it('is cut wherever its head is', () => {
    const frame = jpeg([1, 2, 3], JFIF);
    const head = frame.indexOf(hex('ffda')) + 2;
    for (let length = 0; length < head; length++)
      expect(() => readJpeg(frame.subarray(0, length))).toThrow(/is cut/);
  });

  it.each([
    ['ffd7', /no JPEG stream/],
    ['ffd8 1234', /no marker/],
    ['ffd8 ffd9', /cut/],
    ['ffd8 ffda 0008 01 0100 000000', /no frame header/],
  ])('%s is none', (bytes, reason) => {
    expect(() => readJpeg(hex(bytes))).toThrow(reason);
  });
});

/** SIZ of 300 x 200 and 12 bits, COD with or without MCT, one tile-part of `size` bytes. */
function j2k({ ssiz = ['0b'], step = '01', mct = 0, tile = 300, psot = 16, content = 4 } = {}): Buffer {
  const components = ssiz.map((depth) => `${depth}${step}01`).join('');
  const size = (38 + 3 * ssiz.length).toString(16).padStart(4, '0');
  const u32 = (value: number): string => value.toString(16).padStart(8, '0');
  return hex(
    `ff4f ff51 ${size} 0000 ${u32(310)} ${u32(220)} ${u32(10)} ${u32(20)} ${u32(tile)} ${u32(tile)} ${u32(10)} ${u32(20)}
     ${ssiz.length.toString(16).padStart(4, '0')} ${components} ff52 000c 00 00 0001 0${mct} 05 04 04 00 01
     ff90 000a 0000 ${u32(psot)} 00 01 ff93 ${'00'.repeat(content - 2)} ffd9`,
  );
}

describe('JPEG 2000', () => {
  it('tells size without its offset, precision, sign and transformation', () => {
    expect(readJpeg2000(j2k())).toMatchObject({
      columns: 300,
      rows: 200,
      samples: 1,
      precision: 12,
      signed: false,
      transformed: false,
    });
    expect(readJpeg2000(j2k({ ssiz: ['8f'] }))).toMatchObject({ precision: 16, signed: true });
    expect(readJpeg2000(j2k({ ssiz: ['07', '07', '07'], mct: 1 }))).toMatchObject({
      samples: 3,
      transformed: true,
    });
  });

  it.each([
    ['components of different depths', j2k({ ssiz: ['07', '0b', '07'] }), /differ in depth/],
    ['subsampled components', j2k({ step: '02' }), /differ in size/],
    ['too many tiles', j2k({ tile: 1 }), /too many tiles/],
    ['no tile size', j2k({ tile: 0 }), /too many tiles/],
    ['a tile-part beyond the end', j2k({ psot: 60 }), /cut/],
    ['a tile-part without room', j2k({ psot: 8 }), /no room/],
    ['something else', hex('ffd8ffe0'), /no JPEG 2000/],
  ])('%s fails', (_, frame, reason) => {
    expect(() => readJpeg2000(frame)).toThrow(reason);
  });

  it('a tile-part that reaches to the end is followed no further, if there is an end', () => {
    expect(readJpeg2000(j2k({ psot: 0 })).rows).toBe(200);
    expect(readJpeg2000(Buffer.concat([j2k(), Buffer.alloc(1)])).rows).toBe(200);
    expect(() => readJpeg2000(j2k({ psot: 0 }).subarray(0, -2))).toThrow(/cut/);
  });

  it('is cut wherever its head is', () => {
    const frame = j2k();
    for (let length = 4; length < frame.length; length++)
      expect(() => readJpeg2000(frame.subarray(0, length))).toThrow(/is cut/);
  });

  it('is found in a JP2 file', () => {
    const box = (type: string, content: Buffer, length = content.length + 8): Buffer => {
      const head = Buffer.alloc(8);
      head.writeUInt32BE(length);
      head.write(type, 4, 'latin1');
      return Buffer.concat([head, content]);
    };
    const start = [box('jP  ', hex('0d0a870a')), box('ftyp', Buffer.alloc(12))];
    expect(readJpeg2000(Buffer.concat([...start, box('jp2c', j2k())])).bytes).toHaveLength(j2k().length);
    expect(readJpeg2000(Buffer.concat([...start, box('jp2c', j2k(), 0)])).rows).toBe(200);
    expect(() => readJpeg2000(Buffer.concat([...start, box('jp2c', j2k(), 9999)]))).toThrow(/cut/);
    expect(() => readJpeg2000(Buffer.concat([...start, box('none', Buffer.alloc(0), 2)]))).toThrow(
      /no codestream/,
    );
  });
});
