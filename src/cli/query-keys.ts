import { encodeText } from '../dicom/charset-encoder';
import type { CharacterSet } from '../dicom/charset';
import { ATTRIBUTES } from '../dicom/attributes';
import type { DataElement, DataSet } from '../dicom/data-set';
import { isGroupLength, tagOf, vrOf } from '../dicom/dictionary';
import { DICTIONARY } from '../dicom/dictionary-data';
import type { Tag } from '../dicom/types';
import { isNumeric } from '../dicom/values';
import { valueRepresentation } from '../dicom/vr';
import { didYouMean } from '../config/suggest';
import { EXIT, IsocenterError } from '../errors';
import { printable } from '../printable';
import { attributeName } from '../services/find-scu';

/** An attribute to match or to return, through the sequences that it is in. */
export interface QueryKey {
  readonly path: readonly Tag[];
  /** Undefined: a return key. */
  readonly value: string | undefined;
  /** `Sequence[0]` alone: an empty item, which asks for all of them (PS3.4 C.2.2.2.6). */
  readonly emptyItem: boolean;
}

const HINT =
  'write -k KEYWORD[=VALUE] or -k gggg,eeee[=VALUE], within a sequence -k SEQUENCE[0].KEYWORD[=VALUE], such as -k PatientID=4711';

/** One step of a path: a keyword, or a tag in one of the ways in which people write it, and perhaps an item. */
const STEP =
  /^(?:(?<keyword>[A-Za-z][A-Za-z0-9]*)|\((?<tag>[0-9A-Fa-f]{4},[0-9A-Fa-f]{4})\)|(?<bare>[0-9A-Fa-f]{4},?[0-9A-Fa-f]{4}))(?<item>\[\d*\])?$/;

/**
 * Reads one `-k` as findscu takes it. Errors name the attribute, never the value.
 * @throws IsocenterError `KEY_INVALID`, `KEY_UNKNOWN` (exit 2)
 */
export function parseKey(text: string): QueryKey {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  const steps = name.split('.').map((step) => parseStep(step, name));
  const path = steps.map(({ tag }) => tag);
  const last = steps.at(-1);
  for (const step of steps) {
    if ((step.item || step !== last) && vrOf(step.tag) !== 'SQ')
      throw invalid(`"${printable(name, 128)}": ${attributeName(step.tag)} is no sequence`);
  }
  const value = equals < 0 ? undefined : text.slice(equals + 1);
  const vr = vrOf(last?.tag ?? 0);
  if (vr === 'SQ' && value !== undefined && value !== '')
    throw invalid(
      `"${printable(name, 128)}" is a sequence and has no value of its own`,
      `name an attribute within it: -k ${printable(name, 128)}[0].KEYWORD=VALUE`,
    );
  return { path, value: value === '' ? undefined : value, emptyItem: last?.item ?? false };
}

function parseStep(step: string, name: string): { tag: Tag; item: boolean } {
  const parts = STEP.exec(step)?.groups;
  if (parts === undefined) throw invalid(`"${printable(name, 128)}" is no key`, HINT);
  const { keyword, item } = parts;
  if (item !== undefined && item !== '[]' && item !== '[0]')
    throw invalid(
      `"${printable(name, 128)}": a key has one item in each sequence`,
      'write [0]; what it asks for is looked for in every item (PS3.4 C.2.2.2.6)',
    );
  const digits = (parts['tag'] ?? parts['bare'])?.replace(',', '');
  // A keyword may look like eight digits of a tag; none does so far.
  const tag = digits === undefined ? tagOf(keyword ?? '') : Number.parseInt(digits, 16);
  if (tag === undefined) throw unknown(keyword ?? '');
  if (tag < 0x00080000 || tag >= 0xfffe0000 || isGroupLength(tag))
    throw invalid(`"${printable(name, 128)}": ${attributeName(tag)} is no attribute of a data set`);
  return { tag, item: item !== undefined };
}

function unknown(keyword: string): IsocenterError {
  const known = [
    ...ATTRIBUTES.map((row) => row.keyword),
    ...DICTIONARY.split('\n').map((line) => line.slice(10)),
  ];
  return new IsocenterError(
    'KEY_UNKNOWN',
    `"${printable(keyword, 64)}" is no keyword of the standard${didYouMean(keyword, known)}`,
    { exitCode: EXIT.usage, hint: HINT },
  );
}

function invalid(message: string, hint?: string): IsocenterError {
  return new IsocenterError('KEY_INVALID', message, {
    exitCode: EXIT.usage,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** An attribute of an identifier that is being put together. */
interface KeyNode {
  value: string | undefined;
  /** The attributes of a sequence's one item. */
  item: Map<Tag, KeyNode> | undefined;
}

/** The keys of one query, each attribute once. */
export class QueryKeys {
  private readonly root = new Map<Tag, KeyNode>();

  /**
   * Adds a key of the user's.
   * @throws IsocenterError `KEY_INVALID` where it has another value already
   */
  add(key: QueryKey): void {
    const node = this.place(key);
    if (node.value !== undefined && key.value !== undefined && node.value !== key.value)
      throw invalid(`${pathName(key.path)} is given twice`, 'several values are joined by a backslash: A\\B');
    node.value ??= key.value;
    if (key.emptyItem) node.item ??= new Map<Tag, KeyNode>();
  }

  /** Adds a return key unless it is there, alone or with the whole sequence that it is in. */
  addDefault(path: readonly Tag[]): void {
    let level = this.root;
    for (const tag of path.slice(0, -1)) {
      const node = level.get(tag);
      if (node === undefined) break;
      if (node.item === undefined || node.item.size === 0) return;
      level = node.item;
    }
    this.place({ path });
  }

  /** The value of an attribute outside of sequences; undefined where it has none or isn't asked for. */
  valueOf(tag: Tag): string | undefined {
    return this.root.get(tag)?.value;
  }

  /** Takes an attribute outside of sequences away and returns its value. */
  take(tag: Tag): string | undefined {
    const value = this.valueOf(tag);
    this.root.delete(tag);
    return value;
  }

  get size(): number {
    return this.root.size;
  }

  /** True where every text that is asked for is ASCII. */
  get isAscii(): boolean {
    return allValues(this.root).every((value) => /^[\x00-\x7f]*$/.test(value));
  }

  /** True where any attribute is asked for with just this value. */
  has(value: string): boolean {
    return allValues(this.root).includes(value);
  }

  /** @throws IsocenterError `KEY_INVALID` where a value can't be written in its VR or in the character set */
  encode(set: CharacterSet): DataSet {
    return encodeKeys(this.root, set, []);
  }

  private place({ path }: Pick<QueryKey, 'path'>): KeyNode {
    let level = this.root;
    let node: KeyNode | undefined;
    path.forEach((tag, index) => {
      node = level.get(tag) ?? { value: undefined, item: undefined };
      level.set(tag, node);
      if (index < path.length - 1) level = node.item ??= new Map<Tag, KeyNode>();
    });
    if (node === undefined) throw new Error('a key has at least one attribute');
    return node;
  }
}

/** A path as it is written after -k. */
export function pathName(path: readonly Tag[]): string {
  return path.map(attributeName).join('[0].');
}

function allValues(keys: ReadonlyMap<Tag, KeyNode>): string[] {
  return [...keys.values()].flatMap(({ value, item }) => [
    ...(value === undefined ? [] : [value]),
    ...(item === undefined ? [] : allValues(item)),
  ]);
}

function encodeKeys(keys: ReadonlyMap<Tag, KeyNode>, set: CharacterSet, around: readonly Tag[]): DataSet {
  return [...keys].map(([tag, { value, item }]): DataElement => {
    const vr = vrOf(tag);
    const path = [...around, tag];
    if (vr === 'SQ') return { tag, vr, items: item === undefined ? [] : [encodeKeys(item, set, path)] };
    return { tag, vr, value: value === undefined ? Buffer.alloc(0) : encodeValue(value, vr, set, path) };
  });
}

function encodeValue(value: string, vr: string, set: CharacterSet, path: readonly Tag[]): Buffer {
  if (isNumeric(vr)) return encodeNumbers(value, vr, path);
  // An attribute that nobody has described: its bytes are those of the command line.
  if (vr === 'UN') return Buffer.from(value, 'utf8');
  if (vr.startsWith('O')) throw invalid(`${pathName(path)} is binary and can't be matched`);
  const bytes = encodeText(value, set, vr);
  if (bytes !== undefined) return bytes;
  if (valueRepresentation(vr)?.text !== true)
    throw invalid(`the value of ${pathName(path)} must be ASCII: its VR is ${vr}`);
  const terms = set.terms.length === 0 ? 'ASCII' : set.terms.join('\\');
  throw invalid(
    `the value of ${pathName(path)} can't be written in ${terms}`,
    'leave --charset out (ISO_IR 192 is taken), or name one that has the characters',
  );
}

const WRITERS: Readonly<Record<string, (buffer: Buffer, value: number) => unknown>> = {
  US: (buffer, value) => buffer.writeUInt16LE(value),
  SS: (buffer, value) => buffer.writeInt16LE(value),
  UL: (buffer, value) => buffer.writeUInt32LE(value),
  SL: (buffer, value) => buffer.writeInt32LE(value),
  FL: (buffer, value) => buffer.writeFloatLE(value),
  FD: (buffer, value) => buffer.writeDoubleLE(value),
  UV: (buffer, value) => buffer.writeBigUInt64LE(BigInt(value)),
  SV: (buffer, value) => buffer.writeBigInt64LE(BigInt(value)),
};

const SIZES: Readonly<Record<string, number>> = { US: 2, SS: 2, UL: 4, SL: 4, FL: 4, FD: 8, UV: 8, SV: 8 };

function encodeNumbers(value: string, vr: string, path: readonly Tag[]): Buffer {
  const wrong = invalid(`the value of ${pathName(path)} must be a number of its VR, ${vr}`);
  const write = WRITERS[vr];
  const parts = value.split('\\').map((text) => {
    const buffer = Buffer.alloc(SIZES[vr] ?? 0);
    if (write === undefined || !/^-?[0-9][0-9.eE+-]*$/.test(text)) throw wrong;
    try {
      write(buffer, Number(text));
    } catch {
      throw wrong;
    }
    return buffer;
  });
  return Buffer.concat(parts);
}
