import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { createArrivalId, parseArrivalId, parseFileName, parseSegmentName } from '../../src/store/arrival-id';
import {
  decodeSeal,
  emptySeal,
  encodeSeal,
  headerDigest,
  isEmptySeal,
  SEAL_LENGTH,
} from '../../src/store/seal';

const seals = fc.record({
  arrivalId: fc
    .record({
      segment: fc.integer({ min: 1, max: 99_999_999 }),
      sequence: fc.integer({ min: 1, max: 999_999 }),
    })
    .map(({ segment, sequence }) => createArrivalId(segment, sequence)),
  arrivedAt: fc.maxSafeNat(),
  ordinal: fc.nat(0xffff),
  dataSetOffset: fc.maxSafeNat(),
  dataSetLength: fc.maxSafeNat(),
  dataSetDigest: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
  headerDigest: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
});

describe('seal', () => {
  it('is read back as it was written', () => {
    fc.assert(
      fc.property(seals, (seal) => {
        const bytes = encodeSeal(seal);
        expect(bytes).toHaveLength(SEAL_LENGTH);
        expect(decodeSeal(bytes)).toEqual(seal);
      }),
    );
  });

  it('is refused with any single bit changed', () => {
    const [seal] = fc.sample(seals, { numRuns: 1, seed: 7 });
    const bytes = encodeSeal(seal!);
    for (let bit = 0; bit < SEAL_LENGTH * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(decodeSeal(flipped)).toBeUndefined();
      expect(isEmptySeal(flipped)).toBe(false);
    }
  });

  it('has the documented layout', () => {
    const bytes = encodeSeal({
      arrivalId: '00000012-000345-0123456789abcdef',
      arrivedAt: 0x0102_0304_0506,
      ordinal: 0x0708,
      dataSetOffset: 700,
      dataSetLength: 2 ** 40,
      dataSetDigest: Buffer.alloc(32, 0xaa),
      headerDigest: Buffer.alloc(32, 0xbb),
    });
    expect([...bytes.subarray(0, 4)]).toEqual([1, 1, 8, 7]);
    expect(bytes.toString('latin1', 8, 40)).toBe('00000012-000345-0123456789abcdef');
    expect(bytes.toString('hex', 40, 64)).toBe('0605040302010000' + 'bc02000000000000' + '0000000000010000');
    expect(bytes.toString('hex', 64)).toBe('aa'.repeat(32) + 'bb'.repeat(32));
  });

  it('is empty only as zeros of its length', () => {
    expect(isEmptySeal(emptySeal())).toBe(true);
    expect(isEmptySeal(Buffer.alloc(127))).toBe(false);
    expect(decodeSeal(emptySeal())).toBeUndefined();
  });

  it('digests a header with the place of the seal as zeros', () => {
    const header = Buffer.concat([Buffer.from('header'), Buffer.alloc(SEAL_LENGTH, 9)]);
    const zeroed = Buffer.concat([Buffer.from('header'), Buffer.alloc(SEAL_LENGTH)]);
    expect(headerDigest(header)).toEqual(createHash('sha256').update(zeroed).digest());
  });
});

describe('arrival id', () => {
  const places = fc.record({
    segment: fc.integer({ min: 1, max: 99_999_999 }),
    sequence: fc.integer({ min: 1, max: 999_999 }),
  });

  it('sorts as text in arrival order, and is parsed to what it was made of', () => {
    fc.assert(
      fc.property(places, places, (a, b) => {
        const [first, second] = [
          createArrivalId(a.segment, a.sequence),
          createArrivalId(b.segment, b.sequence),
        ];
        expect(parseArrivalId(first)).toEqual(a);
        const order = a.segment - b.segment || a.sequence - b.sequence;
        if (order !== 0) expect(first < second).toBe(order < 0);
      }),
    );
  });

  it('is nothing but its own alphabet', () => {
    const id = createArrivalId(12, 345);
    for (const text of [
      '',
      '..',
      `../${id}`,
      `${id}/..`,
      `${id}.dcm`,
      ` ${id}`,
      `${id}\n`,
      `${id}\0`,
      id.toUpperCase().replace(/[0-9]$/, 'A'),
      id.replace('-', '/'),
      id.replace('0', '０'),
      id.slice(1),
      '1.2.840.10008.5.1.4.1.1.2',
    ]) {
      expect(parseArrivalId(text)).toBeUndefined();
    }
    expect(parseFileName(`${id}.dcm`)).toBe(id);
    for (const name of [id, `${id}.dcm.dcm`, `${id}.DCM`, '.dcm', `x${id}.dcm`])
      expect(parseFileName(name)).toBeUndefined();
    for (const name of ['00000000', '1', '000000012', '0000001a', '../00001'])
      expect(parseSegmentName(name)).toBeUndefined();
    expect(parseSegmentName('00000012')).toBe(12);
  });

  it('has two of the same place differ', () => {
    expect(createArrivalId(1, 1)).not.toBe(createArrivalId(1, 1));
  });
});
