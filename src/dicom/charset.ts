import { TextDecoder } from 'node:util';
import { CODED_SETS, decodePair, rightHalf } from './coded-sets';
import { valueRepresentation } from './vr';

/** A (0008,0005) Specific Character Set, understood. */
export interface CharacterSet {
  /** The defined terms as given, trimmed. */
  readonly terms: readonly string[];
  readonly scheme: 'iso2022' | 'utf-8' | 'gb18030' | 'gbk';
  /** G0 before any escape: `6`, or `14` for Japanese romaji. */
  readonly g0: '6' | '14';
  /** Set in G1 before any escape, by registration number. */
  readonly g1: string | undefined;
  /** Sets that escapes may switch to, in the order of the terms; empty without code extension. */
  readonly extensions: readonly string[];
  /** False where a term is none of PS3.3 C.12.1.1.2: the text is read as ISO_IR 6 then. */
  readonly known: boolean;
}

const DEFAULT: CharacterSet = {
  terms: [],
  scheme: 'iso2022',
  g0: '6',
  g1: undefined,
  extensions: [],
  known: true,
};

/** Terms without code extension stand alone (PS3.3 C.12.1.1.2); their usual misspellings are read as what they mean. */
const ALONE: Readonly<Record<string, CharacterSet['scheme']>> = {
  'ISO_IR 192': 'utf-8',
  'UTF-8': 'utf-8',
  UTF8: 'utf-8',
  GB18030: 'gb18030',
  GBK: 'gbk',
  GB2312: 'gbk',
};

/** `ISO_IR 100` and `ISO 2022 IR 100`, and what writers make of them: `ISO IR 100`, `ISO-IR_100`. */
const REGISTERED = /^ISO[ _-]?(?:2022[ _-]?)?IR[ _-]?(\d+)$/;

function schemeOf(term: string): CharacterSet['scheme'] | undefined {
  const upper = term.toUpperCase();
  const registered = REGISTERED.exec(upper)?.[1];
  return ALONE[registered === '192' ? 'ISO_IR 192' : upper];
}

/**
 * Understands the values of (0008,0005): none, or an empty one, is ISO_IR 6. Never fails: what isn't known counts as ISO_IR 6,
 * with `known: false`.
 */
export function parseCharacterSet(values: readonly string[]): CharacterSet {
  const terms = values.map((value) => value.replace(/^ +|[ \0]+$/g, ''));
  if (terms.every((term) => term === '')) return DEFAULT;
  const alone = schemeOf(terms[0] ?? '') ?? (terms[0] === '' ? schemeOf(terms[1] ?? '') : undefined);
  if (alone !== undefined) return { ...DEFAULT, terms, scheme: alone };

  let { g0, g1, known } = DEFAULT;
  const extensions: string[] = [];
  terms.forEach((term, index) => {
    if (term === '') return;
    const registration = REGISTERED.exec(term.toUpperCase())?.[1];
    const set = registration === undefined ? undefined : CODED_SETS.get(registration);
    if (set === undefined) {
      known = false;
    } else if (index > 0) {
      extensions.push(set.registration);
    } else if (set.registration === '13' || set.registration === '14') {
      g0 = '14';
      g1 = '13';
    } else {
      if (set.half === 'G1') g1 = set.registration;
      // Two bytes a character can't be the initial set; where it is named as such, escapes will bring it.
      if (set.bytes === 2) extensions.push(set.registration);
    }
  });
  return { terms, scheme: 'iso2022', g0, g1, extensions, known };
}

/**
 * Decodes the values of one element to Unicode (PS3.5 6.1). Backslash separates values where the VR has several, found after
 * decoding: its byte is half a character in some sets. What can't be decoded becomes U+FFFD; nothing is trimmed. VRs outside of
 * (0008,0005)'s reach are read in the default repertoire.
 */
export function decodeText(bytes: Buffer, vr: string, set: CharacterSet): string[] {
  const { multiple = false, text = false } = valueRepresentation(vr) ?? {};
  const scheme = text ? set.scheme : 'iso2022';
  if (isPlain(bytes) && (!text || scheme !== 'iso2022' || set.g0 === '6'))
    return split(bytes.toString('latin1'), multiple);
  if (scheme === 'utf-8') return split(bytes.toString('utf8'), multiple);
  if (scheme !== 'iso2022') return split(chineseDecoder(scheme).decode(bytes), multiple);
  return new Iso2022Decoder(text ? set : DEFAULT, multiple, vr === 'PN').decode(bytes);
}

const chinese = new Map<string, TextDecoder>();

export function chineseDecoder(scheme: 'gb18030' | 'gbk'): TextDecoder {
  let decoder = chinese.get(scheme);
  if (decoder === undefined) {
    decoder = new TextDecoder(scheme);
    chinese.set(scheme, decoder);
  }
  return decoder;
}

function split(text: string, multiple: boolean): string[] {
  return multiple ? text.split('\\') : [text];
}

/** Only ASCII, no escape. */
function isPlain(bytes: Buffer): boolean {
  for (const byte of bytes) {
    if (byte >= 0x80 || byte === 0x1b) return false;
  }
  return true;
}

const ESC = 0x1b;

/** Registration numbers by what follows ESC, its two or three bytes read as one number; older spellings of JIS X 0208 as well. */
const DESIGNATIONS: ReadonlyMap<number, string> = new Map([
  ...[...CODED_SETS.values()].map((set) => [numberOf(set.escape), set.registration] as const),
  [numberOf('$@'), '87'],
  [numberOf('$(B'), '87'],
]);

function numberOf(escape: string): number {
  return Buffer.from(escape, 'latin1').reduce((number, byte) => number * 256 + byte, 0);
}

/** Reads text with code extension (PS3.5 6.1.2.4, 6.1.2.5); also that of single sets, in which escapes are strays. */
class Iso2022Decoder {
  private readonly set: CharacterSet;
  private readonly multiple: boolean;
  private readonly personName: boolean;
  private g0 = '';
  private g0Pairs = false;
  private g1: string | undefined;
  private g1Pairs = false;
  /** Of a one-byte set in G1. */
  private high: readonly string[] = [];
  private readonly values: string[] = [];
  private value = '';

  constructor(set: CharacterSet, multiple: boolean, personName: boolean) {
    this.set = set;
    this.multiple = multiple;
    this.personName = personName;
    this.reset();
  }

  decode(bytes: Buffer): string[] {
    for (let at = 0; at < bytes.length;) at += this.step(bytes, at, bytes[at] ?? 0);
    this.values.push(this.value);
    return this.values;
  }

  /** Reads one character or escape; returns how many bytes it had. */
  private step(bytes: Buffer, at: number, byte: number): number {
    if (byte === ESC) return this.designate(bytes, at);
    const low = byte < 0x80;
    if ((low ? this.g0Pairs : this.g1Pairs) && byte > 0x20 && byte !== 0x7f)
      return this.readPair(low ? this.g0 : (this.g1 ?? ''), byte, bytes[at + 1] ?? 0);
    if (low) this.readLow(byte);
    else this.value += this.high[byte - 0x80] ?? '\uFFFD';
    return 1;
  }

  private readLow(byte: number): void {
    // The byte separates values whatever its picture is (PS3.5 6.4); romaji show a yen sign there.
    if (byte === 0x5c && this.multiple) {
      this.values.push(this.value);
      this.value = '';
      this.reset();
      return;
    }
    if (this.g0 === '14' && byte === 0x5c) this.value += '¥';
    else if (this.g0 === '14' && byte === 0x7e) this.value += '‾';
    else this.value += String.fromCharCode(byte);
    if (isReset(byte) || (this.personName && (byte === 0x5e || byte === 0x3d))) this.reset();
  }

  private readPair(half: string, first: number, second: number): number {
    const low = first < 0x80;
    if (low ? second <= 0x20 || second >= 0x7f : second <= 0xa0 || second === 0xff) {
      this.value += '\uFFFD';
      return 1;
    }
    this.value += decodePair(half, first, second);
    return 2;
  }

  private designate(bytes: Buffer, at: number): number {
    const two = (bytes[at + 1] ?? 0) * 256 + (bytes[at + 2] ?? 0);
    const short = DESIGNATIONS.get(two);
    const registration = short ?? DESIGNATIONS.get(two * 256 + (bytes[at + 3] ?? 0));
    if (registration === undefined) {
      this.value += '\uFFFD';
      return 1;
    }
    if (CODED_SETS.get(registration)?.half === 'G0') this.useG0(registration);
    else this.useG1(registration);
    return short === undefined ? 4 : 3;
  }

  /** PS3.5 6.1.2.5.3: lines, values and name components begin in the initial sets. */
  private reset(): void {
    this.useG0(this.set.g0);
    this.useG1(this.set.g1);
  }

  private useG0(registration: string): void {
    if (registration === this.g0) return;
    this.g0 = registration;
    this.g0Pairs = CODED_SETS.get(registration)?.bytes === 2;
  }

  private useG1(registration: string | undefined): void {
    if (registration === this.g1) return;
    this.g1 = registration;
    this.g1Pairs = registration !== undefined && CODED_SETS.get(registration)?.bytes === 2;
    this.high = registration === undefined || this.g1Pairs ? [] : rightHalf(registration);
  }
}

/** TAB, LF, FF, CR. */
function isReset(byte: number): boolean {
  return byte === 0x09 || byte === 0x0a || byte === 0x0c || byte === 0x0d;
}
