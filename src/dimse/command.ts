import type { CommandSet } from './types';

/** The bytes are no command set; the answer is A-ABORT (PS3.7 6.3.1). */
export class CommandParseError extends Error {
  readonly code = 'COMMAND_PARSE';

  constructor(message: string) {
    super(message);
    this.name = 'CommandParseError';
  }
}

/** Data Set Type (0000,0800) that says "no data set"; any other value says there is one (PS3.7 9.3, 10.3). */
export const NO_DATA_SET = 0x0101;
/** What we write where there is one. */
export const DATA_SET_FOLLOWS = 0x0001;

type Representation = 'UI' | 'US' | 'AE' | 'LO' | 'AT';

interface CommandElement {
  readonly keyword: keyof CommandSet;
  /** Element number of group 0000. */
  readonly element: number;
  readonly vr: Representation;
  /** Upper bound written in place of a larger number: counters are US, a study may hold more (DM-14). */
  readonly cap?: number;
}

/** PS3.7 Annex E.1 in ascending order, without (0000,0000). AT elements hold one or more values, all others one. */
const ELEMENTS: readonly CommandElement[] = [
  { element: 0x0002, vr: 'UI', keyword: 'AffectedSOPClassUID' },
  { element: 0x0003, vr: 'UI', keyword: 'RequestedSOPClassUID' },
  { element: 0x0100, vr: 'US', keyword: 'CommandField' },
  { element: 0x0110, vr: 'US', keyword: 'MessageID' },
  { element: 0x0120, vr: 'US', keyword: 'MessageIDBeingRespondedTo' },
  { element: 0x0600, vr: 'AE', keyword: 'MoveDestination' },
  { element: 0x0700, vr: 'US', keyword: 'Priority' },
  { element: 0x0800, vr: 'US', keyword: 'CommandDataSetType' },
  { element: 0x0900, vr: 'US', keyword: 'Status' },
  { element: 0x0901, vr: 'AT', keyword: 'OffendingElement' },
  { element: 0x0902, vr: 'LO', keyword: 'ErrorComment' },
  { element: 0x0903, vr: 'US', keyword: 'ErrorID' },
  { element: 0x1000, vr: 'UI', keyword: 'AffectedSOPInstanceUID' },
  { element: 0x1001, vr: 'UI', keyword: 'RequestedSOPInstanceUID' },
  { element: 0x1002, vr: 'US', keyword: 'EventTypeID' },
  { element: 0x1005, vr: 'AT', keyword: 'AttributeIdentifierList' },
  { element: 0x1008, vr: 'US', keyword: 'ActionTypeID' },
  { element: 0x1020, vr: 'US', keyword: 'NumberOfRemainingSuboperations', cap: 0xffff },
  { element: 0x1021, vr: 'US', keyword: 'NumberOfCompletedSuboperations', cap: 0xffff },
  { element: 0x1022, vr: 'US', keyword: 'NumberOfFailedSuboperations', cap: 0xffff },
  { element: 0x1023, vr: 'US', keyword: 'NumberOfWarningSuboperations', cap: 0xffff },
  { element: 0x1030, vr: 'AE', keyword: 'MoveOriginatorApplicationEntityTitle' },
  { element: 0x1031, vr: 'US', keyword: 'MoveOriginatorMessageID' },
];

const BY_ELEMENT: ReadonlyMap<number, CommandElement> = new Map(ELEMENTS.map((row) => [row.element, row]));

const HEADER = 8;
const GROUP_LENGTH_ELEMENT = 12;
const NUL = 0x00;
const SPACE = 0x20;

/**
 * Decodes a command set: Implicit VR Little Endian (PS3.7 6.3.1). Unknown elements of group 0000 are ignored, the order
 * isn't looked at, and (0000,0000) isn't believed: the end of the bytes is the end of the command set.
 * @throws CommandParseError on an element that is cut, doubled, of another group or of the wrong size, and where
 * Command Field or Command Data Set Type is missing.
 */
export function decodeCommand(bytes: Buffer): CommandSet {
  const command: Partial<Record<keyof CommandSet, unknown>> = {};
  const end = bytes.length;
  let offset = 0;
  while (offset < end) {
    if (end - offset < HEADER) throw new CommandParseError(`element header cut at offset ${offset}`);
    if (bytes.readUInt16LE(offset) !== 0) {
      throw new CommandParseError(`element outside group 0000 at offset ${offset}`);
    }
    const element = bytes.readUInt16LE(offset + 2);
    const length = bytes.readUInt32LE(offset + 4);
    offset += HEADER;
    if (length > end - offset) {
      throw new CommandParseError(`${tagText(element)} announces ${length} bytes, ${end - offset} are left`);
    }
    const row = BY_ELEMENT.get(element);
    if (row !== undefined) {
      if (command[row.keyword] !== undefined)
        throw new CommandParseError(`${tagText(element)} stands there twice`);
      const value = decodeValue(bytes, offset, length, row);
      if (value !== undefined) command[row.keyword] = value;
    }
    offset += length;
  }
  if (command.CommandField === undefined) throw new CommandParseError('(0000,0100) is missing');
  if (command.CommandDataSetType === undefined) throw new CommandParseError('(0000,0800) is missing');
  return command as CommandSet;
}

/**
 * Encodes a command set in ascending order with a correct (0000,0000).
 * @throws RangeError where a number doesn't fit its 16 bits.
 */
export function encodeCommand(command: CommandSet): Buffer {
  let length = GROUP_LENGTH_ELEMENT;
  for (const row of ELEMENTS) {
    const value = command[row.keyword];
    if (value !== undefined) length += HEADER + encodedLength(value);
  }
  const bytes = Buffer.allocUnsafe(length);
  bytes.writeUInt32LE(0, 0);
  bytes.writeUInt32LE(4, 4);
  bytes.writeUInt32LE(length - GROUP_LENGTH_ELEMENT, 8);
  let offset = GROUP_LENGTH_ELEMENT;
  for (const row of ELEMENTS) {
    const value = command[row.keyword];
    if (value !== undefined) offset = encodeElement(bytes, offset, row, value);
  }
  return bytes;
}

function decodeValue(bytes: Buffer, offset: number, length: number, row: CommandElement): unknown {
  switch (row.vr) {
    case 'US':
      // An empty value is an absent one: the mandatory ones are asked for by name later.
      if (length === 0) return undefined;
      if (length !== 2) throw new CommandParseError(`${tagText(row.element)} has ${length} bytes, not 2`);
      return bytes.readUInt16LE(offset);
    case 'AT': {
      if (length % 4 !== 0) {
        throw new CommandParseError(`${tagText(row.element)} has ${length} bytes, no multiple of 4`);
      }
      const tags: number[] = [];
      for (let at = offset; at < offset + length; at += 4) {
        tags.push(bytes.readUInt16LE(at) * 0x10000 + bytes.readUInt16LE(at + 2));
      }
      return tags;
    }
    case 'UI':
    case 'AE':
    case 'LO':
      return trimmedText(bytes, offset, offset + length);
  }
}

/** NUL pads UI and space pads AE and LO (PS3.5 6.2); peers mix them up. Leading spaces of UI are no legal content either. */
function trimmedText(bytes: Buffer, start: number, end: number): string {
  while (end > start && (bytes[end - 1] === SPACE || bytes[end - 1] === NUL)) end--;
  while (start < end && bytes[start] === SPACE) start++;
  return bytes.toString('latin1', start, end);
}

function encodedLength(value: string | number | readonly number[]): number {
  if (typeof value === 'number') return 2;
  return typeof value === 'string' ? value.length + (value.length % 2) : 4 * value.length;
}

function encodeElement(
  bytes: Buffer,
  offset: number,
  row: CommandElement,
  value: string | number | readonly number[],
): number {
  const length = encodedLength(value);
  bytes.writeUInt16LE(0, offset);
  bytes.writeUInt16LE(row.element, offset + 2);
  bytes.writeUInt32LE(length, offset + 4);
  offset += HEADER;
  if (typeof value === 'number') {
    bytes.writeUInt16LE(row.cap === undefined ? value : Math.min(value, row.cap), offset);
  } else if (typeof value === 'string') {
    bytes.write(value, offset, 'latin1');
    if (value.length % 2 === 1) bytes[offset + value.length] = row.vr === 'UI' ? NUL : SPACE;
  } else {
    let at = offset;
    for (const tag of value) {
      bytes.writeUInt16LE(tag >>> 16, at);
      bytes.writeUInt16LE(tag & 0xffff, at + 2);
      at += 4;
    }
  }
  return offset + length;
}

function tagText(element: number): string {
  return `(0000,${element.toString(16).toUpperCase().padStart(4, '0')})`;
}
