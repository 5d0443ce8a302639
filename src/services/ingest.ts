import { forwardJob } from '../catalog/jobs';
import type { Arrival, Catalog, RecordOptions } from '../catalog/types';
import type { AttributeTable } from '../dicom/attributes';
import { GroupTwoStripper } from '../dicom/group-two';
import { HeaderReader } from '../dicom/header';
import type { InstanceHeader } from '../dicom/types';
import { isStorableUid } from '../dicom/uids';
import { DimseError, errorCode, errorMessage } from '../errors';
import type { NodeEventBus } from '../events';
import type { LogFn } from '../log';
import type { ArrivalWriter, FileMeta, Store } from '../store/types';
import type { Duplicates } from './duplicates';
import { Turns } from './turns';

const SOP_CLASS_UID = 0x00080016;
const SOP_INSTANCE_UID = 0x00080018;

/** Records that may wait for the catalog in all; beyond that no further data set is read. */
const RECORDS_WAITING = 1024;

/** Bytes of one data set: an association that never ends its data set must not fill the volume. */
const OBJECT_LIMIT = 16 * 2 ** 30;

/** Anything that hands out the bytes of a data set piece by piece. */
export interface ByteSource {
  /** The next bytes, or undefined at the end. */
  read(): Promise<Buffer | undefined>;
}

/** An instance on its way in, from an association or from a file. */
export interface Candidate {
  readonly meta: FileMeta;
  readonly dataSet: ByteSource;
  /** Assumed where the data set has no (0008,0005); catalog only. */
  readonly defaultCharset?: string;
  readonly duplicates: 'refuse' | 'replace';
  /** Remotes that get it, unless it is held already. */
  readonly forwardTo?: readonly string[];
  /** For log lines and events. */
  readonly associationId: string;
  readonly remoteName: string;
}

export interface Taken {
  readonly outcome: 'stored' | 'duplicate' | 'replaced';
  readonly arrivalId: string;
  readonly bytes: number;
  /** A group 0002 stood inside the data set and was left out (ST-05). */
  readonly strippedGroupTwo: boolean;
}

export interface IngestParts {
  /** What is read from a header. */
  readonly attributes: AttributeTable;
  readonly store: Store;
  readonly catalog: Catalog;
  readonly duplicates: Duplicates;
  readonly events: NodeEventBus;
  readonly log: LogFn;
}

/**
 * The one way in: write, seal, fdatasync, catalog row, and only then Success. C-STORE, `import` and recovery of
 * distrusted files all pass here. What fails is undone as architecture.md ("Failure") says.
 */
export class Ingest {
  private readonly parts: IngestParts;
  private readonly waiting: (() => void)[] = [];
  private readonly turns = new Turns();
  private recording = 0;
  private stoppedWhy: string | undefined;

  constructor(parts: IngestParts) {
    this.parts = parts;
  }

  /** Why nothing is taken any more, or undefined. */
  get stopped(): string | undefined {
    return this.stoppedWhy ?? this.parts.store.stopped;
  }

  /** Refuses everything from now on; reads go on. Final until a restart. */
  stop(why: string): void {
    if (this.stoppedWhy !== undefined) return;
    this.stoppedWhy = why;
    this.parts.events.emit('alert', {
      code: 'INGEST_STOPPED',
      message: `Nothing is stored any more: ${why}. Check the volume of storage.directory, then restart the node.`,
    });
  }

  /**
   * Takes one instance.
   * @throws DimseError A700 (no space, store or catalog failed), A900 (UIDs differ from the command), C000 (unreadable
   * data set or unusable UIDs), 0111 (other bytes under a known SOP Instance UID).
   */
  async take(candidate: Candidate): Promise<Taken> {
    const { meta } = candidate;
    if (!isStorableUid(meta.MediaStorageSOPInstanceUID) || !isStorableUid(meta.MediaStorageSOPClassUID)) {
      throw new DimseError(0xc000, 'SOP Class or Instance UID unusable: 1 to 64 ASCII, no \\ / * ?');
    }
    while (this.recording >= RECORDS_WAITING)
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await this.takeNow(candidate);
    } finally {
      // Whoever was let in lets in the next one, however it ended.
      this.waiting.shift()?.();
    }
  }

  private async takeNow(candidate: Candidate): Promise<Taken> {
    const { meta } = candidate;
    const writer = await this.begin(meta);
    const { header, strippedGroupTwo } = await this.orRevoke(writer, async () => {
      const received = await receive(candidate, writer, this.parts.attributes);
      checkAgainstCommand(received.header, meta);
      return received;
    });
    // So that of two arrivals under one UID the one sealed first is the one recorded first: recovery goes by the seals.
    const { SOPInstanceUID } = header;
    const turn = this.turns.begin(SOPInstanceUID);
    if (turn !== undefined) await turn;
    try {
      return { ...(await this.keep(writer, header, candidate)), strippedGroupTwo };
    } finally {
      this.turns.end(SOPInstanceUID);
    }
  }

  private async keep(
    writer: ArrivalWriter,
    header: InstanceHeader,
    candidate: Candidate,
  ): Promise<Omit<Taken, 'strippedGroupTwo'>> {
    const { meta } = candidate;
    const sealed = await this.orRevoke(writer, () => writer.seal());
    const arrival: Arrival = {
      arrivalId: sealed.arrivalId,
      segment: sealed.segment,
      arrivedAt: sealed.arrivedAt,
      header,
      TransferSyntaxUID: meta.TransferSyntaxUID,
      dataSetOffset: sealed.dataSetOffset,
      dataSetLength: sealed.dataSetLength,
      sha256: sealed.sha256,
      sourceAETitle: meta.SourceApplicationEntityTitle,
    };
    const outcome = await this.record(arrival, writer, candidate);
    writer.finish();
    this.parts.events.emit('stored', {
      arrivalId: arrival.arrivalId,
      associationId: candidate.associationId,
      remoteName: candidate.remoteName,
      SOPClassUID: header.SOPClassUID,
      SOPInstanceUID: header.SOPInstanceUID,
      bytes: arrival.dataSetLength,
      outcome,
    });
    return { outcome, arrivalId: arrival.arrivalId, bytes: arrival.dataSetLength };
  }

  /** What fails before the row is posted takes the file away again. */
  private async orRevoke<T>(writer: ArrivalWriter, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      await this.revoke(writer, error);
      throw this.asDimseError(error);
    }
  }

  private async begin(meta: FileMeta): Promise<ArrivalWriter> {
    if (this.stopped !== undefined)
      throw new DimseError(0xa700, 'Storage stopped after a failure; see the log of the node');
    try {
      return await this.parts.store.begin(meta);
    } catch (error) {
      throw this.asDimseError(error);
    }
  }

  /** Writes the row; the file goes again unless the row is there or may be there. */
  private async record(
    arrival: Arrival,
    writer: ArrivalWriter,
    candidate: Candidate,
  ): Promise<Taken['outcome']> {
    const forwards = forwardsOf(arrival, candidate);
    this.recording++;
    try {
      let result = await this.parts.catalog.record(arrival, forwards);
      while (result.kind === 'exists') {
        const settled = await this.parts.duplicates.settle(
          arrival,
          result.current,
          candidate.duplicates,
          forwards.jobs,
        );
        if (settled.kind === 'same') {
          await writer.revoke();
          return 'duplicate';
        }
        if (settled.kind === 'refused') {
          writer.finish();
          throw new DimseError(0x0111, 'Other bytes under this SOP Instance UID: "quarantine list"');
        }
        if (settled.kind === 'exchanged') return 'replaced';
        if (settled.kind === 'again') {
          result = await this.parts.catalog.record(arrival, forwards);
          continue;
        }
        result = await this.parts.catalog.record(arrival, { ...forwards, replaces: settled.arrivalId });
        if (result.kind === 'recorded') return 'replaced';
      }
      return 'stored';
    } catch (error) {
      if (errorCode(error) === 'DIMSE') throw error;
      if (leavesNothing(error)) {
        await this.revoke(writer, error);
      } else {
        // The row may be there: the file stays, its segment stays unsettled, and the next start looks again.
        this.stop(`only the next start can tell what became of an instance (${errorMessage(error)})`);
      }
      throw this.asDimseError(error);
    } finally {
      this.recording--;
    }
  }

  private async revoke(writer: ArrivalWriter, cause: unknown): Promise<void> {
    try {
      await writer.revoke();
      writer.finish();
    } catch (error) {
      // The next start must not believe the page cache of a file whose sync failed.
      this.stop(`a refused file could not be removed (${errorMessage(error)})`);
      await this.parts.store
        .decide({
          action: 'distrust',
          arrivalId: writer.arrivalId,
          reason: errorMessage(cause),
          time: new Date().toISOString(),
        })
        .catch((failure: unknown) =>
          this.parts.log('error', 'a refused file could not be marked', {
            arrivalId: writer.arrivalId,
            error: errorMessage(failure),
          }),
        );
    }
  }

  private asDimseError(error: unknown): unknown {
    const code = errorCode(error) ?? '';
    if (code === 'DICOM_PARSE')
      return new DimseError(0xc000, `Unreadable: ${errorMessage(error)}`, { cause: error });
    if (code === 'STORE_RESERVE' || code === 'STORE_FULL')
      return new DimseError(0xa700, 'Storage full: free disk space or lower storage.reserve', {
        cause: error,
      });
    if (!/^(STORE|CATALOG|EXCHANGE)_/.test(code)) return error;
    // A store that gave up says so once, for everybody.
    if (this.parts.store.stopped !== undefined) this.stop(this.parts.store.stopped);
    else this.parts.log('error', 'an instance could not be stored', { error: errorMessage(error) });
    return new DimseError(0xa700, 'Storage failed; see the log of the node', { cause: error });
  }
}

/** Jobs that are written with the row: what is answered Success is on its way. */
function forwardsOf({ header }: Arrival, { forwardTo }: Candidate): Pick<RecordOptions, 'jobs'> {
  if (forwardTo === undefined || forwardTo.length === 0) return {};
  return { jobs: forwardTo.map((destination) => forwardJob(destination, header.SOPInstanceUID)) };
}

/** Whether an instance has no row for certain: what `record` says, and what `settle` throws before its catalog has the change. */
function leavesNothing(error: unknown): boolean {
  const code = errorCode(error) ?? '';
  return /^(STORE_|EXCHANGE_BUSY$|CATALOG_BUSY$|CATALOG_ROLLED_BACK$)/.test(code);
}

/** Pipes the data set past the header reader into the file; every byte that is kept passes unchanged. */
async function receive(
  candidate: Candidate,
  writer: ArrivalWriter,
  attributes: AttributeTable,
): Promise<{ header: InstanceHeader; strippedGroupTwo: boolean }> {
  const { meta, dataSet, defaultCharset } = candidate;
  const stripper = new GroupTwoStripper(meta.TransferSyntaxUID);
  const reader = new HeaderReader({
    transferSyntaxUID: meta.TransferSyntaxUID,
    attributes,
    ...(defaultCharset === undefined ? {} : { defaultCharacterSet: defaultCharset }),
  });
  let length = 0;
  const keep = async (kept: Buffer): Promise<void> => {
    length += kept.length;
    if (length > OBJECT_LIMIT) throw new DimseError(0xa700, 'Instances of more than 16 GiB are not taken');
    const parsed = reader.push(kept);
    if (parsed !== undefined) await parsed;
    const behind = writer.write(kept);
    if (behind !== undefined) await behind;
  };
  for (let chunk = await dataSet.read(); chunk !== undefined; chunk = await dataSet.read()) {
    const kept = stripper.push(chunk);
    if (kept !== undefined) await keep(kept);
  }
  const rest = stripper.flush();
  if (rest !== undefined) await keep(rest);
  return { header: await reader.finish(), strippedGroupTwo: stripper.stripped };
}

/** ST-07: the data set must be what the command says it is. */
function checkAgainstCommand(header: InstanceHeader, meta: FileMeta): void {
  const offendingElements: number[] = [];
  if (header.SOPClassUID !== meta.MediaStorageSOPClassUID) offendingElements.push(SOP_CLASS_UID);
  if (header.SOPInstanceUID !== meta.MediaStorageSOPInstanceUID) offendingElements.push(SOP_INSTANCE_UID);
  if (offendingElements.length > 0) {
    throw new DimseError(0xa900, 'SOP Class or Instance UID differs from that of the command', {
      offendingElements,
    });
  }
}
