import { DataSetBuilder, type DataElement, type DataSet } from '../dicom/data-set';
import { isGroupLength, tagOf, vrOf } from '../dicom/dictionary';
import type { ElementHeader, ElementVisitor, ValueHandling } from '../dicom/element-visitor';
import { ElementWalker } from '../dicom/element-walker';
import { DataSetInflater } from '../dicom/inflate';
import type { Tag } from '../dicom/types';
import { encodingOf } from '../dicom/uids';
import { swapUnits, valueRepresentation } from '../dicom/vr';

/** A key of a directory record has less; a larger value is left out. */
const MAX_VALUE = 16 * 1024;
/** A sequence with all that is in it; a larger one (the content of a long report) is left out. */
const MAX_SEQUENCE = 256 * 1024;

/** Elements of the data set itself, as they stand there, values in little endian; sequences in the same way. */
export type HeaderElements = ReadonlyMap<Tag, DataElement>;

/** Takes wanted elements from a data set as its bytes come, undecoded, so that they can stand in a DICOMDIR in their own character set. */
export class HeaderCollector {
  private readonly visitor: Collector;
  private readonly walker: ElementWalker;
  private readonly inflater: DataSetInflater | undefined;

  /** @param keywords Which elements. */
  constructor(transferSyntaxUID: string, keywords: Iterable<string>) {
    const wanted = new Map<Tag, string>();
    for (const keyword of keywords) {
      const tag = tagOf(keyword);
      if (tag !== undefined) wanted.set(tag, vrOf(tag));
    }
    const syntax = encodingOf(transferSyntaxUID);
    this.visitor = new Collector(wanted);
    this.walker = new ElementWalker(syntax, this.visitor);
    this.inflater = syntax.deflated ? new DataSetInflater((bytes) => this.walker.push(bytes)) : undefined;
  }

  /** @throws DicomParseError */
  async push(chunk: Buffer): Promise<void> {
    if (this.inflater === undefined) this.walker.push(chunk);
    else await this.inflater.push(chunk);
  }

  /** @throws DicomParseError where the data set isn't whole */
  async finish(): Promise<HeaderElements> {
    await this.inflater?.finish();
    this.walker.finish();
    return this.visitor.elements;
  }
}

/** Of doubled elements the first counts. */
class Collector implements ElementVisitor {
  readonly elements = new Map<Tag, DataElement>();
  private readonly wanted: ReadonlyMap<Tag, string>;
  private builder: DataSetBuilder | undefined;
  private builderTag: Tag = 0;
  private open = 0;

  constructor(wanted: ReadonlyMap<Tag, string>) {
    this.wanted = wanted;
  }

  element(header: ElementHeader): ValueHandling {
    if (header.depth > 0) return this.builder?.element(header) ?? 'skip';
    const vr = this.wanted.get(header.tag);
    if (vr === undefined || this.elements.has(header.tag)) return 'skip';
    if (vr === 'SQ') return header.vr === 'UN' ? 'walk' : 'skip';
    return header.length <= MAX_VALUE ? 'keep' : 'skip';
  }

  value(header: ElementHeader, bytes: Buffer): void {
    if (header.depth > 0) {
      this.builder?.value(header, bytes);
      return;
    }
    const { tag } = header;
    const value = Buffer.from(bytes);
    if (!header.littleEndian) swapUnits(value, valueRepresentation(header.vr)?.unit ?? 1);
    const vr = header.vr === 'UN' ? (this.wanted.get(tag) ?? 'UN') : header.vr;
    this.elements.set(tag, { tag, vr, value });
  }

  sequenceStart(header: ElementHeader): void {
    this.open++;
    const { tag } = header;
    if (this.builder === undefined) {
      if (this.open > 1 || this.wanted.get(tag) !== 'SQ' || this.elements.has(tag)) return;
      this.builder = new DataSetBuilder(MAX_SEQUENCE);
      this.builderTag = tag;
    }
    this.builder.sequenceStart(header);
  }

  itemStart(): void {
    this.builder?.itemStart();
  }

  itemEnd(): void {
    this.builder?.itemEnd();
  }

  sequenceEnd(): void {
    this.open--;
    const { builder, builderTag: tag } = this;
    if (builder === undefined) return;
    builder.sequenceEnd();
    if (this.open > 0) return;
    this.builder = undefined;
    const [collected] = builder.elements;
    if (builder.overflowed || collected === undefined || !('items' in collected)) return;
    this.elements.set(tag, { tag, vr: 'SQ', items: collected.items.map(plain) });
  }
}

/** Group lengths would be wrong in their new place. */
function plain(elements: DataSet): DataSet {
  return elements
    .filter(({ tag }) => !isGroupLength(tag))
    .map((element) => ('items' in element ? { ...element, items: element.items.map(plain) } : element));
}
