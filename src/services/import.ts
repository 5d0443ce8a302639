import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Catalog } from '../catalog/types';
import { errorCode, errorMessage, type DimseError } from '../errors';
import type { Store } from '../store/types';
import type { AssumedCharset } from './arrivals';
import { identify, NOT_DICOM, openFile, reasonOf, walk, type IdentifiedFile } from './dicom-files';
import type { Ingest } from './ingest';

/** One line of an import: what became of a file. */
export interface ImportEvent {
  readonly path: string;
  readonly outcome: 'stored' | 'duplicate' | 'quarantined' | 'skipped' | 'failed';
  readonly bytes: number;
  /** Why it was skipped or failed; no patient data. */
  readonly reason?: string;
}

export interface ImportParts {
  readonly ingest: Ingest;
  readonly catalog: Catalog;
  readonly store: Store;
  readonly duplicates: () => 'refuse' | 'replace';
  readonly assumed: AssumedCharset;
  /** Own AE title: receiver of what is imported. */
  readonly aeTitle: string;
}

/**
 * Takes files and folders into the store by the path of C-STORE; the files stay untouched. Run again it goes on where it stopped:
 * what is held already, as the current one or as a version, is recognised by SOP Instance UID and digest, without being written again.
 * Symbolic links inside folders are not followed, and a DICOMDIR is no instance: its files are found by walking.
 */
export async function* importPaths(
  parts: ImportParts,
  paths: readonly string[],
  signal: AbortSignal,
): AsyncIterable<ImportEvent> {
  for (const path of paths) {
    for await (const found of walk(path)) {
      if (signal.aborted) return;
      yield found.problem === undefined
        ? await importFile(parts, found.path)
        : { path: found.path, bytes: 0, ...found.problem };
    }
  }
}

async function importFile(parts: ImportParts, path: string): Promise<ImportEvent> {
  let handle: FileHandle | undefined;
  try {
    handle = await openFile(path);
    const file = await identify(handle);
    const bytes = file.size - file.dataSetOffset;
    if (await isHeld(parts.catalog, parts.store, handle, file)) return { path, outcome: 'duplicate', bytes };
    const defaultCharset = parts.assumed(file.SourceApplicationEntityTitle);
    const taken = await parts.ingest.take({
      meta: {
        MediaStorageSOPClassUID: file.SOPClassUID,
        MediaStorageSOPInstanceUID: file.SOPInstanceUID,
        TransferSyntaxUID: file.TransferSyntaxUID,
        SourceApplicationEntityTitle: file.SourceApplicationEntityTitle,
        ReceivingApplicationEntityTitle: parts.aeTitle,
      },
      dataSet: file.read(handle),
      ...(defaultCharset === undefined ? {} : { defaultCharset }),
      duplicates: parts.duplicates(),
      associationId: 'import',
      remoteName: 'import',
    });
    return { path, outcome: taken.outcome === 'duplicate' ? 'duplicate' : 'stored', bytes: taken.bytes };
  } catch (error) {
    if (errorCode(error) === NOT_DICOM)
      return { path, outcome: 'skipped', bytes: 0, reason: errorMessage(error) };
    if (errorCode(error) === 'DIMSE' && (error as DimseError).status === 0x0111) {
      return {
        path,
        outcome: 'quarantined',
        bytes: 0,
        reason: 'other bytes are held under its SOP Instance UID: isocenter quarantine list',
      };
    }
    return { path, outcome: 'failed', bytes: 0, reason: reasonOf(error) };
  } finally {
    await handle?.close();
  }
}

/** Whether the very same data set is held, whole. */
async function isHeld(
  catalog: Catalog,
  store: Store,
  handle: FileHandle,
  file: IdentifiedFile,
): Promise<boolean> {
  const candidates = (await catalog.locate(file.SOPInstanceUID)).filter(
    (held) =>
      held.dataSetLength === file.size - file.dataSetOffset &&
      held.TransferSyntaxUID === file.TransferSyntaxUID &&
      held.damaged === undefined,
  );
  if (candidates.length === 0) return false;
  const hash = createHash('sha256');
  const source = file.read(handle);
  for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) hash.update(chunk);
  const digest = hash.digest('hex');
  const held = candidates.find(({ sha256 }) => sha256 === digest);
  return held !== undefined && (await isWhole(store, held.arrivalId));
}

async function isWhole(store: Store, arrivalId: string): Promise<boolean> {
  try {
    return (await store.check(arrivalId)).state === 'sealed';
  } catch {
    // Gone or not to be read: ingest finds out what to make of that.
    return false;
  }
}
