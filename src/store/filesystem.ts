import { encodeFileMeta } from '../dicom/part10';
import { PRIVATE_INFORMATION_CREATOR_UID } from '../dicom/uids';
import { errorCode } from '../errors';
import { createArrivalId, MAXIMUM_SEGMENT, parseFileName, parseSegmentName, segmentName } from './arrival-id';
import { FileArrivalWriter } from './arrival-writer';
import { DecisionLog } from './decisions';
import { Durability } from './durability';
import { StoreError, storeFailure } from './errors';
import { fileCalls, type FileCalls } from './file-calls';
import { type Layout, listFolder, look, make, type Place, prepareLayout } from './layout';
import { SealClock } from './seal-clock';
import { emptySeal } from './seal';
import { type SegmentLimits, Segments } from './segments';
import { type Reserve, Space } from './space';
import { checkFile, openStored, readDataSetOf } from './stored-file';
import type {
  ArrivalWriter,
  Decision,
  FileCheck,
  FileMeta,
  SealedFile,
  Store,
  StoredFileInfo,
} from './types';

/** Files looked at together while a folder is listed. */
const LOOKS = 32;

export interface FilesystemStoreOptions {
  /** `storage.directory`, absolute. */
  readonly directory: string;
  /** `storage.reserve` */
  readonly reserve: Reserve;
  /** Default: 10,000 files, one hour. */
  readonly segment?: SegmentLimits;
  /** Milliseconds between two looks at the free space and at the age of the segment. Default: 1000; 0: never. */
  readonly interval?: number;
  /** Milliseconds that `close` waits for writers that haven't ended. Default: 10,000. */
  readonly patience?: number;
  /** Wall clock, milliseconds since the epoch: arrival times. */
  readonly now?: () => number;
  /** Monotonic clock, milliseconds: age of segments. */
  readonly elapsed?: () => number;
  /** False: only looks and moves, no segment is opened, and `begin` refuses. Default true. */
  readonly receives?: boolean;
  readonly calls?: FileCalls;
}

interface Opened {
  readonly layout: Layout;
  readonly id: string;
  readonly segments: Segments;
  readonly log: DecisionLog;
  readonly timer: NodeJS.Timeout | undefined;
}

/** The store in a directory of a local file system: `instances/`, `quarantine/`, `decisions.jsonl`, `store.json`. */
export class FilesystemStore implements Store {
  private readonly options: FilesystemStoreOptions;
  private readonly calls: FileCalls;
  private readonly durability: Durability;
  private readonly freeSpace: Space;
  private readonly clock: SealClock;
  private readonly listeners: {
    settled: ((segment: number) => void)[];
    opened: ((segment: number) => void)[];
  } = {
    settled: [],
    opened: [],
  };
  private opened: Opened | undefined;

  constructor(options: FilesystemStoreOptions) {
    this.options = options;
    this.calls = options.calls ?? fileCalls;
    this.durability = new Durability(this.calls);
    this.clock = new SealClock(options.now ?? Date.now);
    this.freeSpace = new Space(this.calls, () => this.ready.layout.root, options.reserve);
  }

  get stopped(): string | undefined {
    return this.durability.stopped;
  }

  /** Made with the directory, the same for ever. */
  get id(): string {
    return this.ready.id;
  }

  private get ready(): Opened {
    if (this.opened === undefined) throw new StoreError('STORE_CLOSED', 'the store is not open');
    return this.opened;
  }

  async open(lastKnownSegment: number): Promise<void> {
    const { calls, durability, options } = this;
    const parts = { calls, durability };
    const { layout, id } = await prepareLayout(parts, options.directory, lastKnownSegment > 0);
    const limits = options.segment ?? { files: 10_000, milliseconds: 3_600_000 };
    const segments = new Segments(
      parts,
      layout.instances,
      limits,
      options.elapsed ?? (() => performance.now()),
    );
    const interval = options.interval ?? 1000;
    const timer = interval > 0 ? setInterval(() => this.tick(), interval) : undefined;
    timer?.unref();
    this.opened = { layout, id, segments, log: new DecisionLog(parts, layout.decisions), timer };
    try {
      await this.freeSpace.refresh();
      for (const listener of this.listeners.settled) segments.onSettled(listener);
      for (const listener of this.listeners.opened) segments.onOpened(listener);
      const highest = Math.max(lastKnownSegment, ...(await this.segments()));
      if (highest >= MAXIMUM_SEGMENT) throw new StoreError('STORE_FAILED', 'there is no segment number left');
      if (options.receives !== false) await segments.start(highest + 1);
    } catch (error) {
      clearInterval(timer);
      this.opened = undefined;
      throw storeFailure('opening the store', error);
    }
  }

  async begin(meta: FileMeta): Promise<ArrivalWriter> {
    const { layout, segments } = this.ready;
    this.durability.requireRunning();
    this.freeSpace.require();
    const header = encodeFileMeta(meta, { creator: PRIVATE_INFORMATION_CREATOR_UID, data: emptySeal() });
    const { segment, sequence } = await segments.take();
    const arrivalId = createArrivalId(segment.number, sequence);
    const place = {
      arrivalId,
      segment: segment.number,
      folder: segment.folder,
      path: layout.pathOf(arrivalId, 'instances'),
    };
    const parts = {
      calls: this.calls,
      durability: this.durability,
      space: this.freeSpace,
      clock: this.clock,
    };
    return new FileArrivalWriter(parts, place, header, () => segments.release(segment));
  }

  onSettled(listener: (segment: number) => void): void {
    this.listeners.settled.push(listener);
    this.opened?.segments.onSettled(listener);
  }

  /** A segment that takes files from now on; the first one is told during `open`. */
  onOpened(listener: (segment: number) => void): void {
    this.listeners.opened.push(listener);
    this.opened?.segments.onOpened(listener);
  }

  async close(): Promise<void> {
    const { opened } = this;
    if (opened === undefined) return;
    clearInterval(opened.timer);
    await opened.segments.close(this.options.patience ?? 10_000);
    await opened.log.close();
    this.opened = undefined;
  }

  async segments(): Promise<number[]> {
    const { layout, segments } = this.ready;
    const entries = await listFolder(this.calls, layout.instances);
    return entries
      .filter((entry) => entry.isDirectory())
      .map((entry) => parseSegmentName(entry.name))
      .filter((segment) => segment !== undefined)
      .filter((segment) => segments.isUsed(segment))
      .sort((a, b) => a - b);
  }

  async files(segment: number): Promise<StoredFileInfo[]> {
    const { layout } = this.ready;
    const prefix = `${segmentName(segment)}-`;
    // Names of another segment, or none of ours, are somebody else's files.
    const ids = await this.idsIn(layout.segmentFolder(segment), (arrivalId) => arrivalId.startsWith(prefix));
    const files: StoredFileInfo[] = [];
    for (let at = 0; at < ids.length; at += LOOKS) {
      const stats = await Promise.all(
        ids.slice(at, at + LOOKS).map(async (arrivalId) => {
          const path = layout.pathOf(arrivalId, 'instances');
          const stat = await look(this.calls, path);
          return stat === undefined ? undefined : { arrivalId, path, size: stat.size };
        }),
      );
      for (const file of stats) if (file !== undefined) files.push(file);
    }
    return files;
  }

  async check(arrivalId: string, place: Place = 'instances'): Promise<FileCheck> {
    return checkFile(this.calls, this.pathOf(arrivalId, place), arrivalId);
  }

  async sync(arrivalId: string): Promise<void> {
    const { layout } = this.ready;
    const fd = await openStored(this.calls, layout.pathOf(arrivalId, 'instances'), arrivalId);
    try {
      await this.durability.syncData(fd, 'the sync of an instance', arrivalId);
    } finally {
      await this.calls.close(fd).catch(() => undefined);
    }
    await this.durability.syncFolder(layout.folderOf(arrivalId, 'instances'), arrivalId);
  }

  readDataSet(
    file: Pick<SealedFile, 'arrivalId' | 'dataSetOffset' | 'dataSetLength'>,
    place: Place = 'instances',
    pieceLength?: number,
    allocate?: (length: number) => Buffer,
  ): AsyncIterable<Buffer> {
    return readDataSetOf(this.calls, this.pathOf(file.arrivalId, place), file, pieceLength, allocate);
  }

  async exists(arrivalId: string, place: Place = 'instances'): Promise<boolean> {
    return (await look(this.calls, this.pathOf(arrivalId, place))) !== undefined;
  }

  pathOf(arrivalId: string, place: Place = 'instances'): string {
    return this.ready.layout.pathOf(arrivalId, place);
  }

  /** A file that is gone already is right: only its folder is synced then. */
  async remove(arrivalId: string, place: Place = 'instances'): Promise<void> {
    try {
      await this.calls.unlink(this.pathOf(arrivalId, place));
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw storeFailure('removing a file', error, arrivalId);
    }
    await this.durability.syncFolder(this.ready.layout.folderOf(arrivalId, place), arrivalId);
  }

  async quarantine(arrivalId: string): Promise<void> {
    await this.move(arrivalId, 'instances', 'quarantine');
  }

  async release(arrivalId: string): Promise<void> {
    const { layout } = this.ready;
    const folder = layout.folderOf(arrivalId, 'instances');
    if ((await look(this.calls, folder)) === undefined) {
      await make(this.calls, folder);
      await this.durability.syncFolder(folder, arrivalId);
      await this.durability.syncFolder(layout.instances, arrivalId);
    }
    await this.move(arrivalId, 'quarantine', 'instances');
  }

  /** A move that was cut off after the rename is completed by a second call. */
  private async move(arrivalId: string, from: Place, to: Place): Promise<void> {
    const { layout } = this.ready;
    const target = layout.pathOf(arrivalId, to);
    const moved = (await look(this.calls, target)) !== undefined;
    if (moved && (await this.exists(arrivalId, from))) {
      throw new StoreError('STORE_FAILED', `${arrivalId} stands in ${from}/ and in ${to}/`, {
        hint: 'compare the two files and put the one that is not wanted elsewhere',
        arrivalId,
      });
    }
    if (!moved) {
      try {
        await this.calls.rename(layout.pathOf(arrivalId, from), target);
      } catch (error) {
        throw storeFailure(`moving a file to ${to}/`, error, arrivalId);
      }
    }
    // The new name first: after a power cut in between the file has two names rather than none.
    await this.durability.syncFolder(layout.folderOf(arrivalId, to), arrivalId);
    await this.durability.syncFolder(layout.folderOf(arrivalId, from), arrivalId);
  }

  async quarantined(): Promise<string[]> {
    return this.idsIn(this.ready.layout.quarantine, () => true);
  }

  private async idsIn(folder: string, wanted: (arrivalId: string) => boolean): Promise<string[]> {
    return (await listFolder(this.calls, folder))
      .map((entry) => parseFileName(entry.name))
      .filter((arrivalId) => arrivalId !== undefined)
      .filter(wanted)
      .sort();
  }

  async decide(decision: Decision): Promise<void> {
    await this.ready.log.append(decision);
  }

  async decisions(): Promise<Decision[]> {
    return this.ready.log.read();
  }

  space(): { readonly free: number; readonly reserve: number; readonly total: number } {
    return this.freeSpace.current();
  }

  private tick(): void {
    // A failure leaves the last answer, less what was written since; whoever stores next meets the cause itself.
    this.freeSpace.refresh().catch(() => undefined);
    this.opened?.segments.closeAged().catch(() => undefined);
  }
}
