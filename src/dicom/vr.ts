/** What PS3.5 6.2 and 7.1.2 say of a value representation. */
export interface ValueRepresentation {
  readonly name: string;
  /** Its length stands in 32 bits after two reserved bytes (PS3.5 7.1.2). */
  readonly long: boolean;
  /** Bytes that change places between the byte orders; 1 = none. */
  readonly unit: 1 | 2 | 4 | 8;
  /** Backslash separates values. */
  readonly multiple: boolean;
  /** Its characters are those of (0008,0005) (PS3.5 6.1.2.3). */
  readonly text: boolean;
}

const ROWS: readonly (readonly [string, boolean, 1 | 2 | 4 | 8, boolean, boolean])[] = [
  ['AE', false, 1, true, false],
  ['AS', false, 1, true, false],
  ['AT', false, 2, false, false],
  ['CS', false, 1, true, false],
  ['DA', false, 1, true, false],
  ['DS', false, 1, true, false],
  ['DT', false, 1, true, false],
  ['FD', false, 8, false, false],
  ['FL', false, 4, false, false],
  ['IS', false, 1, true, false],
  ['LO', false, 1, true, true],
  ['LT', false, 1, false, true],
  ['OB', true, 1, false, false],
  ['OD', true, 8, false, false],
  ['OF', true, 4, false, false],
  ['OL', true, 4, false, false],
  ['OV', true, 8, false, false],
  ['OW', true, 2, false, false],
  ['PN', false, 1, true, true],
  ['SH', false, 1, true, true],
  ['SL', false, 4, false, false],
  ['SQ', true, 1, false, false],
  ['SS', false, 2, false, false],
  ['ST', false, 1, false, true],
  ['SV', true, 8, false, false],
  ['TM', false, 1, true, false],
  ['UC', true, 1, true, true],
  ['UI', false, 1, true, false],
  ['UL', false, 4, false, false],
  ['UN', true, 1, false, false],
  ['UR', true, 1, false, false],
  ['US', false, 2, false, false],
  ['UT', true, 1, false, true],
  ['UV', true, 8, false, false],
];

const byName = new Map<string, ValueRepresentation>();
/** By its two bytes as they stand in an explicit header. */
const byCode = new Map<number, ValueRepresentation>();
for (const [name, long, unit, multiple, text] of ROWS) {
  const row = { name, long, unit, multiple, text };
  byName.set(name, row);
  byCode.set(codeOf(name), row);
}

/** A VR of PS3.5 6.2, or undefined. */
export function valueRepresentation(name: string): ValueRepresentation | undefined {
  return byName.get(name);
}

/** By the two bytes of an explicit header, first byte in the upper half; undefined for a VR that PS3.5 6.2 doesn't have. */
export function valueRepresentationOfCode(code: number): ValueRepresentation | undefined {
  return byCode.get(code);
}

/** The two bytes of a VR as a number, first byte in the upper half. */
export function codeOf(name: string): number {
  return (name.charCodeAt(0) << 8) | name.charCodeAt(1);
}

/** Swaps the byte order of values in place; a rest that is no whole unit stays as it is. */
export function swapUnits(bytes: Buffer, unit: 1 | 2 | 4 | 8): void {
  if (unit === 1) return;
  const whole = bytes.subarray(0, bytes.length - (bytes.length % unit));
  if (unit === 2) whole.swap16();
  else if (unit === 4) whole.swap32();
  else whole.swap64();
}
