import type { AsyncWindow, ExtendedNegotiation, ProposedContext, RoleSelection, UserIdentity } from './types';

/** Reasons of an A-ABORT whose source is the provider (PS3.8 9.3.8). */
export const ABORT_REASON = {
  notSpecified: 0,
  unrecognizedPdu: 1,
  unexpectedPdu: 2,
  unrecognizedParameter: 4,
  unexpectedParameter: 5,
  invalidParameter: 6,
} as const;

/** Bytes that are no valid PDU. `reason` is the one of the A-ABORT that answers them. */
export class PduError extends Error {
  readonly code = 'PDU';
  readonly reason: number;

  constructor(message: string, reason: number = ABORT_REASON.invalidParameter) {
    super(message);
    this.name = 'PduError';
    this.reason = reason;
  }
}

/** SOP Class Common Extended Negotiation (PS3.7 D.3.3.6); read, never answered. */
export interface CommonExtendedNegotiation {
  readonly sopClass: string;
  readonly serviceClass: string;
  readonly relatedGeneralClasses: readonly string[];
}

/** The User Information item (PS3.8 9.3.2.3, PS3.7 D.3.3); undefined or empty = the sub-item was not there. */
export interface UserInformation {
  readonly maximumLength: number | undefined;
  readonly implementationClassUID: string;
  readonly implementationVersionName: string;
  readonly asyncWindow: AsyncWindow | undefined;
  readonly roles: readonly RoleSelection[];
  readonly extendedNegotiation: readonly ExtendedNegotiation[];
  readonly commonExtendedNegotiation: readonly CommonExtendedNegotiation[];
  readonly userIdentity: UserIdentity | undefined;
  readonly userIdentityResponse: Buffer | undefined;
}

/** One answered context of an A-ASSOCIATE-AC (PS3.8 9.3.3.2), as it stands on the wire. */
export interface AnsweredContext {
  readonly id: number;
  readonly result: number;
  readonly transferSyntax: string;
}

/** The variable items of A-ASSOCIATE-RQ and -AC. */
export interface AssociateItems {
  readonly applicationContext: string;
  readonly proposed: readonly ProposedContext[];
  readonly answered: readonly AnsweredContext[];
  readonly userInformation: UserInformation;
}

/** Item and sub-item types. */
const ITEM = {
  applicationContext: 0x10,
  proposedContext: 0x20,
  answeredContext: 0x21,
  abstractSyntax: 0x30,
  transferSyntax: 0x40,
  userInformation: 0x50,
  maximumLength: 0x51,
  implementationClassUID: 0x52,
  asyncWindow: 0x53,
  role: 0x54,
  implementationVersionName: 0x55,
  extended: 0x56,
  commonExtended: 0x57,
  userIdentity: 0x58,
  userIdentityResponse: 0x59,
} as const;

/** Reads within bounds: every length is checked against what remains before it is used. */
class ItemReader {
  private readonly bytes: Buffer;
  private readonly what: string;
  private position = 0;

  constructor(bytes: Buffer, what: string) {
    this.bytes = bytes;
    this.what = what;
  }

  get remaining(): number {
    return this.bytes.length - this.position;
  }

  private advance(length: number): number {
    if (length > this.remaining) throw new PduError(`${this.what} is longer than what encloses it`);
    const start = this.position;
    this.position += length;
    return start;
  }

  uint8(): number {
    return this.bytes.readUInt8(this.advance(1));
  }

  uint16(): number {
    return this.bytes.readUInt16BE(this.advance(2));
  }

  uint32(): number {
    return this.bytes.readUInt32BE(this.advance(4));
  }

  skip(length: number): void {
    this.advance(length);
  }

  /** A copy, so that a few bytes kept for an association's life don't hold the receive buffer. */
  take(length: number): Buffer {
    const start = this.advance(length);
    return Buffer.from(this.bytes.subarray(start, start + length));
  }

  /** UIDs and names; a trailing NUL or space is padding that some peers add. */
  text(length: number): string {
    const start = this.advance(length);
    let end = start + length;
    while (end > start && (this.bytes[end - 1] === 0 || this.bytes[end - 1] === 0x20)) end--;
    return this.bytes.toString('latin1', start, end);
  }

  /** A text preceded by its length in two bytes. */
  countedText(): string {
    return this.text(this.uint16());
  }

  counted(): Buffer {
    return this.take(this.uint16());
  }

  rest(): ItemReader {
    const start = this.advance(this.remaining);
    return new ItemReader(this.bytes.subarray(start), this.what);
  }

  /** The next item: type, a reserved byte that is never tested, length in two bytes, value. */
  item(): { type: number; value: ItemReader } {
    const type = this.uint8();
    this.skip(1);
    const length = this.uint16();
    const start = this.advance(length);
    const what = `item ${type.toString(16).toUpperCase()}H`;
    return { type, value: new ItemReader(this.bytes.subarray(start, start + length), what) };
  }
}

function readText(reader: ItemReader): string {
  return reader.text(reader.remaining);
}

/** Odd, 1 to 255, each once (PS3.8 9.3.2.2): so there are never more than 128. */
function checkContextId(id: number, seen: Set<number>): void {
  if (id % 2 === 0) throw new PduError(`presentation context id ${id} is even`);
  if (seen.has(id)) throw new PduError(`presentation context id ${id} stands there twice`);
  seen.add(id);
}

function readProposedContext(reader: ItemReader): ProposedContext {
  const id = reader.uint8();
  reader.skip(3);
  let abstractSyntax = '';
  const transferSyntaxes: string[] = [];
  while (reader.remaining > 0) {
    const { type, value } = reader.item();
    if (type === ITEM.abstractSyntax) abstractSyntax = readText(value);
    else if (type === ITEM.transferSyntax) transferSyntaxes.push(readText(value));
  }
  return { id, abstractSyntax, transferSyntaxes };
}

function readAnsweredContext(reader: ItemReader): AnsweredContext {
  const id = reader.uint8();
  reader.skip(1);
  const result = reader.uint8();
  reader.skip(1);
  let transferSyntax = '';
  while (reader.remaining > 0) {
    const { type, value } = reader.item();
    if (type === ITEM.transferSyntax) transferSyntax = readText(value);
  }
  return { id, result, transferSyntax };
}

function readCommonExtended(reader: ItemReader): CommonExtendedNegotiation {
  const sopClass = reader.countedText();
  const serviceClass = reader.countedText();
  const length = reader.uint16();
  if (length > reader.remaining) throw new PduError('item 57H: its list of classes overruns it');
  const end = reader.remaining - length;
  const relatedGeneralClasses: string[] = [];
  while (reader.remaining > end) relatedGeneralClasses.push(reader.countedText());
  return { sopClass, serviceClass, relatedGeneralClasses };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function noUserInformation(): Mutable<UserInformation> {
  return {
    maximumLength: undefined,
    implementationClassUID: '',
    implementationVersionName: '',
    asyncWindow: undefined,
    roles: [],
    extendedNegotiation: [],
    commonExtendedNegotiation: [],
    userIdentity: undefined,
    userIdentityResponse: undefined,
  };
}

function readUserInformation(reader: ItemReader): UserInformation {
  const roles: RoleSelection[] = [];
  const extendedNegotiation: ExtendedNegotiation[] = [];
  const commonExtendedNegotiation: CommonExtendedNegotiation[] = [];
  const info = { ...noUserInformation(), roles, extendedNegotiation, commonExtendedNegotiation };
  while (reader.remaining > 0) {
    const { type, value } = reader.item();
    switch (type) {
      case ITEM.maximumLength:
        info.maximumLength = value.uint32();
        break;
      case ITEM.implementationClassUID:
        info.implementationClassUID = readText(value);
        break;
      case ITEM.asyncWindow:
        info.asyncWindow = { invoked: value.uint16(), performed: value.uint16() };
        break;
      case ITEM.role:
        roles.push({ sopClass: value.countedText(), scu: value.uint8() === 1, scp: value.uint8() === 1 });
        break;
      case ITEM.implementationVersionName:
        info.implementationVersionName = readText(value);
        break;
      case ITEM.extended:
        extendedNegotiation.push({
          sopClass: value.countedText(),
          information: value.take(value.remaining),
        });
        break;
      case ITEM.commonExtended:
        commonExtendedNegotiation.push(readCommonExtended(value));
        break;
      case ITEM.userIdentity:
        info.userIdentity = {
          type: value.uint8(),
          positiveResponseRequested: value.uint8() === 1,
          primary: value.counted(),
          secondary: value.counted(),
        };
        break;
      case ITEM.userIdentityResponse:
        info.userIdentityResponse = value.counted();
        break;
      default:
        // Unknown sub-items are skipped, never a reason to refuse (PS3.8 9.3.1, PS3.7 D.2).
        break;
    }
  }
  return info;
}

/**
 * Reads the variable items of an A-ASSOCIATE-RQ or -AC, in any order; unknown ones are skipped.
 * @throws PduError reason 6 on an item that overruns what encloses it, and on an even or repeated context id.
 */
export function decodeAssociateItems(bytes: Buffer): AssociateItems {
  const reader = new ItemReader(bytes, 'an item');
  const proposed: ProposedContext[] = [];
  const answered: AnsweredContext[] = [];
  const seen = new Set<number>();
  let applicationContext = '';
  let userInformation: UserInformation = noUserInformation();
  while (reader.remaining > 0) {
    const { type, value } = reader.item();
    switch (type) {
      case ITEM.applicationContext:
        applicationContext = readText(value);
        break;
      case ITEM.proposedContext: {
        const context = readProposedContext(value);
        checkContextId(context.id, seen);
        proposed.push(context);
        break;
      }
      case ITEM.answeredContext: {
        const context = readAnsweredContext(value);
        checkContextId(context.id, seen);
        answered.push(context);
        break;
      }
      case ITEM.userInformation:
        userInformation = readUserInformation(value);
        break;
      default:
        break;
    }
  }
  return { applicationContext, proposed, answered, userInformation };
}

function item(type: number, ...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length > 0xffff) throw new RangeError(`item ${type.toString(16)}H is too long: ${length} bytes`);
  return Buffer.concat([Buffer.from([type, 0, length >> 8, length & 0xff]), ...parts]);
}

function text(value: string): Buffer {
  return Buffer.from(value, 'latin1');
}

function counted(value: Buffer | string): Buffer {
  const bytes = typeof value === 'string' ? text(value) : value;
  if (bytes.length > 0xffff) throw new RangeError(`field is too long: ${bytes.length} bytes`);
  return Buffer.concat([uint16(bytes.length), bytes]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function encodeUserInformation(info: UserInformation): Buffer {
  const parts: Buffer[] = [];
  if (info.maximumLength !== undefined) parts.push(item(ITEM.maximumLength, uint32(info.maximumLength)));
  if (info.implementationClassUID !== '') {
    parts.push(item(ITEM.implementationClassUID, text(info.implementationClassUID)));
  }
  if (info.asyncWindow !== undefined) {
    const { invoked, performed } = info.asyncWindow;
    parts.push(item(ITEM.asyncWindow, uint16(invoked), uint16(performed)));
  }
  for (const { sopClass, scu, scp } of info.roles) {
    parts.push(item(ITEM.role, counted(sopClass), Buffer.from([scu ? 1 : 0, scp ? 1 : 0])));
  }
  if (info.implementationVersionName !== '') {
    parts.push(item(ITEM.implementationVersionName, text(info.implementationVersionName)));
  }
  for (const { sopClass, information } of info.extendedNegotiation) {
    parts.push(item(ITEM.extended, counted(sopClass), information));
  }
  for (const { sopClass, serviceClass, relatedGeneralClasses } of info.commonExtendedNegotiation) {
    const list = Buffer.concat(relatedGeneralClasses.map(counted));
    parts.push(item(ITEM.commonExtended, counted(sopClass), counted(serviceClass), counted(list)));
  }
  if (info.userIdentity !== undefined) {
    const { type, positiveResponseRequested, primary, secondary } = info.userIdentity;
    const head = Buffer.from([type, positiveResponseRequested ? 1 : 0]);
    parts.push(item(ITEM.userIdentity, head, counted(primary), counted(secondary)));
  }
  if (info.userIdentityResponse !== undefined) {
    parts.push(item(ITEM.userIdentityResponse, counted(info.userIdentityResponse)));
  }
  return item(ITEM.userInformation, ...parts);
}

/** @throws RangeError on a value that its length field can't tell. */
export function encodeAssociateItems(items: AssociateItems): Buffer {
  return Buffer.concat([
    item(ITEM.applicationContext, text(items.applicationContext)),
    ...items.proposed.map((context) =>
      item(
        ITEM.proposedContext,
        Buffer.from([context.id, 0, 0, 0]),
        item(ITEM.abstractSyntax, text(context.abstractSyntax)),
        ...context.transferSyntaxes.map((syntax) => item(ITEM.transferSyntax, text(syntax))),
      ),
    ),
    ...items.answered.map((context) =>
      item(
        ITEM.answeredContext,
        Buffer.from([context.id, 0, context.result, 0]),
        item(ITEM.transferSyntax, text(context.transferSyntax)),
      ),
    ),
    encodeUserInformation(items.userInformation),
  ]);
}
