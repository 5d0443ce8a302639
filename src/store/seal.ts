import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { SealTime } from './seal-clock';

/**
 * The seal: 128 bytes that close the file meta group as Private Information (0002,0102), PS3.10 7.1. Zeros until the
 * last byte of the data set is down; then it tells which arrival the file is and what its bytes must be. Numbers are
 * little endian, as the group is.
 *
 * | offset | bytes | content |
 * |-------:|------:|---------|
 * |   0 |  1 | version, 1 |
 * |   1 |  1 | state, 1 = sealed |
 * |   2 |  2 | count within the millisecond of the arrival time |
 * |   4 |  4 | CRC-32 of these 128 bytes with this field as zeros |
 * |   8 | 32 | arrival id, ASCII |
 * |  40 |  8 | arrival time, milliseconds since the epoch: when the seal was made |
 * |  48 |  8 | offset of the data set in the file |
 * |  56 |  8 | length of the data set |
 * |  64 | 32 | SHA-256 of the data set |
 * |  96 | 32 | SHA-256 of all that precedes the data set, with these 128 bytes as zeros |
 */
export const SEAL_LENGTH = 128;

const VERSION = 1;
const SEALED = 1;
const ZEROS = Buffer.alloc(SEAL_LENGTH);
const ID_LENGTH = 32;

export interface Seal extends SealTime {
  readonly arrivalId: string;
  readonly dataSetOffset: number;
  readonly dataSetLength: number;
  /** Digests of 32 bytes. */
  readonly dataSetDigest: Buffer;
  readonly headerDigest: Buffer;
}

/** The place of the seal before it is filled in. A fresh buffer each time: nobody can share a stain. */
export function emptySeal(): Buffer {
  return Buffer.alloc(SEAL_LENGTH);
}

export function isEmptySeal(bytes: Buffer): boolean {
  return bytes.length === SEAL_LENGTH && bytes.equals(ZEROS);
}

export function encodeSeal(seal: Seal): Buffer {
  if (seal.arrivalId.length !== ID_LENGTH) throw new RangeError('an arrival id has 32 characters');
  const bytes = Buffer.alloc(SEAL_LENGTH);
  bytes.writeUInt8(VERSION, 0);
  bytes.writeUInt8(SEALED, 1);
  bytes.writeUInt16LE(seal.ordinal, 2);
  bytes.write(seal.arrivalId, 8, ID_LENGTH, 'latin1');
  bytes.writeBigUInt64LE(BigInt(seal.arrivedAt), 40);
  bytes.writeBigUInt64LE(BigInt(seal.dataSetOffset), 48);
  bytes.writeBigUInt64LE(BigInt(seal.dataSetLength), 56);
  seal.dataSetDigest.copy(bytes, 64, 0, 32);
  seal.headerDigest.copy(bytes, 96, 0, 32);
  bytes.writeUInt32LE(crc32(bytes), 4);
  return bytes;
}

/** The seal, or undefined where these are not 128 bytes that `encodeSeal` could have made. */
export function decodeSeal(bytes: Buffer): Seal | undefined {
  if (bytes.length !== SEAL_LENGTH || bytes.readUInt8(0) !== VERSION || bytes.readUInt8(1) !== SEALED) {
    return undefined;
  }
  const [arrivedAt, dataSetOffset, dataSetLength] = [40, 48, 56].map((at) =>
    Number(bytes.readBigUInt64LE(at)),
  );
  if (
    !Number.isSafeInteger(arrivedAt) ||
    !Number.isSafeInteger(dataSetOffset) ||
    !Number.isSafeInteger(dataSetLength)
  ) {
    return undefined;
  }
  const seal: Seal = {
    arrivalId: bytes.toString('latin1', 8, 8 + ID_LENGTH),
    arrivedAt: arrivedAt ?? 0,
    ordinal: bytes.readUInt16LE(2),
    dataSetOffset: dataSetOffset ?? 0,
    dataSetLength: dataSetLength ?? 0,
    dataSetDigest: Buffer.from(bytes.subarray(64, 96)),
    headerDigest: Buffer.from(bytes.subarray(96, 128)),
  };
  // Bytes that mean nothing must be zeros, and the checksum must fit: the encoder knows both.
  return encodeSeal(seal).equals(bytes) ? seal : undefined;
}

/** SHA-256 of a header that ends with its seal, the seal taken as zeros. */
export function headerDigest(header: Buffer): Buffer {
  return createHash('sha256')
    .update(header.subarray(0, header.length - SEAL_LENGTH))
    .update(ZEROS)
    .digest();
}
