import { LONGEST_HEADER, readHeader, type Encoding, type MutableHeader } from './element-header';
import { UNDEFINED_LENGTH, type ElementVisitor, type ValueHandling } from './element-visitor';
import { DicomParseError, type DicomParseReason } from './parse-error';
import type { Tag } from './types';

/** Deeper data sets are an attack on readers that recurse (a 40 KB file reaches 1,100 levels); real ones stay below 10. */
export const MAX_NESTING = 64;
/** Headers and kept values; values that are passed over don't count. Stops floods of empty elements, not large objects. */
export const MAX_HEADER_BYTES = 64 * 1024 * 1024;
/** No attribute that is looked at needs more. */
export const MAX_KEPT_VALUE = 1024 * 1024;

const ITEM = 0xfffee000;
const ITEM_DELIMITER = 0xfffee00d;
const SEQUENCE_DELIMITER = 0xfffee0dd;

export interface WalkerLimits {
  readonly nesting?: number;
  readonly headerBytes?: number;
  readonly keptValue?: number;
}

/** What is open around the next byte. The data set itself counts as an item that no delimiter ends. */
interface Container {
  kind: 'item' | 'sequence' | 'fragments';
  encoding: Encoding;
  tag: Tag;
  offset: number;
  /** Its own end, Infinity where a delimiter ends it. */
  end: number;
  /** Nothing inside may reach beyond: the nearest defined end around. */
  limit: number;
}

/**
 * Walks a data set as its bytes come (PS3.5 section 7), in pieces of any size, and tells a visitor what it finds. Nothing is held but the
 * values that the visitor wants and an unfinished header; there is no recursion; every step uses up bytes; lengths are numbers up to
 * 2^53. Tolerant where real data sets ask for it: unknown VRs, `UN` sequences, implicit items in explicit data sets, stray delimiters.
 * @throws DicomParseError from `push` and `finish`; nothing may be called after that.
 */
export class ElementWalker {
  private readonly visitor: ElementVisitor;
  private readonly maxNesting: number;
  private readonly maxHeaderBytes: number;
  private readonly maxKeptValue: number;

  private readonly stack: Container[];
  private top: Container;
  private depth = 0;
  private offset = 0;
  private headerBytes = 0;

  /** The first bytes of a header that the last piece cut. */
  private readonly carry = Buffer.alloc(LONGEST_HEADER);
  private carried = 0;

  private readonly header: MutableHeader = {
    tag: 0,
    vr: '',
    vrCode: 0,
    length: 0,
    depth: 0,
    offset: 0,
    littleEndian: true,
  };
  private handling: ValueHandling = 'skip';
  private remaining = 0;
  private kept: Buffer | undefined;

  constructor(
    syntax: { readonly explicit: boolean; readonly littleEndian: boolean },
    visitor: ElementVisitor,
    limits: WalkerLimits = {},
  ) {
    this.visitor = visitor;
    this.maxNesting = limits.nesting ?? MAX_NESTING;
    this.maxHeaderBytes = limits.headerBytes ?? MAX_HEADER_BYTES;
    this.maxKeptValue = limits.keptValue ?? MAX_KEPT_VALUE;
    const encoding = !syntax.explicit ? 'implicit' : syntax.littleEndian ? 'explicit-little' : 'explicit-big';
    this.top = { kind: 'item', encoding, tag: 0, offset: 0, end: Infinity, limit: Infinity };
    this.stack = [this.top];
  }

  /** Bytes taken so far. */
  get position(): number {
    return this.offset + this.carried;
  }

  push(chunk: Buffer): void {
    const size = chunk.length;
    let at = 0;
    while (at < size) {
      if (this.remaining > 0) {
        at += this.takeValue(chunk, at);
        continue;
      }
      const used = this.carried > 0 ? this.takeCarried(chunk, at) : this.takeHeader(chunk, at, size - at);
      at += used;
    }
  }

  /** Bytes left of a value that nobody wants. */
  get skippable(): number {
    return this.handling === 'skip' ? this.remaining : 0;
  }

  /** As if `count` bytes of such a value had been pushed. */
  skip(count: number): void {
    if (count > this.skippable) throw new Error(`element walker: ${count} bytes can't be skipped`);
    this.offset += count;
    this.remaining -= count;
    if (count > 0 && this.remaining === 0) this.endValue();
  }

  /** The data set ends here. */
  finish(): void {
    if (this.remaining > 0) this.fail('truncated', 'ends inside', this.header.tag, this.header.offset);
    if (this.carried > 0) this.fail('truncated', 'ends inside a header', undefined, this.offset);
    if (this.stack.length > 1) {
      this.fail('truncated', `ends inside the ${this.top.kind} of`, this.top.tag, this.top.offset);
    }
  }

  /** Reads a header where the piece holds it whole, else puts its beginning aside. */
  private takeHeader(chunk: Buffer, at: number, available: number): number {
    this.header.depth = this.depth;
    const used = readHeader(this.header, this.top, chunk, at, available);
    if (used === 0) {
      chunk.copy(this.carry, 0, at);
      this.carried = available;
      return available;
    }
    this.begin(used);
    return used;
  }

  private takeCarried(chunk: Buffer, at: number): number {
    const before = this.carried;
    const wanted = before < 8 ? 8 : LONGEST_HEADER;
    const added = Math.min(wanted - before, chunk.length - at);
    chunk.copy(this.carry, before, at, at + added);
    this.carried = before + added;
    if (this.carried < wanted) return added;
    this.header.depth = this.depth;
    const used = readHeader(this.header, this.top, this.carry, 0, this.carried);
    if (used === 0) return added;
    // Eight bytes were asked for first, so nothing beyond this header was taken.
    this.carried = 0;
    this.begin(used);
    return added;
  }

  private takeValue(chunk: Buffer, at: number): number {
    const { header, handling } = this;
    const taken = Math.min(this.remaining, chunk.length - at);
    if (handling === 'stream') {
      this.visitor.part?.(header, chunk.subarray(at, at + taken));
    } else if (handling === 'keep') {
      if (this.kept === undefined && taken === this.remaining) {
        this.remaining = 0;
        this.offset += taken;
        this.visitor.value?.(header, chunk.subarray(at, at + taken));
        this.closeEnded();
        return taken;
      }
      this.kept ??= Buffer.allocUnsafe(header.length);
      chunk.copy(this.kept, header.length - this.remaining, at, at + taken);
    }
    this.remaining -= taken;
    this.offset += taken;
    if (this.remaining === 0) this.endValue();
    return taken;
  }

  private endValue(): void {
    const { header, kept } = this;
    if (this.handling === 'keep') {
      this.kept = undefined;
      this.visitor.value?.(header, kept ?? Buffer.alloc(0));
    } else if (this.handling === 'stream') {
      this.visitor.valueEnd?.(header);
    }
    this.closeEnded();
  }

  /** Acts on a complete header of `used` bytes. */
  private begin(used: number): void {
    const { header, top } = this;
    header.offset = this.offset;
    this.offset += used;
    if (this.offset > top.limit) this.overrun();
    if (top.kind === 'fragments') {
      this.beginFragment();
      return;
    }
    this.spend(used);
    if (top.kind === 'sequence') this.beginItem();
    else this.beginElement();
  }

  private beginElement(): void {
    const { header, top } = this;
    const { length } = header;
    if (header.vr === '') {
      this.beginDelimiter();
      return;
    }
    if (length === UNDEFINED_LENGTH) {
      this.beginUndefined();
      return;
    }
    if (this.offset + length > top.limit) this.overrun();
    if (header.vr === 'SQ') {
      this.openSequence(top.encoding);
      return;
    }
    const handling = this.visitor.element(header);
    if (handling === 'walk' && header.vr === 'UN') this.openSequence('implicit-or-explicit');
    else this.beginValue(handling);
  }

  /** An item tag or a delimiter among elements. */
  private beginDelimiter(): void {
    const { header, top } = this;
    const awaited = top.end === Infinity && this.stack.length > 1;
    if (header.tag === ITEM_DELIMITER && awaited) this.close();
    // One that ends nothing: some writers put it after items of defined length too, and it harms nobody.
    else if (header.tag === ITEM_DELIMITER || (header.tag === SEQUENCE_DELIMITER && !awaited))
      this.passStray();
    else this.fail('malformed', 'misplaced', header.tag, header.offset);
  }

  private passStray(): void {
    this.visitor.strayDelimiter?.(this.header);
    this.closeEnded();
  }

  private beginUndefined(): void {
    const { header, top } = this;
    if (isPixelData(header.tag) || isOther(header.vr)) {
      this.open('fragments', top.encoding);
      this.visitor.fragmentsStart?.(header);
    } else if (header.vr === 'SQ') {
      this.openSequence(top.encoding);
    } else if (header.vr === 'UN') {
      this.openSequence(
        header.littleEndian && top.encoding !== 'implicit' ? 'implicit-or-explicit' : 'implicit',
      );
    } else if (top.encoding === 'implicit') {
      // Only sequences have no length there, whatever the dictionary says.
      header.vr = 'SQ';
      this.openSequence('implicit');
    } else {
      this.fail('malformed', 'undefined length in', header.tag, header.offset);
    }
  }

  private beginItem(): void {
    const { header, top } = this;
    const { tag, length } = header;
    if (tag === ITEM) {
      if (length !== UNDEFINED_LENGTH && this.offset + length > top.limit) this.overrun();
      this.open('item', top.encoding);
      this.visitor.itemStart?.(header);
      this.closeEnded();
    } else if (tag === SEQUENCE_DELIMITER && top.end === Infinity) {
      this.close();
    } else if (tag === SEQUENCE_DELIMITER || tag === ITEM_DELIMITER) {
      this.passStray();
    } else {
      this.fail('malformed', 'no item but', tag, header.offset);
    }
  }

  private beginFragment(): void {
    const { header, top } = this;
    if (header.tag === SEQUENCE_DELIMITER) {
      this.close();
      return;
    }
    if (header.tag !== ITEM || header.length === UNDEFINED_LENGTH)
      this.fail('malformed', 'no fragment but', header.tag, header.offset);
    if (this.offset + header.length > top.limit) this.overrun();
    this.beginValue(this.visitor.fragment?.(header) ?? 'skip');
  }

  private beginValue(handling: ValueHandling): void {
    const { length } = this.header;
    this.handling = handling;
    this.remaining = length;
    if (handling === 'keep') {
      if (length > this.maxKeptValue) this.handling = 'skip';
      else this.spend(length);
    }
    if (length === 0) this.endValue();
  }

  private openSequence(encoding: Encoding): void {
    const { header } = this;
    if (this.depth >= this.maxNesting)
      this.fail('nesting', `nested deeper than ${this.maxNesting}:`, header.tag, header.offset);
    this.open('sequence', encoding);
    this.depth++;
    this.visitor.sequenceStart?.(header);
    this.closeEnded();
  }

  private open(kind: Container['kind'], encoding: Encoding): void {
    const { header, top } = this;
    const undefinedLength = header.length === UNDEFINED_LENGTH;
    const end = undefinedLength ? Infinity : this.offset + header.length;
    this.top = {
      kind,
      encoding,
      tag: header.tag,
      offset: header.offset,
      end,
      limit: undefinedLength ? top.limit : end,
    };
    this.stack.push(this.top);
  }

  /** Closes what ends here by its length. */
  private closeEnded(): void {
    while (this.top.end === this.offset) this.pop();
  }

  /** Closes what a delimiter ends here, and what ends with it. */
  private close(): void {
    this.pop();
    this.closeEnded();
  }

  private pop(): void {
    const closed = this.top;
    this.stack.pop();
    const outer = this.stack.at(-1);
    if (outer === undefined) throw new Error('element walker: the data set itself was closed');
    this.top = outer;
    if (closed.kind === 'item') {
      this.visitor.itemEnd?.();
    } else if (closed.kind === 'sequence') {
      this.depth--;
      this.visitor.sequenceEnd?.();
    } else {
      this.visitor.fragmentsEnd?.();
    }
  }

  private spend(bytes: number): void {
    this.headerBytes += bytes;
    if (this.headerBytes > this.maxHeaderBytes)
      this.fail(
        'too-large',
        `header above ${this.maxHeaderBytes} bytes:`,
        this.header.tag,
        this.header.offset,
      );
  }

  private overrun(): never {
    return this.fail('malformed', 'overruns its item:', this.header.tag, this.header.offset);
  }

  private fail(reason: DicomParseReason, what: string, tag: Tag | undefined, offset: number): never {
    throw new DicomParseError(reason, what, { tag, offset });
  }
}

/** (7FE0,0008), (7FE0,0009) and (7FE0,0010). */
function isPixelData(tag: Tag): boolean {
  return tag >= 0x7fe00008 && tag <= 0x7fe00010;
}

function isOther(vr: string): boolean {
  return vr.length === 2 && vr.startsWith('O');
}
