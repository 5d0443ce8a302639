import type { Codec } from '../../src/transcode/pixel-module';
import { FrameAssembler } from '../../src/transcode/fragments';

const SOI = Buffer.from('ffd8ffe0', 'hex');
const start = (text: string): Buffer => Buffer.concat([SOI, Buffer.from(text)]);

/** The frames that come out of fragments, as text without SOI. */
function assemble(
  codec: Codec,
  frames: number,
  fragments: readonly Buffer[],
  table?: readonly number[],
  size = 1000,
): string[] {
  const found: string[] = [];
  const assembler = new FrameAssembler(codec, { frames, frameSize: size }, (frame) => {
    found.push(Buffer.from(frame).toString('latin1').replaceAll(SOI.toString('latin1'), ''));
  });
  if (table !== undefined) assembler.table(table);
  let offset = 500;
  for (const fragment of fragments) {
    assembler.begin(offset, fragment.length);
    for (const byte of fragment) assembler.data(Buffer.of(byte));
    assembler.end();
    offset += 8 + fragment.length;
  }
  assembler.finish();
  return found;
}

const four = [start('AA'), Buffer.from('aaaa'), start('BB'), Buffer.from('bbbb')];

it('all fragments are the one frame of a single-frame image', () => {
  expect(assemble('jpeg', 1, four)).toEqual(['AAaaaaBBbbbb']);
  expect(assemble('rle', 1, [Buffer.from('AB'), Buffer.from('CD')])).toEqual(['ABCD']);
});

it('frames begin where the offset table says', () => {
  const plain = ['AA', 'aa', 'BB', 'bb'].map((text) => Buffer.from(text));
  expect(assemble('rle', 2, plain, [0, 20])).toEqual(['AAaa', 'BBbb']);
  expect(assemble('jpeg-2000', 3, plain, [0, 10, 30])).toEqual(['AA', 'aaBB', 'bb']);
});

it('without a table a frame of the JPEG family begins with a stream', () => {
  expect(assemble('jpeg', 2, four)).toEqual(['AAaaaa', 'BBbbbb']);
  const j2k = Buffer.from('ff4fff51', 'hex');
  expect(assemble('jpeg-2000', 2, [j2k, j2k, Buffer.from('rest')])).toHaveLength(2);
});

it('an RLE frame always is one fragment', () => {
  expect(assemble('rle', 2, [Buffer.from('AA'), Buffer.from('BB')])).toEqual(['AA', 'BB']);
});

it.each([
  ['too few entries', [0]],
  ['not from 0', [8, 20]],
  ['not ascending', [0, 0]],
])('a table that can not be right is not used: %s', (_, table) => {
  expect(assemble('jpeg', 2, four, table)).toEqual(['AAaaaa', 'BBbbbb']);
});

it.each([
  ['a table that meets no fragment', 2, [0, 3], /has 1 frames and says 2/],
  ['too few frames', 3, undefined, /has 2 frames and says 3/],
])('%s fails', (_, frames, table, reason) => {
  expect(() => assemble('jpeg', frames, four, table)).toThrow(reason);
});

it('more frames than announced fail before they are decoded', () => {
  const six = [...four, start('CC'), start('DD')];
  expect(() => assemble('jpeg', 2, six)).toThrow(/more frames than the 2/);
  expect(() =>
    assemble(
      'rle',
      2,
      ['A', 'B', 'C'].map((text) => Buffer.from(text)),
    ),
  ).toThrow(/more frames/);
});

it('no fragment at all is no frame', () => {
  expect(() => assemble('jpeg', 1, [])).toThrow(/has 0 frames/);
});

it('what is far larger than its pixels is refused before it is held', () => {
  const assembler = new FrameAssembler('jpeg', { frames: 1, frameSize: 1000 }, () => undefined);
  expect(() => assembler.begin(0, 0xfffffff0)).toThrow(/far larger/);
});
