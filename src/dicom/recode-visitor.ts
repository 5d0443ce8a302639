import { isGroupLength, vrOf } from './dictionary';
import {
  UNDEFINED_LENGTH,
  type ElementHeader,
  type ElementVisitor,
  type ValueHandling,
} from './element-visitor';
import { RecodeProblem } from './recode-problem';
import type { RecodeOutput } from './recode-output';
import { decide, explicitVr, isDeciding, type ValueContext } from './recode-vr';
import { ElementWriter, headerSize } from './recode-writer';
import type { Tag } from './types';
import { codeOf, valueRepresentation } from './vr';

const ITEM = 0xfffee000;
const ITEM_DELIMITER = 0xfffee00d;
const SEQUENCE_DELIMITER = 0xfffee0dd;
/** The longest value of a VR with a length field of 16 bits (PS3.5 7.1.2). */
const LONGEST_SHORT = 0xffff;

/** How the elements of an uncompressed data set are encoded (PS3.5 10, A.1 to A.3). */
export interface NativeEncoding {
  readonly explicit: boolean;
  readonly littleEndian: boolean;
}

/** A sequence or an item that is open. */
interface Open {
  /** It ends with a delimiter. */
  delimited: boolean;
  /** Its header as written; the length stands last. */
  readonly header: Buffer;
  /** What held around it. */
  readonly outer: { readonly context: ValueContext; readonly verbatim: boolean };
}

/**
 * Writes what a walker finds in another uncompressed encoding.
 *
 * Between two explicit ones no element changes its size, so everything stays as it was but the order of bytes. Between implicit and
 * explicit they do: group lengths (retired) go, and sequences and items get undefined lengths, so that nobody has to look ahead.
 */
export class RecodeVisitor implements ElementVisitor {
  /** Bytes of what was left out though sizes stay. */
  omitted = 0;
  private readonly to: NativeEncoding;
  private readonly sameSizes: boolean;
  private readonly writer: ElementWriter;
  private readonly open: Open[] = [];
  private context: ValueContext = { signed: false };
  /** Inside a UN of undefined length, which is little endian and implicit in every syntax (PS3.5 6.2.2). */
  private verbatim = false;

  constructor(from: NativeEncoding, to: NativeEncoding, out: RecodeOutput) {
    this.to = to;
    this.sameSizes = from.explicit && to.explicit;
    this.writer = new ElementWriter(out);
  }

  element(header: ElementHeader): ValueHandling {
    const { tag, length, vrCode } = header;
    if (this.isLeftOut(header)) {
      this.omitted += headerSize(vrCode) + length;
      return 'skip';
    }
    // What only the dictionary knows to be a sequence (PS3.5 6.2.2): some writers leave VRs inside, which must not be there now.
    if (!this.to.explicit && header.vr === 'UN' && vrCode !== 0 && length > 0 && vrOf(tag) === 'SQ')
      return 'walk';
    const vr = this.vrOf(header);
    this.writer.header(tag, this.codeOf(header, vr), length, this.littleEndian);
    this.writer.begin(vr, !this.verbatim && header.littleEndian !== this.to.littleEndian);
    return isDeciding(tag) && length === 2 && (header.vr === 'US' || header.vr === 'UN') ? 'keep' : 'stream';
  }

  value(header: ElementHeader, bytes: Buffer): void {
    decide(this.context, header.tag, header.littleEndian ? bytes.readUInt16LE() : bytes.readUInt16BE());
    this.writer.part(bytes);
    this.writer.end();
  }

  part(_header: ElementHeader, bytes: Buffer): void {
    this.writer.part(bytes);
  }

  valueEnd(): void {
    this.writer.end();
  }

  sequenceStart(header: ElementHeader): void {
    const verbatim = this.verbatim || (this.sameSizes && header.vr === 'UN');
    // Only a sequence may have no length, so what an implicit syntax doesn't name is known to be one.
    const code = this.sameSizes ? this.codeOf(header, header.vr) : this.to.explicit ? codeOf('SQ') : 0;
    const length = this.lengthOf(header);
    this.enter(
      this.writer.header(header.tag, code, length, this.littleEndian),
      length,
      verbatim,
      this.context,
    );
  }

  itemStart(header: ElementHeader): void {
    const length = this.lengthOf(header);
    const place = this.writer.header(ITEM, 0, length, this.littleEndian);
    this.enter(place, length, this.verbatim, { signed: this.context.signed });
  }

  itemEnd(): void {
    this.leave(ITEM_DELIMITER);
  }

  sequenceEnd(): void {
    this.leave(SEQUENCE_DELIMITER);
  }

  strayDelimiter(header: ElementHeader): void {
    // It counts in the lengths around it.
    if (this.sameSizes) this.writer.header(header.tag, 0, 0, this.littleEndian);
  }

  fragmentsStart(): void {
    throw new RecodeProblem('it has compressed pixel data, which its transfer syntax rules out');
  }

  /** Writes an element whose value, in little-endian order, the caller hands to `part`, then calls `valueEnd`. */
  insert(tag: Tag, vr: string, length: number): void {
    this.writer.header(tag, this.to.explicit ? codeOf(vr) : 0, length, this.to.littleEndian);
    this.writer.begin(vr, !this.to.littleEndian);
  }

  /** Gives everything that is open an undefined length; only as long as nothing of it was handed on. */
  undefineLengths(): void {
    for (const open of this.open) {
      // All ones in either order of bytes.
      open.header.writeUInt32LE(UNDEFINED_LENGTH, open.header.length - 4);
      open.delimited = true;
    }
  }

  private get littleEndian(): boolean {
    return this.verbatim || this.to.littleEndian;
  }

  private isLeftOut({ tag, depth }: ElementHeader): boolean {
    if (isGroupLength(tag) && !this.sameSizes) return true;
    // Commands and file meta information have no place in a data set (PS3.5 7.1).
    const group = Math.floor(tag / 0x10000);
    return depth === 0 && (group === 0 || group === 2);
  }

  /** As what the value is read and written. */
  private vrOf(header: ElementHeader): string {
    const vr = explicitVr(header, this.context);
    const short = valueRepresentation(vr)?.long === false;
    return this.to.explicit && short && header.length > LONGEST_SHORT ? 'UN' : vr;
  }

  private codeOf(header: ElementHeader, vr: string): number {
    if (!this.to.explicit) return 0;
    if (!this.sameSizes) return codeOf(vr);
    if (header.vrCode === 0 && !this.littleEndian)
      throw new RecodeProblem('it has elements without VR among those with one');
    // A VR that isn't known stays; so does its absence.
    return this.verbatim || header.vrCode === 0 || vr === header.vr ? header.vrCode : codeOf(vr);
  }

  private lengthOf({ length }: ElementHeader): number {
    return this.sameSizes || length === 0 ? length : UNDEFINED_LENGTH;
  }

  private enter(header: Buffer, length: number, verbatim: boolean, context: ValueContext): void {
    const outer = { context: this.context, verbatim: this.verbatim };
    this.open.push({ delimited: length === UNDEFINED_LENGTH, header, outer });
    this.context = context;
    this.verbatim = verbatim;
  }

  private leave(delimiter: Tag): void {
    const closed = this.open.pop();
    if (closed === undefined) return;
    if (closed.delimited) this.writer.header(delimiter, 0, 0, this.littleEndian);
    this.context = closed.outer.context;
    this.verbatim = closed.outer.verbatim;
  }
}
