import { chineseDecoder, type CharacterSet } from './charset';
import { CODED_SETS, inverseOf, type CodedSet } from './coded-sets';
import { valueRepresentation } from './vr';

const LONE_SURROGATE = /[\uD800-\uDFFF]/u;

/**
 * Encodes the text of one element, several values joined by `\`, in a character set (PS3.5 6.1). With code extension every value, line and
 * name component ends in the initial sets (PS3.5 6.1.2.5.3). Returns undefined where a character can't be expressed: the caller
 * takes another set. Padding to even length is the caller's.
 */
export function encodeText(text: string, set: CharacterSet, vr = 'LO'): Buffer | undefined {
  const inReach = valueRepresentation(vr)?.text === true;
  if (/^[\x00-\x1a\x1c-\x7f]*$/.test(text) && (!inReach || set.scheme !== 'iso2022' || set.g0 === '6'))
    return Buffer.from(text, 'latin1');
  if (!inReach) return undefined;
  if (set.scheme === 'utf-8') return LONE_SURROGATE.test(text) ? undefined : Buffer.from(text, 'utf8');
  if (set.scheme !== 'iso2022') return encodeChinese(text, set.scheme);
  return new Iso2022Encoder(set, vr).encode(text);
}

class Iso2022Encoder {
  private readonly set: CharacterSet;
  private readonly multiple: boolean;
  private readonly personName: boolean;
  /** A 94x94 set is never initial: it has to be designated each time. */
  private readonly initialG1: string | undefined;
  private readonly candidates: readonly CodedSet[];
  private g0: string;
  private g1: string | undefined;
  private readonly bytes: number[] = [];

  constructor(set: CharacterSet, vr: string) {
    this.set = set;
    this.multiple = valueRepresentation(vr)?.multiple === true;
    this.personName = vr === 'PN';
    this.initialG1 = set.g1 !== undefined && CODED_SETS.get(set.g1)?.bytes === 1 ? set.g1 : undefined;
    this.candidates = [set.g0, this.initialG1, ...set.extensions].flatMap((registration) => {
      const coded = registration === undefined ? undefined : CODED_SETS.get(registration);
      return coded === undefined ? [] : [coded];
    });
    this.g0 = set.g0;
    this.g1 = this.initialG1;
  }

  encode(text: string): Buffer | undefined {
    for (const character of text) {
      if (!(character < '\u0080' ? this.putLow(character) : this.putOther(character))) return undefined;
    }
    this.reset();
    return Buffer.from(this.bytes);
  }

  private putLow(character: string): boolean {
    const delimiter =
      /[\t\n\f\r]/.test(character) ||
      (this.multiple && character === '\\') ||
      (this.personName && (character === '^' || character === '='));
    if (delimiter) this.reset();
    // An escape in the text would be taken for a designation.
    if (character === '\x1b') return false;
    const romaji = this.set.g0 === '14';
    if (romaji && !delimiter && (character === '\\' || character === '~')) {
      if (!this.set.extensions.includes('6')) return false;
      this.designate('6');
    } else if (this.g0 !== '6' || romaji) {
      this.designate(this.set.g0);
    }
    this.bytes.push(character.charCodeAt(0));
    return true;
  }

  private putOther(character: string): boolean {
    for (const coded of this.candidates) {
      const encoded = inverseOf(coded).get(character);
      // A yen sign would read as a separator where there can be several values.
      if (encoded === undefined || (encoded[0] === 0x5c && encoded.length === 1 && this.multiple)) continue;
      this.designate(coded.registration);
      this.bytes.push(...encoded);
      return true;
    }
    return false;
  }

  private designate(registration: string): void {
    const coded = CODED_SETS.get(registration);
    if (coded === undefined) return;
    if ((coded.half === 'G0' ? this.g0 : this.g1) === registration) return;
    this.bytes.push(0x1b, ...Buffer.from(coded.escape, 'latin1'));
    if (coded.half === 'G0') this.g0 = registration;
    else this.g1 = registration;
  }

  private reset(): void {
    this.designate(this.set.g0);
    if (this.initialG1 !== undefined) this.designate(this.initialG1);
    this.g1 = this.initialG1;
  }
}

const chineseInverses = new Map<string, ReadonlyMap<string, Buffer>>();

function encodeChinese(text: string, scheme: 'gb18030' | 'gbk'): Buffer | undefined {
  let inverse = chineseInverses.get(scheme);
  if (inverse === undefined) {
    inverse = invertChinese(scheme);
    chineseInverses.set(scheme, inverse);
  }
  const parts: Buffer[] = [];
  for (const character of text) {
    const encoded =
      character < '\u0080'
        ? Buffer.from(character, 'latin1')
        : (inverse.get(character) ?? beyondPlaneZero(character, scheme));
    if (encoded === undefined) return undefined;
    parts.push(encoded);
  }
  return Buffer.concat(parts);
}

function invertChinese(scheme: 'gb18030' | 'gbk'): Map<string, Buffer> {
  const decoder = chineseDecoder(scheme);
  const inverse = new Map<string, Buffer>();
  const add = (bytes: Buffer): void => {
    const character = decoder.decode(bytes);
    if (/^[^\uFFFD]$/u.test(character) && !inverse.has(character)) inverse.set(character, bytes);
  };
  for (let first = 0x81; first <= 0xfe; first++) {
    for (let second = 0x40; second <= 0xfe; second++) {
      if (second !== 0x7f) add(Buffer.of(first, second));
    }
  }
  if (scheme === 'gbk') return inverse;
  for (let index = 0; index < 39_420; index++) add(fourBytes(index));
  return inverse;
}

/** GB 18030 numbers the planes above 0 in order, from the four bytes 90 30 81 30 on. */
function beyondPlaneZero(character: string, scheme: 'gb18030' | 'gbk'): Buffer | undefined {
  const codePoint = character.codePointAt(0) ?? 0;
  if (scheme === 'gbk' || codePoint < 0x10000) return undefined;
  return fourBytes(189_000 + codePoint - 0x10000);
}

/** The four-byte code of that rank: digits of base 10, 126, 10 and 126. */
function fourBytes(rank: number): Buffer {
  return Buffer.of(
    0x81 + Math.floor(rank / 12_600),
    0x30 + (Math.floor(rank / 1260) % 10),
    0x81 + (Math.floor(rank / 10) % 126),
    0x30 + (rank % 10),
  );
}
