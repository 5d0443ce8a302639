import { deflateRawSync } from 'node:zlib';
import { encodeDataSet } from '../dicom/data-set';
import { encodingOf } from '../dicom/uids';
import { STATUS } from '../dimse/status';
import type { CommandSet, DimseResponse } from '../dimse/types';

const FAILED_SOP_INSTANCE_UID_LIST = 0x00080058;

/** The longest even value of a UI element with a two-byte length (PS3.5 7.1.2). */
const LONGEST_LIST = 65_534;

/** Counters are US (PS3.7 E.1). */
const LARGEST_COUNTER = 0xffff;

export type SubOperation = 'completed' | 'warning' | 'failed';

/**
 * Counters of the sub-operations of a C-MOVE or C-GET (PS3.4 C.4.2.1.6 to C.4.2.1.9) and the list of those that failed. Each is counted
 * once; with what remains they always make the number there was at the beginning.
 */
export class Tally {
  readonly total: number;
  completed = 0;
  warning = 0;
  failed = 0;
  private readonly failedUids: string[] = [];
  /** Of the list so far, separators included. */
  private length = 0;
  private full = false;

  constructor(total: number) {
    this.total = total;
  }

  get remaining(): number {
    return this.total - this.completed - this.warning - this.failed;
  }

  /** One sub-operation has ended. More than there were at the beginning aren't counted. */
  add(outcome: SubOperation, SOPInstanceUID: string): void {
    if (this.remaining <= 0) return;
    this[outcome]++;
    if (outcome === 'failed') this.list(SOPInstanceUID);
  }

  /** What remains has failed, and nobody knows its UIDs any more: it went while the others were sent. */
  failRest(): void {
    this.failed += this.remaining;
  }

  /** For a response before the last one. */
  pending(): DimseResponse {
    return { status: STATUS.Pending, fields: this.counters(true) };
  }

  /**
   * The last response (DM-15, DM-16). Cancelled: what remains wasn't begun.
   * @param why Of the first failure or warning.
   */
  final(
    transferSyntax: string,
    { cancelled = false, why }: { readonly cancelled?: boolean; readonly why?: string | undefined } = {},
  ): DimseResponse {
    const status = cancelled ? STATUS.Cancel : this.finalStatus();
    const dataSet = this.failed === 0 ? undefined : this.encodeList(transferSyntax);
    return {
      status,
      fields: this.counters(cancelled),
      ...(status === STATUS.Success || status === STATUS.Cancel ? {} : { comment: this.comment(why) }),
      ...(dataSet === undefined ? {} : { dataSet }),
    };
  }

  private finalStatus(): number {
    if (this.failed === 0 && this.warning === 0) return STATUS.Success;
    return this.failed === this.total
      ? STATUS.UnableToPerformSubOperations
      : STATUS.SubOperationsCompleteWithFailures;
  }

  private comment(why = ''): string {
    const [count, what] = this.failed > 0 ? [this.failed, 'failed'] : [this.warning, 'with warnings'];
    return `${count} of ${this.total} ${what}${why === '' ? '' : `: ${why}`}`;
  }

  private counters(withRemaining: boolean): Partial<CommandSet> {
    const capped = (count: number): number => Math.min(count, LARGEST_COUNTER);
    return {
      ...(withRemaining ? { NumberOfRemainingSuboperations: capped(this.remaining) } : {}),
      NumberOfCompletedSuboperations: capped(this.completed),
      NumberOfFailedSuboperations: capped(this.failed),
      NumberOfWarningSuboperations: capped(this.warning),
    };
  }

  /** By whole UIDs: some callers can't read a list beyond the short length field. */
  private list(uid: string): void {
    const added = uid.length + (this.failedUids.length === 0 ? 0 : 1);
    if (this.full || this.length + added > LONGEST_LIST) {
      this.full = true;
      return;
    }
    this.failedUids.push(uid);
    this.length += added;
  }

  /** No (0008,0005): UIDs are of the default repertoire (CP-602). */
  private encodeList(transferSyntax: string): Buffer {
    const value = Buffer.from(this.failedUids.join('\\'), 'latin1');
    const bytes = encodeDataSet([{ tag: FAILED_SOP_INSTANCE_UID_LIST, vr: 'UI', value }], transferSyntax);
    if (!encodingOf(transferSyntax).deflated) return bytes;
    const stream = deflateRawSync(bytes);
    // PS3.5 A.5: of even length.
    return stream.length % 2 === 0 ? stream : Buffer.concat([stream, Buffer.alloc(1)]);
  }
}
