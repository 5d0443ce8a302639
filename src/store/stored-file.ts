import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { decodeFileMeta } from '../dicom/part10';
import { PRIVATE_INFORMATION_CREATOR_UID } from '../dicom/uids';
import { errorCode, errorMessage } from '../errors';
import { parseArrivalId } from './arrival-id';
import { StoreError, storeFailure } from './errors';
import type { FileCalls } from './file-calls';
import { decodeSeal, headerDigest, isEmptySeal, SEAL_LENGTH } from './seal';
import type { FileCheck, FileMeta, SealedFile } from './types';

/** Without O_NONBLOCK a named pipe in the place of a file would hang its reader. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Our own headers have less than a kilobyte. */
const LONGEST_HEADER = 64 * 1024;
const CHECK_PIECE = 1024 * 1024;
const READ_PIECE = 256 * 1024;

/** @throws StoreError `STORE_NO_FILE`, `STORE_FAILED` */
export async function openStored(calls: FileCalls, path: string, arrivalId: string): Promise<number> {
  try {
    return await calls.open(path, READ);
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT') throw storeFailure('opening a stored file', cause, arrivalId);
    throw new StoreError('STORE_NO_FILE', `the file of ${arrivalId} is not there`, {
      hint: 'isocenter fsck lists what is missing; restore it from a backup',
      cause,
      arrivalId,
    });
  }
}

/**
 * Compares a file with its seal, in bounded memory.
 * @throws StoreError `STORE_NO_FILE`; `STORE_FAILED` where it can't be read: that says nothing about its bytes.
 */
export async function checkFile(calls: FileCalls, path: string, arrivalId: string): Promise<FileCheck> {
  let fd: number;
  try {
    fd = await openStored(calls, path, arrivalId);
  } catch (error) {
    const cause = error instanceof StoreError ? errorCode(error.cause) : undefined;
    if (cause === 'ELOOP' || cause === 'ENXIO') return mismatch('it is not a regular file');
    throw error;
  }
  try {
    return await checkOpen(calls, fd, arrivalId);
  } catch (cause) {
    throw storeFailure('reading a stored file', cause, arrivalId);
  } finally {
    await calls.close(fd).catch(() => undefined);
  }
}

function mismatch(reason: string): FileCheck {
  return { state: 'mismatch', reason };
}

async function checkOpen(calls: FileCalls, fd: number, arrivalId: string): Promise<FileCheck> {
  const stat = await calls.fstat(fd);
  if (!stat.isFile()) return mismatch('it is not a regular file');
  // Created, and cut off before anything was written: the header and the first data go down together.
  if (stat.size === 0) return { state: 'unsealed' };
  const prefix = await readFully(calls, fd, Math.min(stat.size, LONGEST_HEADER), 0);
  const header = readHeader(prefix);
  if (typeof header === 'string') return mismatch(header);
  if (isEmptySeal(header.sealBytes)) return { state: 'unsealed' };

  const seal = decodeSeal(header.sealBytes);
  if (seal === undefined) return mismatch('its seal is damaged');
  if (seal.arrivalId !== arrivalId) return mismatch('its seal is that of another arrival');
  if (seal.dataSetOffset !== header.bytes.length)
    return mismatch('its header has another length than sealed');
  const size = seal.dataSetOffset + seal.dataSetLength;
  if (size !== stat.size) return mismatch(`it has ${stat.size} bytes and was sealed with ${size}`);
  if (!headerDigest(header.bytes).equals(seal.headerDigest)) {
    return mismatch('its header has other bytes than sealed');
  }
  const digest = await digestFrom(calls, fd, seal.dataSetOffset, seal.dataSetLength);
  if (digest === undefined) return mismatch('it became shorter while it was read');
  if (!digest.equals(seal.dataSetDigest)) return mismatch('its data set has other bytes than sealed');
  const file: SealedFile = {
    arrivalId,
    segment: parseArrivalId(arrivalId)?.segment ?? 0,
    arrivedAt: seal.arrivedAt,
    ordinal: seal.ordinal,
    dataSetOffset: seal.dataSetOffset,
    dataSetLength: seal.dataSetLength,
    sha256: digest.toString('hex'),
  };
  return { state: 'sealed', file, meta: header.meta };
}

/** The header of a file of ours, or why it is none. */
function readHeader(prefix: Buffer): { bytes: Buffer; sealBytes: Buffer; meta: FileMeta } | string {
  let decoded: ReturnType<typeof decodeFileMeta>;
  try {
    decoded = decodeFileMeta(prefix);
  } catch (error) {
    return `its header can't be read: ${errorMessage(error)}`;
  }
  if (decoded === 'need-more') return 'its header is cut off';
  const { meta, dataSetOffset, privateInformation } = decoded;
  if (
    privateInformation?.creator !== PRIVATE_INFORMATION_CREATOR_UID ||
    privateInformation.data.length !== SEAL_LENGTH ||
    privateInformation.offset + SEAL_LENGTH !== dataSetOffset
  ) {
    return 'it has no seal';
  }
  return {
    bytes: prefix.subarray(0, dataSetOffset),
    sealBytes: privateInformation.data,
    meta: {
      MediaStorageSOPClassUID: meta.MediaStorageSOPClassUID ?? '',
      MediaStorageSOPInstanceUID: meta.MediaStorageSOPInstanceUID ?? '',
      TransferSyntaxUID: meta.TransferSyntaxUID ?? '',
      SourceApplicationEntityTitle: meta.SourceApplicationEntityTitle ?? '',
      ReceivingApplicationEntityTitle: meta.ReceivingApplicationEntityTitle ?? '',
    },
  };
}

async function digestFrom(
  calls: FileCalls,
  fd: number,
  offset: number,
  length: number,
): Promise<Buffer | undefined> {
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafe(Math.min(length, CHECK_PIECE));
  for (let done = 0; done < length;) {
    const wanted = piece.subarray(0, Math.min(piece.length, length - done));
    const read = await calls.read(fd, wanted, offset + done);
    if (read === 0) return undefined;
    hash.update(wanted.subarray(0, read));
    done += read;
  }
  return hash.digest();
}

/** Fewer bytes only at the end of the file. */
function readFully(calls: FileCalls, fd: number, length: number, position: number): Promise<Buffer> {
  return fill(calls, fd, Buffer.allocUnsafeSlow(length), position);
}

async function fill(calls: FileCalls, fd: number, buffer: Buffer, position: number): Promise<Buffer> {
  let done = 0;
  while (done < buffer.length) {
    const read = await calls.read(fd, buffer.subarray(done), position + done);
    if (read === 0) break;
    done += read;
  }
  return done === buffer.length ? buffer : buffer.subarray(0, done);
}

/**
 * The bytes of a data set in pieces of `pieceLength`, each in memory of its own; one piece is read ahead of its consumer.
 * @throws StoreError `STORE_NO_FILE`, `STORE_FAILED`, `STORE_DAMAGED` where the file ends too early
 */
export async function* readDataSetOf(
  calls: FileCalls,
  path: string,
  file: Pick<SealedFile, 'arrivalId' | 'dataSetOffset' | 'dataSetLength'>,
  pieceLength = READ_PIECE,
  allocate: (length: number) => Buffer = (length) => Buffer.allocUnsafeSlow(length),
): AsyncGenerator<Buffer, void, undefined> {
  const { arrivalId, dataSetOffset, dataSetLength } = file;
  const end = dataSetOffset + dataSetLength;
  const fd = await openStored(calls, path, arrivalId);
  let ahead: Promise<Buffer> | undefined;
  const start = (position: number): Promise<Buffer> | undefined => {
    if (position >= end) return undefined;
    const read = fill(calls, fd, allocate(Math.min(pieceLength, end - position)), position);
    // Its failure is met when its turn comes.
    read.catch(() => undefined);
    return read;
  };
  try {
    ahead = start(dataSetOffset);
    for (let position = dataSetOffset; position < end;) {
      const piece = await ahead;
      const wanted = Math.min(pieceLength, end - position);
      if (piece?.length !== wanted) {
        throw new StoreError('STORE_DAMAGED', `the file of ${arrivalId} ends before its data set does`, {
          hint: 'isocenter verify --all finds what else is damaged; restore the file from a backup',
          arrivalId,
        });
      }
      position += wanted;
      ahead = start(position);
      yield piece;
    }
  } catch (cause) {
    throw storeFailure('reading a stored file', cause, arrivalId);
  } finally {
    // A read under way must not meet a descriptor that has become another file's.
    await ahead?.catch(() => undefined);
    await calls.close(fd).catch(() => undefined);
  }
}
