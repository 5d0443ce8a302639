import { constants } from 'node:fs';
import { lstat, open, readdir, realpath, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { HeaderReader } from '../dicom/header';
import { decodeFileMeta, guessTransferSyntax } from '../dicom/part10';
import { errorCode, errorMessage, IsocenterError } from '../errors';
import type { ByteSource } from './ingest';

/** `code` of the error for a file that is no instance: skipped, not failed. */
export const NOT_DICOM = 'NOT_DICOM';

const READ_SIZE = 1 << 18;
const MEDIA_STORAGE_DIRECTORY = '1.2.840.10008.1.3.10';

/** A file on the way to `import` or `send`: what it holds and where its data set begins. */
export interface IdentifiedFile {
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
  readonly TransferSyntaxUID: string;
  /** (0002,0016), or empty. */
  readonly SourceApplicationEntityTitle: string;
  readonly dataSetOffset: number;
  readonly size: number;
  /** The bytes of the data set, from its start; each call starts anew. */
  read(handle: FileHandle): ByteSource;
}

/** A file below a path that was named, or why it can't be taken. */
export interface FoundFile {
  readonly path: string;
  readonly problem?: { readonly outcome: 'skipped' | 'failed'; readonly reason: string };
}

/** Files below a path in the order of their names. A path that was named may be a symbolic link; below it none is followed. */
export async function* walk(path: string): AsyncIterable<FoundFile> {
  let start: string;
  try {
    start = await realpath(path);
  } catch (error) {
    yield { path, problem: { outcome: 'failed', reason: reasonOf(error) } };
    return;
  }
  yield* walkBelow(start);
}

async function* walkBelow(path: string): AsyncIterable<FoundFile> {
  try {
    const stat = await lstat(path);
    if (stat.isDirectory()) {
      for (const name of (await readdir(path)).sort()) yield* walkBelow(join(path, name));
    } else if (stat.isFile()) {
      yield { path };
    } else {
      const reason = stat.isSymbolicLink() ? 'symbolic links are not followed' : 'not a file';
      yield { path, problem: { outcome: 'skipped', reason } };
    }
  } catch (error) {
    yield { path, problem: { outcome: 'failed', reason: reasonOf(error) } };
  }
}

/** Opens a file for reading, never through a link that took its place since it was found. */
export function openFile(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
}

/** The system's own sentences carry the path, which stands beside the reason already. */
export function reasonOf(error: unknown): string {
  const code = errorCode(error);
  if (code === 'EACCES') return 'permission denied';
  if (code === 'ENOENT') return 'no such file or folder';
  return errorMessage(error);
}

/**
 * Says what a file holds. The data set's own UIDs count: file meta groups in the field differ from them, and some files have none.
 * @throws IsocenterError `NOT_DICOM` for other files and for a DICOMDIR; `DicomParseError` where the header can't be read.
 */
export async function identify(handle: FileHandle): Promise<IdentifiedFile> {
  const { size } = await handle.stat();
  const prefix = await readFully(handle, 0, Math.min(size, READ_SIZE));
  const decoded = decodeFileMeta(prefix);
  if (decoded === 'need-more') throw new IsocenterError(NOT_DICOM, 'not a DICOM file');
  const TransferSyntaxUID =
    decoded.meta.TransferSyntaxUID ?? guessTransferSyntax(prefix.subarray(decoded.dataSetOffset));
  if (TransferSyntaxUID === undefined) throw new IsocenterError(NOT_DICOM, 'not a DICOM file');
  if (decoded.meta.MediaStorageSOPClassUID === MEDIA_STORAGE_DIRECTORY) {
    throw new IsocenterError(
      NOT_DICOM,
      'a DICOMDIR is no instance: the files beside it are taken by themselves',
    );
  }
  const read = (file: FileHandle): ByteSource => fileSource(file, decoded.dataSetOffset, size);
  const header = new HeaderReader({ transferSyntaxUID: TransferSyntaxUID });
  const source = read(handle);
  for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) {
    const parsed = header.push(chunk);
    if (parsed !== undefined) await parsed;
  }
  const { SOPClassUID, SOPInstanceUID } = await header.finish();
  return {
    SOPClassUID,
    SOPInstanceUID,
    TransferSyntaxUID,
    SourceApplicationEntityTitle: decoded.meta.SourceApplicationEntityTitle ?? '',
    dataSetOffset: decoded.dataSetOffset,
    size,
    read,
  };
}

/** Reads `length` bytes, fewer only at the end of the file. */
export async function readFully(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/** Reads one piece ahead of its reader. */
function fileSource(handle: FileHandle, offset: number, size: number): ByteSource {
  let position = offset;
  const next = async (): Promise<Buffer | undefined> => {
    const length = Math.min(READ_SIZE, size - position);
    if (length <= 0) return undefined;
    const at = position;
    position += length;
    const buffer = await readFully(handle, at, length);
    if (buffer.length === length) return buffer;
    // Cut while it was read: what is missing must not pass for the end of the data set.
    throw new IsocenterError('FILE_CHANGED', 'the file became shorter while it was read');
  };
  let ahead: Promise<Buffer | undefined> | undefined;
  return {
    read: async () => {
      const current = await (ahead ?? next());
      ahead = current === undefined ? undefined : next();
      // Its failure is met by the next read.
      ahead?.catch(() => undefined);
      return current;
    },
  };
}
