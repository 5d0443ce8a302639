import { TextDecoder } from 'node:util';

/**
 * The graphic character sets of PS3.3 C.12.1.1.2, by their ISO registration number; `14` is the romaji half of `ISO_IR 13`. A set is
 * designated to G0 (bytes 20-7E) or G1 (A0-FF); 94x94 sets take two bytes a character.
 */
export interface CodedSet {
  readonly registration: string;
  readonly half: 'G0' | 'G1';
  readonly bytes: 1 | 2;
  /** What follows ESC to designate it (PS3.3 tables C.12-3 and C.12-4). */
  readonly escape: string;
}

const ROWS: readonly (readonly [string, 'G0' | 'G1', 1 | 2, string])[] = [
  ['6', 'G0', 1, '(B'],
  ['14', 'G0', 1, '(J'],
  ['13', 'G1', 1, ')I'],
  ['100', 'G1', 1, '-A'],
  ['101', 'G1', 1, '-B'],
  ['109', 'G1', 1, '-C'],
  ['110', 'G1', 1, '-D'],
  ['126', 'G1', 1, '-F'],
  ['127', 'G1', 1, '-G'],
  ['138', 'G1', 1, '-H'],
  ['144', 'G1', 1, '-L'],
  ['148', 'G1', 1, '-M'],
  ['166', 'G1', 1, '-T'],
  ['203', 'G1', 1, '-b'],
  ['87', 'G0', 2, '$B'],
  ['159', 'G0', 2, '$(D'],
  ['58', 'G1', 2, '$)A'],
  ['149', 'G1', 2, '$)C'],
];

export const CODED_SETS: ReadonlyMap<string, CodedSet> = new Map(
  ROWS.map(([registration, half, bytes, escape]) => [registration, { registration, half, bytes, escape }]),
);

const LABELS: Readonly<Record<string, string>> = {
  '100': 'iso-8859-1',
  '101': 'iso-8859-2',
  '109': 'iso-8859-3',
  '110': 'iso-8859-4',
  '126': 'iso-8859-7',
  '127': 'iso-8859-6',
  '138': 'iso-8859-8',
  '144': 'iso-8859-5',
  '148': 'iso-8859-9',
  '166': 'iso-8859-11',
  '203': 'iso-8859-15',
  '87': 'euc-jp',
  '159': 'euc-jp',
  '58': 'gb18030',
  '149': 'euc-kr',
};

const decoders = new Map<string, TextDecoder>();

function decoderOf(registration: string): TextDecoder {
  const label = LABELS[registration] ?? 'utf-8';
  let decoder = decoders.get(label);
  if (decoder === undefined) {
    decoder = new TextDecoder(label);
    decoders.set(label, decoder);
  }
  return decoder;
}

const rightHalves = new Map<string, readonly string[]>();

/** Characters of the bytes 80-FF of a one-byte G1 set; U+FFFD where there is none. C1 control bytes stay what they are. */
export function rightHalf(registration: string): readonly string[] {
  let half = rightHalves.get(registration);
  if (half === undefined) {
    half = Array.from({ length: 128 }, (_, index) => {
      const byte = index + 0x80;
      if (byte < 0xa0) return String.fromCharCode(byte);
      // JIS X 0201 katakana lie in one run of Unicode.
      if (registration === '13')
        return byte >= 0xa1 && byte <= 0xdf ? String.fromCharCode(0xff61 + byte - 0xa1) : '\uFFFD';
      return decoderOf(registration).decode(Uint8Array.of(byte));
    });
    rightHalves.set(registration, half);
  }
  return half;
}

const pairTables = new Map<string, string[]>();

/**
 * The character of a 94x94 set that has these two bytes, their high bits being of no matter; U+FFFD where there is none. Each is decoded
 * once: text made of nothing but escapes must not cost a decoder's call for every character.
 */
export function decodePair(registration: string, first: number, second: number): string {
  let table = pairTables.get(registration);
  if (table === undefined) {
    table = [];
    pairTables.set(registration, table);
  }
  const row = first & 0x7f;
  const cell = second & 0x7f;
  return (table[row * 128 + cell] ??= decodePairAnew(registration, row, cell));
}

function decodePairAnew(registration: string, row: number, cell: number): string {
  const bytes = [row | 0x80, cell | 0x80];
  // EUC-JP keeps JIS X 0212 behind a single shift.
  if (registration === '159') bytes.unshift(0x8f);
  return decoderOf(registration).decode(Uint8Array.from(bytes));
}

const inverses = new Map<string, ReadonlyMap<string, readonly number[]>>();

/** Bytes of each character of a set, found by decoding it whole once. */
export function inverseOf(set: CodedSet): ReadonlyMap<string, readonly number[]> {
  let inverse = inverses.get(set.registration);
  if (inverse === undefined) {
    inverse = set.bytes === 1 ? invertHalf(set.registration) : invertPairs(set);
    inverses.set(set.registration, inverse);
  }
  return inverse;
}

function invertHalf(registration: string): Map<string, readonly number[]> {
  const inverse = new Map<string, readonly number[]>();
  if (registration === '14') return inverse.set('¥', [0x5c]).set('‾', [0x7e]);
  if (registration === '6') return inverse;
  rightHalf(registration).forEach((character, index) => {
    if (character !== '\uFFFD') inverse.set(character, [index + 0x80]);
  });
  return inverse;
}

function invertPairs(set: CodedSet): Map<string, readonly number[]> {
  const inverse = new Map<string, readonly number[]>();
  const high = set.half === 'G1' ? 0x80 : 0;
  for (let row = 0x21; row <= 0x7e; row++) {
    for (let cell = 0x21; cell <= 0x7e; cell++) {
      const character = decodePair(set.registration, row, cell);
      // Private use stands for cells without a character; the first of doubled characters is the standard's own.
      if (/^[^\uFFFD\uE000-\uF8FF]$/u.test(character) && !inverse.has(character))
        inverse.set(character, [row | high, cell | high]);
    }
  }
  return inverse;
}
