import { createHash, type Hash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeFileMeta } from '../dicom/part10';
import { DimseError, errorCode, errorMessage } from '../errors';
import { identify, openFile } from './dicom-files';
import { fileNameOf } from './export-names';
import { lookAtExisting } from './export-existing';
import { PartFile, syncFolder } from './export-part-file';
import type { GetEvent, GetSink, ReceivedInstance } from './retrieve-scu-receive';

export interface FolderSinkOptions {
  readonly directory: string;
  /** Our AE title, for the file meta group. */
  readonly aeTitle: string;
  /** Replaces files that have other bytes. */
  readonly force: boolean;
  /** Only for a moment: they need not survive a power cut. */
  readonly temporary?: true;
  /** A file could not be written: neither can the others. */
  readonly onUnwritable: (error: unknown) => void;
}

/** Files of one folder, `<SOPInstanceUID>.dcm`: Part 10 (PS3.10 7.1), the data set byte for byte as it came. */
export class FolderSink implements GetSink {
  private readonly options: FolderSinkOptions;

  constructor(options: FolderSinkOptions) {
    this.options = options;
  }

  async open(): Promise<void> {
    await mkdir(this.options.directory, { recursive: true });
  }

  /** Makes the names durable. */
  async close(): Promise<void> {
    await syncFolder(this.options.directory);
  }

  async has(SOPInstanceUID: string): Promise<boolean> {
    try {
      const handle = await openFile(this.pathOf(SOPInstanceUID));
      try {
        // Reads to the end of the data set: a cut file is none.
        return (await identify(handle)).SOPInstanceUID === SOPInstanceUID;
      } finally {
        await handle.close();
      }
    } catch {
      return false;
    }
  }

  async take(instance: ReceivedInstance): Promise<GetEvent> {
    const { SOPInstanceUID, TransferSyntaxUID } = instance;
    const path = this.pathOf(SOPInstanceUID);
    const file = await this.writing(() => PartFile.create(path));
    try {
      const { bytes, hash } = await this.fill(file, instance);
      try {
        await file.commit({ replace: this.options.force, sync: this.options.temporary !== true });
      } catch (error) {
        if (errorCode(error) !== 'FILE_EXISTS') throw error;
        const sha256 = hash.digest('hex');
        const found = await lookAtExisting(path, {
          SOPInstanceUID,
          TransferSyntaxUID,
          dataSetLength: bytes,
          sha256,
        });
        if (found === 'other')
          throw new DimseError(0x0111, 'A file with other bytes is there; --force replaces it', {
            cause: error,
          });
        if (found === 'same') {
          await file.discard();
          return { SOPInstanceUID, outcome: 'present', bytes, path };
        }
        // Left behind by a program that was stopped.
        await file.commit({ replace: true });
      }
      return { SOPInstanceUID, outcome: 'fetched', bytes, path };
    } catch (error) {
      await file.discard();
      if (errorCode(error) === 'FILE_UNWRITABLE') this.options.onUnwritable(error);
      throw error;
    }
  }

  private async fill(file: PartFile, instance: ReceivedInstance): Promise<{ bytes: number; hash: Hash }> {
    const { SOPClassUID, SOPInstanceUID, TransferSyntaxUID, sourceAETitle, dataSet } = instance;
    const hash = createHash('sha256');
    await file.write(
      encodeFileMeta({
        MediaStorageSOPClassUID: SOPClassUID,
        MediaStorageSOPInstanceUID: SOPInstanceUID,
        TransferSyntaxUID,
        SourceApplicationEntityTitle: sourceAETitle,
        ReceivingApplicationEntityTitle: this.options.aeTitle,
      }),
    );
    const start = file.size;
    for await (const chunk of dataSet) {
      hash.update(chunk);
      await file.write(chunk);
    }
    return { bytes: file.size - start, hash };
  }

  private async writing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.options.onUnwritable(error);
      throw new DimseError(0xa700, `Not written: ${errorMessage(error)}`.slice(0, 64), { cause: error });
    }
  }

  private pathOf(SOPInstanceUID: string): string {
    return join(this.options.directory, `${fileNameOf(SOPInstanceUID)}.dcm`);
  }
}
