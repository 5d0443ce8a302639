import { PduError, decodeAssociateItems, encodeAssociateItems } from './pdu-items';
import type { AnsweredContext, UserInformation } from './pdu-items';
import type { ProposedContext } from './types';

/** PDU types (PS3.8 9.3.1). */
export const PDU_TYPE = {
  associateRequest: 0x01,
  associateAccept: 0x02,
  associateReject: 0x03,
  data: 0x04,
  releaseRequest: 0x05,
  releaseResponse: 0x06,
  abort: 0x07,
} as const;

/** Type, a reserved byte, length in four bytes. */
export const PDU_HEADER_LENGTH = 6;
/** Length, context id and control header of a presentation data value; counted in the PDU's length. */
export const PDV_HEADER_LENGTH = 6;
/** Application context of DICOM (PS3.7 A.2.1). */
export const DICOM_APPLICATION_CONTEXT = '1.2.840.10008.3.1.1.1';

interface AssociatePdu {
  /** Only bit 0 is ever tested (PS3.8 9.3.2). */
  readonly protocolVersion: number;
  /**
   * 64 bytes: called title, calling title, 32 reserved ones. An A-ASSOCIATE-AC returns them as received
   * (PS3.8 9.3.3), hence undecoded; see `calledTitle` and `callingTitle`.
   */
  readonly addressing: Buffer;
  readonly applicationContext: string;
  readonly userInformation: UserInformation;
}

export interface AssociateRequestPdu extends AssociatePdu {
  readonly type: 'associate-rq';
  readonly contexts: readonly ProposedContext[];
}

export interface AssociateAcceptPdu extends AssociatePdu {
  readonly type: 'associate-ac';
  readonly contexts: readonly AnsweredContext[];
}

export interface AssociateRejectPdu {
  readonly type: 'associate-rj';
  readonly result: number;
  readonly source: number;
  readonly reason: number;
}

export interface AbortPdu {
  readonly type: 'abort';
  readonly source: number;
  readonly reason: number;
}

/** Every PDU but P-DATA-TF, which is never held whole. */
export type Pdu =
  | AssociateRequestPdu
  | AssociateAcceptPdu
  | AssociateRejectPdu
  | { readonly type: 'release-rq' }
  | { readonly type: 'release-rp' }
  | AbortPdu;

const TITLE_LENGTH = 16;
const ADDRESSING_LENGTH = 64;
/** Protocol version, two reserved bytes, addressing. */
const ASSOCIATE_FIXED_LENGTH = 4 + ADDRESSING_LENGTH;

/** A title without the spaces around it, which carry no meaning (PS3.5 6.2); NULs are taken for spaces. */
function title(bytes: Buffer): string {
  return bytes.toString('latin1').replace(/^[\0 ]+|[\0 ]+$/g, '');
}

export function calledTitle(addressing: Buffer): string {
  return title(addressing.subarray(0, TITLE_LENGTH));
}

export function callingTitle(addressing: Buffer): string {
  return title(addressing.subarray(TITLE_LENGTH, 2 * TITLE_LENGTH));
}

/** The addressing of an A-ASSOCIATE-RQ. @throws RangeError on a title of more than 16 characters. */
export function encodeAddressing(called: string, calling: string): Buffer {
  const addressing = Buffer.alloc(ADDRESSING_LENGTH);
  for (const [index, value] of [called, calling].entries()) {
    if (value.length > TITLE_LENGTH) throw new RangeError(`AE title of more than 16 characters: ${value}`);
    addressing.write(value.padEnd(TITLE_LENGTH, ' '), index * TITLE_LENGTH, 'latin1');
  }
  return addressing;
}

/**
 * Decodes the body of a whole PDU, without its header. Reserved fields are not tested.
 * @throws PduError with the reason of the A-ABORT to answer.
 */
export function decodePdu(type: number, body: Buffer): Pdu {
  switch (type) {
    case PDU_TYPE.associateRequest:
    case PDU_TYPE.associateAccept: {
      if (body.length < ASSOCIATE_FIXED_LENGTH) throw new PduError('A-ASSOCIATE PDU ends in its fixed part');
      const items = decodeAssociateItems(body.subarray(ASSOCIATE_FIXED_LENGTH));
      const common = {
        protocolVersion: body.readUInt16BE(0),
        addressing: Buffer.from(body.subarray(4, ASSOCIATE_FIXED_LENGTH)),
        applicationContext: items.applicationContext,
        userInformation: items.userInformation,
      };
      return type === PDU_TYPE.associateRequest
        ? { type: 'associate-rq', ...common, contexts: items.proposed }
        : { type: 'associate-ac', ...common, contexts: items.answered };
    }
    case PDU_TYPE.associateReject:
      checkFixed(body);
      return {
        type: 'associate-rj',
        result: body.readUInt8(1),
        source: body.readUInt8(2),
        reason: body.readUInt8(3),
      };
    case PDU_TYPE.releaseRequest:
      checkFixed(body);
      return { type: 'release-rq' };
    case PDU_TYPE.releaseResponse:
      checkFixed(body);
      return { type: 'release-rp' };
    case PDU_TYPE.abort:
      checkFixed(body);
      return { type: 'abort', source: body.readUInt8(2), reason: body.readUInt8(3) };
    default:
      throw new PduError(`PDU type ${type.toString(16)}H has no decoder`, 1);
  }
}

function checkFixed(body: Buffer): void {
  if (body.length !== 4) throw new PduError(`PDU of ${body.length} bytes where the standard fixes 4`);
}

function frame(type: number, ...parts: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(PDU_HEADER_LENGTH);
  header.writeUInt8(type, 0);
  header.writeUInt32BE(
    parts.reduce((sum, part) => sum + part.length, 0),
    2,
  );
  return Buffer.concat([header, ...parts]);
}

/** Encodes a whole PDU. @throws RangeError on a value that its field can't hold. */
export function encodePdu(pdu: Pdu): Buffer {
  switch (pdu.type) {
    case 'associate-rq':
      return frame(PDU_TYPE.associateRequest, fixedPart(pdu), encodeItems(pdu, pdu.contexts, []));
    case 'associate-ac':
      return frame(PDU_TYPE.associateAccept, fixedPart(pdu), encodeItems(pdu, [], pdu.contexts));
    case 'associate-rj':
      return frame(PDU_TYPE.associateReject, Buffer.from([0, pdu.result, pdu.source, pdu.reason]));
    case 'release-rq':
      return frame(PDU_TYPE.releaseRequest, Buffer.alloc(4));
    case 'release-rp':
      return frame(PDU_TYPE.releaseResponse, Buffer.alloc(4));
    case 'abort':
      return frame(PDU_TYPE.abort, Buffer.from([0, 0, pdu.source, pdu.reason]));
  }
}

function fixedPart(pdu: AssociatePdu): Buffer {
  const version = Buffer.alloc(4);
  version.writeUInt16BE(pdu.protocolVersion, 0);
  return Buffer.concat([version, pdu.addressing]);
}

function encodeItems(
  pdu: AssociatePdu,
  proposed: readonly ProposedContext[],
  answered: readonly AnsweredContext[],
): Buffer {
  const { applicationContext, userInformation } = pdu;
  return encodeAssociateItems({ applicationContext, proposed, answered, userInformation });
}

/** Control header of a PDV: bit 0 a command, bit 1 the last fragment (PS3.8 E.2). */
export const CONTROL = { command: 1, last: 2 } as const;

/**
 * Writes the headers of a P-DATA-TF PDU that holds one PDV of `length` bytes (PS3.8 9.3.5): 12 bytes, to be
 * followed by the fragment itself.
 */
export function writeDataHeader(
  target: Buffer,
  offset: number,
  contextId: number,
  command: boolean,
  last: boolean,
  length: number,
): void {
  target.writeUInt16BE(PDU_TYPE.data << 8, offset);
  target.writeUInt32BE(length + PDV_HEADER_LENGTH, offset + 2);
  target.writeUInt32BE(length + 2, offset + 6);
  target.writeUInt8(contextId, offset + 10);
  target.writeUInt8((command ? CONTROL.command : 0) | (last ? CONTROL.last : 0), offset + 11);
}
