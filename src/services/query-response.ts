import { deflateRawSync } from 'node:zlib';
import type { QueryRow } from '../catalog/query-types';
import type { CharacterSet } from '../dicom/charset';
import { parseCharacterSet } from '../dicom/charset';
import { encodeText } from '../dicom/charset-encoder';
import { encodeDataSet, type DataElement } from '../dicom/data-set';
import { itemsFromJson } from '../dicom/json-encoder';
import type { JsonDataSet } from '../dicom/json-model';
import type { Tag } from '../dicom/types';
import { encodingOf } from '../dicom/uids';
import { isNumeric, numericBytes } from '../dicom/values';
import { valueRepresentation } from '../dicom/vr';
import type { QueryPlan, ReturnedKey } from './query-identifier';
import { selectItems } from './query-items';

const SPECIFIC_CHARACTER_SET = 0x00080005;
const UTF_8 = parseCharacterSet(['ISO_IR 192']);

/** The length field of a short VR ends here (PS3.5 7.1.2). */
const LONGEST_SHORT = 0xfffe;

export interface ResponseOptions {
  readonly transferSyntax: string;
  /** (0008,0054): whom to retrieve from. */
  readonly aeTitle: string;
  /** `charset` of the remote: goes before that of the request. */
  readonly charset?: string;
}

/** What stands in an answer at one place: the same bytes each time, or what a row says. */
type Place = { readonly tag: Tag; readonly bytes: Buffer } | Column;

interface Column extends ReturnedKey {
  /** Text, or numbers written as such: goes the short way while it is ASCII. */
  readonly plain: boolean;
  readonly long: boolean;
  /** NUL after UIDs, a space after all other text (PS3.5 6.2). */
  readonly padding: number;
}

/** A character set, and the element (0008,0005) that states it. */
interface StatedSet {
  readonly set: CharacterSet;
  readonly element: Buffer;
}

/**
 * Encodes the answers of one query (PS3.4 C.4.1.1.3.2), each with the same attributes in the same order: those that were asked for, the unique
 * keys above, level, availability and where to retrieve from. (0008,0005) stands where a value needs it: the request's set
 * if that can hold every value of the answer, else ISO_IR 192.
 */
export class ResponseEncoder {
  private readonly transferSyntax: string;
  private readonly explicit: boolean;
  private readonly littleEndian: boolean;
  private readonly deflated: boolean;
  private readonly places: readonly Place[];
  private readonly preferred: StatedSet | undefined;
  private readonly fallback: StatedSet;
  /** By place: a whole element, or the text of one; used again for each row. */
  private readonly parts: (Buffer | string)[];

  constructor(plan: QueryPlan, options: ResponseOptions) {
    const { explicit, littleEndian, deflated } = encodingOf(options.transferSyntax);
    this.transferSyntax = options.transferSyntax;
    this.explicit = explicit;
    this.littleEndian = littleEndian;
    this.deflated = deflated;
    const constant = (tag: Tag, vr: string, text: string): Place => ({
      tag,
      bytes: this.encoded({ tag, vr, value: Buffer.from(text, 'latin1') }),
    });
    this.places = [
      constant(0x00080052, 'CS', plan.level),
      constant(0x00080054, 'AE', options.aeTitle),
      constant(0x00080056, 'CS', 'ONLINE'),
      ...(plan.timezoneOffset === undefined ? [] : [constant(0x00080201, 'SH', plan.timezoneOffset)]),
      ...plan.returned.map(columnOf),
    ].sort((a, b) => a.tag - b.tag);
    this.parts = this.places.map((place) => ('bytes' in place ? place.bytes : ''));
    const own = options.charset;
    const set = own === undefined ? plan.characterSet : parseCharacterSet(own.split('\\'));
    this.preferred = set && this.stated(set);
    this.fallback = this.stated(UTF_8);
  }

  /** The identifier of a pending response. */
  encode(row: QueryRow): Buffer {
    const bytes = this.writeAscii(row) ?? this.writeText(row);
    return this.deflated ? deflated(bytes) : bytes;
  }

  /** Undefined where a value needs a character set. */
  private writeAscii(row: QueryRow): Buffer | undefined {
    const { places, parts } = this;
    for (let index = 0; index < places.length; index++) {
      const place = places[index];
      if (place === undefined || 'bytes' in place) continue;
      const value = row[place.keyword];
      if (value === undefined || value === null) {
        parts[index] = '';
      } else if (place.plain) {
        const text = String(value);
        if (!isAscii(text)) return undefined;
        parts[index] = text.length > LONGEST_SHORT ? this.oversize(place, text) : text;
      } else {
        const element = this.otherElement(place, value, undefined);
        if (element === undefined) return undefined;
        parts[index] = element;
      }
    }
    return this.assemble(undefined);
  }

  private writeText(row: QueryRow): Buffer {
    const written =
      (this.preferred && this.tryText(row, this.preferred)) ??
      this.tryText(row, this.fallback) ??
      this.tryText(wellFormed(row), this.fallback);
    if (written === undefined) throw new Error('a row that not even UTF-8 can hold');
    return written;
  }

  private tryText(row: QueryRow, { set, element: stated }: StatedSet): Buffer | undefined {
    // Romaji have other signs in two places of ASCII.
    const extendsAscii = set.scheme !== 'iso2022' || set.g0 === '6';
    for (const [index, place] of this.places.entries()) {
      if ('bytes' in place) continue;
      const value = row[place.keyword] ?? '';
      const element = place.plain
        ? this.textPart(place, String(value), set, extendsAscii)
        : this.otherElement(place, value, set);
      if (element === undefined) return undefined;
      this.parts[index] = element;
    }
    return this.assemble(stated);
  }

  private textPart(
    column: Column,
    text: string,
    set: CharacterSet,
    extendsAscii: boolean,
  ): Buffer | string | undefined {
    const short = extendsAscii && text.length <= LONGEST_SHORT && isAscii(text);
    return short ? text : this.textElement(column, text, set);
  }

  private textElement({ tag, vr }: Column, text: string, set: CharacterSet): Buffer | undefined {
    const inReach = valueRepresentation(vr)?.text === true;
    // Characters that a VR of the default repertoire can't have came from bytes that were wrong there.
    const value = encodeText(inReach ? text : text.replace(/[^\x20-\x7e]/g, '?'), set, vr);
    return value && this.encoded({ tag, vr, value });
  }

  /** A sequence, a binary number, or nothing. Without a set only what is ASCII. */
  private otherElement(
    { tag, vr, sequence }: Column,
    value: string | number,
    set: CharacterSet | undefined,
  ): Buffer | undefined {
    if (vr === 'SQ') {
      if (typeof value !== 'string' || value === '') return this.encoded({ tag, vr, items: [] });
      if (set === undefined && !isAscii(value)) return undefined;
      const items = JSON.parse(value) as readonly JsonDataSet[];
      const selected = sequence === undefined ? items : selectItems(items, sequence);
      const encoded = itemsFromJson(selected, set ?? UTF_8);
      return encoded && this.encoded({ tag, vr, items: encoded });
    }
    const numbers = value === '' ? [] : [Number(value)];
    return this.encoded({ tag, vr, value: isNumeric(vr) ? numericBytes(numbers, vr) : Buffer.alloc(0) });
  }

  private oversize({ tag, vr }: Column, text: string): Buffer {
    return this.encoded({ tag, vr, value: Buffer.from(text, 'latin1') });
  }

  private stated(set: CharacterSet): StatedSet {
    const value = Buffer.from(termsOf(set), 'latin1');
    return { set, element: this.encoded({ tag: SPECIFIC_CHARACTER_SET, vr: 'CS', value }) };
  }

  private encoded(element: DataElement): Buffer {
    return encodeDataSet([element], this.transferSyntax);
  }

  private assemble(stated: Buffer | undefined): Buffer {
    const { parts, places } = this;
    let size = stated?.length ?? 0;
    for (let index = 0; index < parts.length; index++) {
      const part = parts[index] ?? '';
      size += typeof part === 'string' ? 13 + part.length : part.length;
    }
    const out = Buffer.allocUnsafe(size);
    let at = 0;
    let waiting = stated;
    for (let index = 0; index < parts.length; index++) {
      const place = places[index];
      const part = parts[index];
      if (place === undefined || part === undefined) continue;
      if (waiting !== undefined && place.tag > SPECIFIC_CHARACTER_SET) {
        at += waiting.copy(out, at);
        waiting = undefined;
      }
      at = typeof part === 'string' ? this.putText(out, at, place as Column, part) : at + part.copy(out, at);
    }
    return out.subarray(0, at);
  }

  private putText(out: Buffer, at: number, column: Column, text: string): number {
    const { tag, vr, long, padding } = column;
    const padded = text.length + (text.length & 1);
    const start = this.putHeader(out, at, tag, vr, long, padded);
    out.write(text, start, 'latin1');
    if (padded > text.length) out[start + text.length] = padding;
    return start + padded;
  }

  private putHeader(out: Buffer, at: number, tag: Tag, vr: string, long: boolean, length: number): number {
    const little = this.littleEndian;
    const put16 = (value: number, to: number): number =>
      little ? out.writeUInt16LE(value, to) : out.writeUInt16BE(value, to);
    const put32 = (value: number, to: number): number =>
      little ? out.writeUInt32LE(value, to) : out.writeUInt32BE(value, to);
    put16(tag >>> 16, at);
    put16(tag & 0xffff, at + 2);
    if (!this.explicit) return put32(length, at + 4);
    out[at + 4] = vr.charCodeAt(0);
    out[at + 5] = vr.charCodeAt(1);
    if (!long) return put16(length, at + 6);
    put16(0, at + 6);
    return put32(length, at + 8);
  }
}

function columnOf(key: ReturnedKey): Column {
  const { vr } = key;
  const representation = valueRepresentation(vr);
  return {
    ...key,
    plain: vr !== 'SQ' && !isNumeric(vr),
    long: representation?.long === true,
    padding: vr === 'UI' ? 0 : 0x20,
  };
}

/** An escape would read as a change of sets, so that it counts as what needs one. */
function isAscii(text: string): boolean {
  return !/[^\x00-\x1a\x1c-\x7f]/.test(text);
}

function wellFormed(row: QueryRow): QueryRow {
  return Object.fromEntries(
    Object.entries(row).map(([keyword, value]) => [
      keyword,
      typeof value === 'string' ? value.toWellFormed().replaceAll('\x1b', '\uFFFD') : value,
    ]),
  );
}

/** The terms as they were given where they are right, else as they should have been (PS3.3 C.12.1.1.2). */
function termsOf(set: CharacterSet): string {
  if (set.scheme === 'utf-8') return 'ISO_IR 192';
  if (set.scheme !== 'iso2022') return set.scheme === 'gbk' ? 'GBK' : 'GB18030';
  const extended = set.terms.length > 1;
  return set.terms
    .map((term) => {
      if (term === '' || /^ISO 2022 IR \d+$/.test(term) || (!extended && /^ISO_IR \d+$/.test(term)))
        return term;
      const registration = /\d+$/.exec(term)?.[0] ?? '6';
      return extended ? `ISO 2022 IR ${registration}` : `ISO_IR ${registration}`;
    })
    .join('\\');
}

/** PS3.5 A.5: of even length. */
function deflated(bytes: Buffer): Buffer {
  const stream = deflateRawSync(bytes);
  return stream.length % 2 === 0 ? stream : Buffer.concat([stream, Buffer.alloc(1)]);
}
