import { ABORT_REASON, PduError } from './pdu-items';
import { CONTROL, PDU_HEADER_LENGTH, PDU_TYPE, PDV_HEADER_LENGTH, decodePdu } from './pdu';
import type { Pdu } from './pdu';

/**
 * What the bytes say, in wire order. A P-DATA-TF PDU comes in pieces as it arrives: `data`, then for each PDV
 * `fragment-start`, slices of the chunks pushed, `fragment-end`. After `error` nothing follows: the framing is lost.
 */
export type PduEvent =
  | { readonly type: 'pdu'; readonly pdu: Pdu }
  | { readonly type: 'data' }
  | {
      readonly type: 'fragment-start';
      readonly contextId: number;
      readonly command: boolean;
      readonly last: boolean;
    }
  | { readonly type: 'fragment-data'; readonly bytes: Buffer }
  | { readonly type: 'fragment-end' }
  | {
      readonly type: 'error';
      /** For the log; nothing from the peer in it. */
      readonly message: string;
      /** Reason of an A-ABORT with source 2. */
      readonly reason: number;
      /** The six bytes where a PDU should begin: they tell HTTP or TLS from a broken DICOM peer. */
      readonly header: Buffer;
    };

/** RQ and AC: 128 contexts with 60 transfer syntaxes each take half of it. Stops memory being claimed by a header. */
export const MAXIMUM_ASSOCIATE_LENGTH = 1024 * 1024;
/** Every other PDU but P-DATA-TF has this length. */
const FIXED_LENGTH = 4;
const FIRST_BODY_ALLOCATION = 4096;

const DATA: PduEvent = { type: 'data' };
const FRAGMENT_END: PduEvent = { type: 'fragment-end' };
const EMPTY = Buffer.alloc(0);

/**
 * Cuts a byte stream into PDUs (PS3.8 9.3.1). Pure: chunks in, events out. Fragments are slices of the chunks;
 * other PDUs are collected, their length checked before anything is allocated, and memory grows with what came, not
 * with what was announced.
 */
export class PduReader {
  private readonly maximumDataLength: number;
  private stage: 'pdu-header' | 'pdu-body' | 'pdv-header' | 'pdv-data' | 'failed' = 'pdu-header';
  private chunk: Buffer = EMPTY;
  private position = 0;
  /** Header of the PDU or of the PDV: six bytes both. */
  private readonly header = Buffer.alloc(PDU_HEADER_LENGTH);
  private headerFill = 0;
  private readonly pduHeader = Buffer.alloc(PDU_HEADER_LENGTH);
  /** Bytes of the PDU still to come. */
  private pduLeft = 0;
  /** Bytes of the PDV's fragment still to come. */
  private pdvLeft = 0;
  private body: Buffer = EMPTY;
  private bodyFill = 0;

  /** @param maximumDataLength the maximum length we announced: P-DATA-TF beyond it is an error (PS3.8 D.1). */
  constructor(maximumDataLength: number) {
    this.maximumDataLength = maximumDataLength;
  }

  /** True between the first byte of a PDU and its last. */
  get inPdu(): boolean {
    return this.stage !== 'pdu-header' || this.headerFill > 0;
  }

  /** Adds received bytes. The chunk is kept until its events are taken, its slices as long as the taker wants. */
  push(chunk: Buffer): void {
    this.chunk =
      this.position < this.chunk.length ? Buffer.concat([this.chunk.subarray(this.position), chunk]) : chunk;
    this.position = 0;
  }

  /** The next event, or undefined: more bytes are needed. */
  next(): PduEvent | undefined {
    for (;;) {
      switch (this.stage) {
        case 'pdu-header': {
          if (!this.fillHeader()) return this.drained();
          const event = this.beginPdu();
          if (event !== undefined) return event;
          break;
        }
        case 'pdu-body':
          return this.collectBody();
        case 'pdv-header':
          if (!this.fillHeader()) return this.drained();
          return this.beginFragment();
        case 'pdv-data':
          if (this.pdvLeft > 0) return this.sliceFragment();
          this.stage = this.pduLeft > 0 ? 'pdv-header' : 'pdu-header';
          return FRAGMENT_END;
        case 'failed':
          return this.drained();
      }
    }
  }

  /** Lets the chunk go: a quiet association keeps no receive buffer alive. */
  private drained(): PduEvent | undefined {
    this.chunk = EMPTY;
    this.position = 0;
    return undefined;
  }

  private fillHeader(): boolean {
    while (this.headerFill < PDU_HEADER_LENGTH) {
      const byte = this.chunk[this.position];
      if (byte === undefined) return false;
      this.header[this.headerFill++] = byte;
      this.position++;
    }
    this.headerFill = 0;
    return true;
  }

  private beginPdu(): PduEvent | undefined {
    this.header.copy(this.pduHeader);
    const type = this.header.readUInt8(0);
    const length = this.header.readUInt32BE(2);
    switch (type) {
      case PDU_TYPE.data:
        if (length > this.maximumDataLength) {
          return this.fail(`P-DATA-TF of ${length} bytes where ${this.maximumDataLength} were announced`);
        }
        if (length < PDV_HEADER_LENGTH) return this.fail(`P-DATA-TF of ${length} bytes holds no PDV`);
        this.pduLeft = length;
        this.stage = 'pdv-header';
        return DATA;
      case PDU_TYPE.associateRequest:
      case PDU_TYPE.associateAccept:
        if (length > MAXIMUM_ASSOCIATE_LENGTH) return this.fail(`A-ASSOCIATE PDU of ${length} bytes`);
        break;
      case PDU_TYPE.associateReject:
      case PDU_TYPE.releaseRequest:
      case PDU_TYPE.releaseResponse:
      case PDU_TYPE.abort:
        if (length !== FIXED_LENGTH) {
          return this.fail(`PDU type ${type} of ${length} bytes where the standard fixes 4`);
        }
        break;
      default:
        return this.fail(`unrecognized PDU type ${hex(type)}`, ABORT_REASON.unrecognizedPdu);
    }
    this.pduLeft = length;
    this.body = EMPTY;
    this.bodyFill = 0;
    this.stage = 'pdu-body';
    return undefined;
  }

  private collectBody(): PduEvent | undefined {
    const size = Math.min(this.pduLeft, this.chunk.length - this.position);
    const part = this.chunk.subarray(this.position, this.position + size);
    this.position += size;
    this.pduLeft -= size;
    if (this.bodyFill === 0 && this.pduLeft === 0) {
      this.body = part;
    } else {
      this.append(part);
      if (this.pduLeft > 0) return this.drained();
    }
    const body = this.body.subarray(0, this.bodyFill === 0 ? size : this.bodyFill);
    this.body = EMPTY;
    this.stage = 'pdu-header';
    try {
      return { type: 'pdu', pdu: decodePdu(this.pduHeader.readUInt8(0), body) };
    } catch (error) {
      if (error instanceof PduError) return this.fail(error.message, error.reason);
      throw error;
    }
  }

  /** Doubles rather than keeping a list: a peer that sends byte by byte must not cost an object a byte. */
  private append(part: Buffer): void {
    const needed = this.bodyFill + part.length;
    if (needed > this.body.length) {
      const size = Math.min(
        needed + this.pduLeft,
        Math.max(FIRST_BODY_ALLOCATION, needed, 2 * this.body.length),
      );
      const grown = Buffer.allocUnsafe(size);
      this.body.copy(grown, 0, 0, this.bodyFill);
      this.body = grown;
    }
    part.copy(this.body, this.bodyFill);
    this.bodyFill = needed;
  }

  private beginFragment(): PduEvent {
    const length = this.header.readUInt32BE(0);
    // The length counts context id and control header (PS3.8 9.3.5.1).
    if (length < 2) return this.fail(`PDV of ${length} bytes`);
    if (length > this.pduLeft - 4) return this.fail(`PDV of ${length} bytes overruns its PDU`);
    this.pduLeft -= length + 4;
    // What is left must hold another PDV or be nothing: found out here, before this PDV's data is handed on.
    if (this.pduLeft > 0 && this.pduLeft < PDV_HEADER_LENGTH) {
      return this.fail(`${this.pduLeft} bytes behind the last PDV`);
    }
    this.pdvLeft = length - 2;
    this.stage = 'pdv-data';
    const control = this.header.readUInt8(5);
    return {
      type: 'fragment-start',
      contextId: this.header.readUInt8(4),
      command: (control & CONTROL.command) !== 0,
      last: (control & CONTROL.last) !== 0,
    };
  }

  private sliceFragment(): PduEvent | undefined {
    const size = Math.min(this.pdvLeft, this.chunk.length - this.position);
    if (size === 0) return this.drained();
    const bytes = this.chunk.subarray(this.position, this.position + size);
    this.position += size;
    this.pdvLeft -= size;
    return { type: 'fragment-data', bytes };
  }

  private fail(message: string, reason: number = ABORT_REASON.invalidParameter): PduEvent {
    this.stage = 'failed';
    this.chunk = EMPTY;
    this.body = EMPTY;
    return { type: 'error', message, reason, header: Buffer.from(this.pduHeader) };
  }
}

function hex(type: number): string {
  return `${type.toString(16).toUpperCase().padStart(2, '0')}H`;
}
