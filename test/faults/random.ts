/** Chance that can be had again: the seed is printed with every failure. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000;
  };
}

/** ISOCENTER_FAULT_SEED, else the clock. */
export function faultSeed(): number {
  const given = process.env['ISOCENTER_FAULT_SEED'];
  return given === undefined ? Date.now() & 0x7fffffff : Number(given);
}
