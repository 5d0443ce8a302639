import { open } from 'node:fs/promises';
import { mkdir } from 'node:fs/promises';
import { constants } from 'node:fs';
import { dirname, join } from 'node:path';
import type { InstanceLocation } from '../catalog/types';
import type { DataElement } from '../dicom/data-set';
import { tagOf } from '../dicom/dictionary';
import { decodeFileMeta, encodeFileMeta } from '../dicom/part10';
import { errorCode, errorMessage, IsocenterError } from '../errors';
import { readFully } from './dicom-files';
import { DicomDirectory } from './dicomdir';
import { HeaderCollector, type HeaderElements } from './dicomdir-header';
import { HEADER_KEYWORDS } from './dicomdir-records';
import { lookAtExisting } from './export-existing';
import { fileNameOf, MediaNames } from './export-names';
import { isThere, PartFile, syncFolder } from './export-part-file';
import type { OutgoingInstance } from './outgoing';
import type { ZipWriter } from './zip';

/** Held in memory from the check of its digest to its writing; of a larger one the bytes are read twice where they have to be known before. */
const WHOLE = 4 * 1024 * 1024;
/** Of the files of the store; ours have less. */
const LONGEST_HEADER = 64 * 1024;
const DICOMDIR = 'DICOMDIR';

/** A stored instance that is to leave. */
export interface ExportItem {
  readonly location: InstanceLocation & { readonly path: string };
  /** Checks the bytes against the seal as it reads them. */
  readonly instance: OutgoingInstance;
}

/** What became of one instance, or of the DICOMDIR. */
export interface ExportEvent {
  /** Empty: the DICOMDIR. */
  readonly SOPInstanceUID: string;
  /** Below the folder, or in the ZIP file. */
  readonly file: string;
  /** `present`: the very same was there. */
  readonly outcome: 'exported' | 'present' | 'failed';
  readonly bytes: number;
  /** Of a failure; no patient data. */
  readonly reason?: string;
}

export interface ExportTarget {
  /** A folder; made if it isn't there. */
  readonly directory?: string;
  readonly zip?: ZipWriter;
  /** Names for media, and a DICOMDIR. */
  readonly dicomdir: boolean;
  /** Replaces files that have other bytes. */
  readonly force: boolean;
  readonly signal: AbortSignal;
}

/**
 * Copies instances out of the store: data sets byte for byte, checked against their digests before they can be taken for whole, under a
 * plain file meta group. What is in the folder already, whole, is left as it is, so that a second run goes on where the first one stopped.
 * An instance whose bytes can't be had fails alone; where nothing can be written the export ends.
 * @throws IsocenterError `FILE_UNWRITABLE`; `EXPORT_MIXED` where a folder for media holds another export
 */
export async function* exportInstances(
  items: AsyncIterable<ExportItem> | Iterable<ExportItem>,
  target: ExportTarget,
): AsyncGenerator<ExportEvent, void, undefined> {
  const run = new Export(target);
  try {
    for await (const item of items) {
      if (target.signal.aborted) return;
      yield await run.take(item);
    }
    if (target.dicomdir && !target.signal.aborted) yield await run.writeDirectory();
  } finally {
    await run.sync();
  }
}

/** An instance that was read: its header, and its bytes, which are right. */
interface Read {
  readonly header: HeaderElements;
  readonly bytes: () => AsyncIterable<Buffer> | Iterable<Buffer>;
}

class Export {
  private readonly target: ExportTarget;
  private readonly names = new MediaNames();
  private readonly directory = new DicomDirectory();
  private readonly folders = new Set<string>();
  private any = false;

  constructor(target: ExportTarget) {
    this.target = target;
  }

  async take(item: ExportItem): Promise<ExportEvent> {
    const { location, instance } = item;
    const { SOPInstanceUID } = location;
    let file = '';
    try {
      const read = await this.read(instance);
      const place = { ...location, patient: patientOf(read.header, location.StudyInstanceUID) };
      const components = this.target.dicomdir ? this.names.next(place) : plainName(location);
      file = components.join('/');
      const meta = encodeFileMeta(await metaOf(location));
      const written = await this.write(file, meta, location, read);
      const { SOPClassUID, TransferSyntaxUID } = location;
      const { header } = read;
      if (this.target.dicomdir) {
        this.any = true;
        this.directory.add({
          ...place,
          file: components,
          SOPClassUID,
          SOPInstanceUID,
          TransferSyntaxUID,
          header,
        });
      }
      return { SOPInstanceUID, file, outcome: written, bytes: location.dataSetLength };
    } catch (error) {
      if (FATAL.has(errorCode(error) ?? '')) throw error;
      return { SOPInstanceUID, file, outcome: 'failed', bytes: 0, reason: errorMessage(error) };
    }
  }

  /** PS3.10 8.6: after all that it names, so that it never names what isn't there. */
  async writeDirectory(): Promise<ExportEvent> {
    if (!this.any)
      return { SOPInstanceUID: '', file: DICOMDIR, outcome: 'failed', bytes: 0, reason: 'it would be empty' };
    const bytes = this.directory.encode();
    const { directory, zip } = this.target;
    await zip?.add(DICOMDIR, bytes.length, [bytes]);
    const event = { SOPInstanceUID: '', file: DICOMDIR, bytes: bytes.length };
    if (directory === undefined) return { ...event, outcome: 'exported' };
    const path = join(directory, DICOMDIR);
    if (!this.target.force && (await isThere(path))) {
      if (await holds(path, bytes)) return { ...event, outcome: 'present' };
      throw mixed(path);
    }
    await writeFile(path, [bytes], this.target.force);
    return { ...event, outcome: 'exported' };
  }

  async sync(): Promise<void> {
    for (const folder of this.folders) await syncFolder(folder);
  }

  private async read(instance: OutgoingInstance): Promise<Read> {
    const { dicomdir, zip } = this.target;
    const small = instance.dataSetLength <= WHOLE;
    if (!small && !dicomdir && zip === undefined) return { header: new Map(), bytes: () => instance.read() };
    const collector = new HeaderCollector(instance.TransferSyntaxUID, HEADER_KEYWORDS);
    const chunks: Buffer[] = [];
    for await (const chunk of instance.read()) {
      if (dicomdir) await collector.push(chunk);
      if (small) chunks.push(chunk);
    }
    const header: HeaderElements = dicomdir ? await collector.finish() : new Map();
    return { header, bytes: () => (small ? chunks : instance.read()) };
  }

  private async write(
    file: string,
    meta: Buffer,
    location: ExportItem['location'],
    { bytes }: Read,
  ): Promise<'exported' | 'present'> {
    const { directory, zip } = this.target;
    let outcome: 'exported' | 'present' = 'exported';
    if (directory !== undefined) outcome = await this.writeBelow(directory, file, meta, location, bytes);
    await zip?.add(file, meta.length + location.dataSetLength, joined(meta, bytes()));
    return outcome;
  }

  private async writeBelow(
    directory: string,
    file: string,
    meta: Buffer,
    location: ExportItem['location'],
    bytes: Read['bytes'],
  ): Promise<'exported' | 'present'> {
    const path = join(directory, file);
    const { force, dicomdir } = this.target;
    let replace = force;
    if (await isThere(path)) {
      const found = await lookAtExisting(path, location);
      if (found === 'same') return 'present';
      if (found === 'other' && !force) {
        if (dicomdir) throw mixed(path);
        throw new IsocenterError('FILE_EXISTS', `${path} has other bytes; --force replaces it`);
      }
      replace = true;
    }
    const folder = dirname(path);
    if (!this.folders.has(folder)) {
      await makeFolder(folder);
      this.folders.add(folder);
    }
    await writeFile(path, joined(meta, bytes()), replace);
    return 'exported';
  }
}

/** Errors that end the export: the next instance would meet them too. */
const FATAL: ReadonlySet<string> = new Set(['FILE_UNWRITABLE', 'EXPORT_MIXED']);

function mixed(path: string): IsocenterError {
  return new IsocenterError(
    'EXPORT_MIXED',
    `${path} belongs to another export, or to one of what was stored then`,
    {
      hint: 'choose an empty folder, or replace what is there with --force',
    },
  );
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw new IsocenterError('FILE_UNWRITABLE', `${path} can't be made: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}

async function writeFile(
  path: string,
  bytes: AsyncIterable<Buffer> | Iterable<Buffer>,
  replace: boolean,
): Promise<void> {
  const file = await PartFile.create(path);
  try {
    for await (const chunk of bytes) await file.write(chunk);
    await file.commit({ replace });
  } catch (error) {
    await file.discard();
    throw error;
  }
}

async function* joined(
  meta: Buffer,
  bytes: AsyncIterable<Buffer> | Iterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  yield meta;
  yield* bytes;
}

async function holds(path: string, bytes: Buffer): Promise<boolean> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { size } = await handle.stat();
    return size === bytes.length && (await readFully(handle, 0, size)).equals(bytes);
  } finally {
    await handle.close();
  }
}

/** STUDY/SERIES/INSTANCE.dcm */
function plainName({ StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID }: InstanceLocation): string[] {
  return [fileNameOf(StudyInstanceUID), fileNameOf(SeriesInstanceUID), `${fileNameOf(SOPInstanceUID)}.dcm`];
}

/** As the catalog tells patients apart: without an ID, each study has one of its own. */
function patientOf(header: HeaderElements, study: string): string {
  const value = (keyword: string): string => {
    const element: DataElement | undefined = header.get(tagOf(keyword) ?? 0);
    return element === undefined || 'items' in element ? '' : element.value.toString('latin1').trim();
  };
  const id = value('PatientID');
  return id === '' ? `study ${study}` : `patient ${id}\0${value('IssuerOfPatientID')}`;
}

/** The file meta group without our seal: who sent and who took it stays. */
async function metaOf(location: ExportItem['location']): Promise<Parameters<typeof encodeFileMeta>[0]> {
  const { path, SOPClassUID, SOPInstanceUID, TransferSyntaxUID, dataSetOffset } = location;
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const decoded = decodeFileMeta(await readFully(handle, 0, Math.min(LONGEST_HEADER, dataSetOffset + 8)));
    const meta = decoded === 'need-more' ? {} : decoded.meta;
    return {
      MediaStorageSOPClassUID: SOPClassUID,
      MediaStorageSOPInstanceUID: SOPInstanceUID,
      TransferSyntaxUID,
      SourceApplicationEntityTitle: meta.SourceApplicationEntityTitle ?? '',
      ReceivingApplicationEntityTitle: meta.ReceivingApplicationEntityTitle ?? '',
    };
  } finally {
    await handle.close();
  }
}
