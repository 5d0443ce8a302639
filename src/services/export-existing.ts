import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { decodeFileMeta } from '../dicom/part10';
import { openFile, readFully } from './dicom-files';

/** A file meta group is never longer (`decodeFileMeta` refuses longer ones), a preamble before it included. */
const LONGEST_HEADER = 128 * 1024;
const PIECE = 1024 * 1024;

export interface ExpectedFile {
  readonly SOPInstanceUID: string;
  readonly TransferSyntaxUID: string;
  readonly dataSetLength: number;
  readonly sha256: string;
}

/**
 * What a file that has the name of one to be written is: `same` data set; `cut`: of the same instance, shorter than it should be; `other`, which nobody
 * may replace unasked.
 */
export async function lookAtExisting(
  path: string,
  expected: ExpectedFile,
): Promise<'same' | 'cut' | 'other'> {
  let handle: FileHandle;
  try {
    handle = await openFile(path);
  } catch {
    // A folder, a link, somebody else's.
    return 'other';
  }
  try {
    return await compare(handle, expected);
  } catch {
    return 'other';
  } finally {
    await handle.close();
  }
}

async function compare(handle: FileHandle, expected: ExpectedFile): Promise<'same' | 'cut' | 'other'> {
  const stat = await handle.stat();
  if (!stat.isFile()) return 'other';
  const prefix = await readFully(handle, 0, Math.min(stat.size, LONGEST_HEADER));
  const decoded = decodeFileMeta(prefix);
  if (decoded === 'need-more') return 'other';
  const { meta, dataSetOffset } = decoded;
  if (
    meta.MediaStorageSOPInstanceUID !== expected.SOPInstanceUID ||
    meta.TransferSyntaxUID !== expected.TransferSyntaxUID
  )
    return 'other';
  const length = stat.size - dataSetOffset;
  if (length !== expected.dataSetLength) return length < expected.dataSetLength ? 'cut' : 'other';
  const hash = createHash('sha256');
  for (let at = dataSetOffset; at < stat.size; at += PIECE)
    hash.update(await readFully(handle, at, Math.min(PIECE, stat.size - at)));
  return hash.digest('hex') === expected.sha256 ? 'same' : 'other';
}
