import { BUILT_IN, type Attribute, type AttributeTable } from './attributes';
import { parseCharacterSet, type CharacterSet } from './charset';
import { DataSetBuilder, type DataElement, type DataSet } from './data-set';
import type { ElementHeader, ElementVisitor, ValueHandling } from './element-visitor';
import { ElementWalker } from './element-walker';
import { DataSetInflater } from './inflate';
import { itemsToJson } from './json-model';
import { DicomParseError } from './parse-error';
import type { AttributeValue, InstanceHeader, Tag } from './types';
import { encodingOf, isStorableUid } from './uids';
import { attributeValue, numericValues } from './values';
import { swapUnits, valueRepresentation } from './vr';

const SPECIFIC_CHARACTER_SET = 0x00080005;

/** A sequence in the catalog; a larger one is left out rather than cut. */
const MAX_SEQUENCE_JSON = 64 * 1024;
/** All values kept of one instance; what goes beyond is left out. Bounds memory, and the time that decoding holds up others. */
const MAX_KEPT = 1024 * 1024;

interface KeptValue {
  readonly vr: string;
  /** Little endian. */
  readonly bytes: Buffer;
}

/** Takes the attributes of the catalog from a walk. Of doubled elements the first counts. */
class HeaderVisitor implements ElementVisitor {
  readonly values = new Map<Tag, KeptValue>();
  readonly sequences = new Map<Tag, readonly DataSet[]>();
  private readonly wanted: ReadonlyMap<Tag, Attribute>;
  private kept = 0;
  private builder: DataSetBuilder | undefined;
  private builderTag: Tag = 0;
  private open = 0;

  constructor(wanted: ReadonlyMap<Tag, Attribute>) {
    this.wanted = wanted;
  }

  element(header: ElementHeader): ValueHandling {
    if (header.depth > 0) return this.builder?.element(header) ?? 'skip';
    const { tag } = header;
    const attribute = this.wanted.get(tag);
    if (attribute === undefined && tag !== SPECIFIC_CHARACTER_SET) return 'skip';
    if (attribute?.vr === 'SQ') return header.vr === 'UN' && !this.sequences.has(tag) ? 'walk' : 'skip';
    if (this.values.has(tag) || this.kept + header.length > MAX_KEPT) return 'skip';
    return 'keep';
  }

  value(header: ElementHeader, value: Buffer): void {
    if (header.depth > 0) {
      this.builder?.value(header, value);
      return;
    }
    this.kept += value.length;
    const bytes = Buffer.from(value);
    if (!header.littleEndian) swapUnits(bytes, valueRepresentation(header.vr)?.unit ?? 1);
    this.values.set(header.tag, { vr: header.vr, bytes });
  }

  sequenceStart(header: ElementHeader): void {
    this.open++;
    if (this.builder !== undefined) {
      this.builder.sequenceStart(header);
    } else if (this.open === 1 && this.collects(header.tag)) {
      this.builder = new DataSetBuilder(MAX_SEQUENCE_JSON);
      this.builderTag = header.tag;
      this.builder.sequenceStart(header);
    }
  }

  itemStart(): void {
    this.builder?.itemStart();
  }

  itemEnd(): void {
    this.builder?.itemEnd();
  }

  sequenceEnd(): void {
    this.open--;
    const { builder } = this;
    if (builder === undefined) return;
    builder.sequenceEnd();
    if (this.open > 0) return;
    const collected: DataElement | undefined = builder.elements[0];
    const items = collected !== undefined && 'items' in collected ? collected.items : [];
    this.sequences.set(this.builderTag, builder.overflowed ? [] : items);
    if (!builder.overflowed) this.kept += builder.size;
    this.builder = undefined;
  }

  private collects(tag: Tag): boolean {
    if (this.wanted.get(tag)?.vr !== 'SQ' || this.sequences.has(tag)) return false;
    return this.kept + MAX_SEQUENCE_JSON <= MAX_KEPT;
  }
}

export interface HeaderReaderOptions {
  readonly transferSyntaxUID: string;
  /** Assumed where the data set has no (0008,0005): a defined term, or several joined by `\`. */
  readonly defaultCharacterSet?: string;
  /** Default: the built-in table. */
  readonly attributes?: AttributeTable;
}

/**
 * Reads what the catalog keeps of an instance from its data set, as the bytes come. It reads to the end, because only there is known that
 * the data set is whole, but holds nothing beyond the wanted values: at most 1 MiB in all, pixel data not at all.
 */
export class HeaderReader {
  private readonly wanted: ReadonlyMap<Tag, Attribute>;
  private readonly visitor: HeaderVisitor;
  private readonly walker: ElementWalker;
  private readonly inflater: DataSetInflater | undefined;
  private readonly defaultCharacterSet: string | undefined;

  constructor(options: HeaderReaderOptions) {
    const syntax = encodingOf(options.transferSyntaxUID);
    this.wanted = (options.attributes ?? BUILT_IN).wanted;
    this.visitor = new HeaderVisitor(this.wanted);
    this.walker = new ElementWalker(syntax, this.visitor);
    this.inflater = syntax.deflated
      ? new DataSetInflater((bytes) => {
          this.walker.push(bytes);
        })
      : undefined;
    this.defaultCharacterSet = options.defaultCharacterSet;
  }

  /** Takes the next bytes; returns a promise only for deflated syntaxes: await it before the next call. @throws DicomParseError */
  push(chunk: Buffer): void | Promise<void> {
    if (this.inflater !== undefined) return this.inflater.push(chunk);
    this.walker.push(chunk);
  }

  /** Bytes that come next and are of no interest: whoever can, leaves them out and calls `skip`. None where the data set is deflated. */
  get skippable(): number {
    return this.inflater === undefined ? this.walker.skippable : 0;
  }

  /** In place of `push`: so many of the next bytes, at most `skippable`. */
  skip(count: number): void {
    this.walker.skip(count);
  }

  /**
   * The data set has ended.
   * @throws DicomParseError `truncated`; `missing-uid` when SOP class, SOP instance, study or series UID is absent, empty or not one
   * that can be kept.
   */
  async finish(): Promise<InstanceHeader> {
    await this.inflater?.finish();
    this.walker.finish();
    const values: Record<string, AttributeValue> = {};
    const set = this.characterSet();
    for (const attribute of this.wanted.values()) {
      const value = this.valueOf(attribute, set);
      if (value !== undefined) values[attribute.keyword] = value;
    }
    return {
      SOPClassUID: requireUid(values, 'SOPClassUID'),
      SOPInstanceUID: requireUid(values, 'SOPInstanceUID'),
      StudyInstanceUID: requireUid(values, 'StudyInstanceUID'),
      SeriesInstanceUID: requireUid(values, 'SeriesInstanceUID'),
      values,
    };
  }

  private characterSet(): CharacterSet {
    const element = this.visitor.values.get(SPECIFIC_CHARACTER_SET);
    const own = element?.bytes.toString('latin1') ?? '';
    return parseCharacterSet((/^[ \0]*$/.test(own) ? (this.defaultCharacterSet ?? '') : own).split('\\'));
  }

  private valueOf(attribute: Attribute, set: CharacterSet): AttributeValue | undefined {
    if (attribute.vr === 'SQ') {
      const items = this.visitor.sequences.get(attribute.tag);
      if (items === undefined || items.length === 0) return undefined;
      const json = JSON.stringify(itemsToJson(items, set));
      return Buffer.byteLength(json) > MAX_SEQUENCE_JSON ? undefined : json;
    }
    const element = this.visitor.values.get(attribute.tag);
    if (element === undefined) return undefined;
    // The first of several numbers would pass for all of them; the built-in ones have one each.
    const several = numericValues(element.bytes, attribute.vr).length > 1;
    if (several && BUILT_IN.ofTag(attribute.tag) === undefined) return undefined;
    return attributeValue(element.bytes, attribute.vr, element.vr, set);
  }
}

function requireUid(values: Readonly<Record<string, AttributeValue>>, keyword: string): string {
  const uid = values[keyword];
  if (typeof uid === 'string' && isStorableUid(uid)) return uid;
  throw new DicomParseError('missing-uid', `${uid === undefined ? 'no' : 'unusable'} ${keyword}`);
}
