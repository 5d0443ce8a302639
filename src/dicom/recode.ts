import { ElementWalker } from './element-walker';
import { RecodeOutput } from './recode-output';
import { RecodeProblem } from './recode-problem';
import { RecodeVisitor, type NativeEncoding } from './recode-visitor';

/**
 * Brings an uncompressed data set into another uncompressed encoding (PS3.5 A.1 to A.3) as its bytes come, without loss: private and unknown
 * elements keep their bytes, values their order and length. Left out are group lengths, which would be wrong between implicit and
 * explicit VR, and groups that belong to no data set. Holds no value; what is returned are slices of what came in where they are large.
 * @throws DicomParseError what came in can't be read.
 * @throws RecodeProblem it can't be written that way.
 */
export class Recoder {
  private readonly out = new RecodeOutput();
  private readonly visitor: RecodeVisitor;
  private readonly walker: ElementWalker;
  private readonly keepsSizes: boolean;

  constructor(from: NativeEncoding, to: NativeEncoding) {
    this.keepsSizes = from.explicit && to.explicit;
    this.visitor = new RecodeVisitor(from, to, this.out);
    this.walker = new ElementWalker(from, this.visitor);
  }

  /** The bytes that these ones become; use them before the ones that came in are reused. */
  push(chunk: Buffer): Buffer[] {
    this.walker.push(chunk);
    return this.out.take();
  }

  /** The data set ends here. */
  finish(): Buffer[] {
    this.walker.finish();
    const expected = this.walker.position - this.visitor.omitted;
    if (this.keepsSizes && this.out.length !== expected)
      throw new RecodeProblem(`it would have ${this.out.length} instead of ${expected} bytes`);
    return this.out.take();
  }
}
