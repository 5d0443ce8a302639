import { SealClock, type SealTime } from '../../src/store/seal-clock';

function times(clock: number[], count = clock.length): SealTime[] {
  const left = [...clock];
  const seals = new SealClock(() => left.shift() ?? clock.at(-1) ?? 0);
  return Array.from({ length: count }, () => seals.next());
}

describe('SealClock', () => {
  it('counts within a millisecond', () => {
    expect(times([10, 10, 11, 11, 11])).toEqual([
      { arrivedAt: 10, ordinal: 0 },
      { arrivedAt: 10, ordinal: 1 },
      { arrivedAt: 11, ordinal: 0 },
      { arrivedAt: 11, ordinal: 1 },
      { arrivedAt: 11, ordinal: 2 },
    ]);
  });

  it('never goes back, whatever the clock does', () => {
    expect(times([10, 3, 4, 11])).toEqual([
      { arrivedAt: 10, ordinal: 0 },
      { arrivedAt: 10, ordinal: 1 },
      { arrivedAt: 10, ordinal: 2 },
      { arrivedAt: 11, ordinal: 0 },
    ]);
  });

  it('goes on to the next millisecond where the count is full', () => {
    expect(times([10], 65_538).slice(-2)).toEqual([
      { arrivedAt: 11, ordinal: 0 },
      { arrivedAt: 11, ordinal: 1 },
    ]);
  });
});
