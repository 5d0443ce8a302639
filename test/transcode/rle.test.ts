import fc from 'fast-check';
import { decodeRle } from '../../src/transcode/rle';
import { GREY, literal, rleOf } from './frames';

const bytes = (array: Uint8Array): number[] => [...array];

it('literal runs, replicated runs and bytes that mean nothing', () => {
  const segment = Buffer.of(0x80, 1, 7, 8, 0x80, 0xfe, 9, 0, 1);
  expect(bytes(decodeRle(rleOf(segment), GREY))).toEqual([7, 8, 9, 9, 9, 1]);
});

it('bytes of 16 bits, the most significant segment first', () => {
  const module = { ...GREY, BitsAllocated: 16 };
  const frame = rleOf(literal([1, 2, 3, 4, 5, 6]), literal([11, 12, 13, 14, 15, 16]));
  expect(bytes(decodeRle(frame, module))).toEqual([11, 1, 12, 2, 13, 3, 14, 4, 15, 5, 16, 6]);
});

it('colours as Planar Configuration says', () => {
  const frame = rleOf(...[0, 10, 20].map((from) => literal([1, 2, 3, 4, 5, 6].map((value) => value + from))));
  const colour = { ...GREY, SamplesPerPixel: 3 };
  expect(bytes(decodeRle(frame, colour)).slice(0, 6)).toEqual([1, 11, 21, 2, 12, 22]);
  expect(bytes(decodeRle(frame, { ...colour, PlanarConfiguration: 1 })).slice(0, 8)).toEqual([
    1, 2, 3, 4, 5, 6, 11, 12,
  ]);
});

it('32 bits', () => {
  const module = { ...GREY, Rows: 1, Columns: 2, BitsAllocated: 32 };
  const frame = rleOf(literal([1, 2]), literal([3, 4]), literal([5, 6]), literal([7, 8]));
  expect(bytes(decodeRle(frame, module))).toEqual([7, 5, 3, 1, 8, 6, 4, 2]);
});

it.each([
  ['a header that is cut', Buffer.alloc(63), /header is cut/],
  ['no segment', rleOf(), /0 segments instead of 1/],
  ['too many segments', rleOf(literal([1]), literal([2])), /2 segments instead of 1/],
  ['a segment with too few bytes', rleOf(Buffer.of(4, 1, 2, 3, 4, 5)), /segment is cut/],
  ['a literal run that is cut', rleOf(Buffer.of(5, 1, 2, 3)), /segment is cut/],
  ['a replicated run without its byte', rleOf(Buffer.of(0xfb)), /segment is cut/],
  ['a run beyond the image', rleOf(Buffer.of(0xfa, 1)), /more bytes than the image/],
  ['an empty segment', rleOf(Buffer.alloc(0)), /segment is cut/],
])('%s fails', (_, frame, reason) => {
  expect(() => decodeRle(frame, GREY)).toThrow(reason);
});

it('a segment outside of the frame fails', () => {
  for (const offset of [0, 63, 1000, 0xffffffff]) {
    const frame = rleOf(literal([1, 2, 3, 4, 5, 6]));
    frame.writeUInt32LE(offset, 4);
    expect(() => decodeRle(frame, GREY)).toThrow(/outside its frame/);
  }
});

it('whatever comes, nothing but a problem of its own is thrown', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 200 }), fc.boolean(), (noise, headed) => {
      const frame = headed ? rleOf(Buffer.from(noise)) : Buffer.from(noise);
      try {
        expect(decodeRle(frame, GREY)).toHaveLength(6);
      } catch (error) {
        expect(error).toHaveProperty('code', 'RECODE');
      }
    }),
  );
});
