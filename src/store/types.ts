/** What the file meta group says of an instance (PS3.10 7.1). */
export interface FileMeta {
  readonly MediaStorageSOPClassUID: string;
  readonly MediaStorageSOPInstanceUID: string;
  readonly TransferSyntaxUID: string;
  /** (0002,0016): who sent it. */
  readonly SourceApplicationEntityTitle: string;
  /** (0002,0018): who took it. */
  readonly ReceivingApplicationEntityTitle: string;
}

/** A file that is written, sealed and synced: it survives a power cut from here on. */
export interface SealedFile {
  /** Sorts as text in arrival order; names the file. */
  readonly arrivalId: string;
  readonly segment: number;
  /** Milliseconds since the epoch, as the clock stood when the seal was made. */
  readonly arrivedAt: number;
  /** Together with `arrivedAt` the order in which files were sealed: a count within the millisecond. */
  readonly ordinal: number;
  readonly dataSetOffset: number;
  readonly dataSetLength: number;
  /** SHA-256 of the data set, lower-case hexadecimal. */
  readonly sha256: string;
}

/** A file being received. Exactly one of `seal` and `revoke` ends it; `revoke` after a failed `seal` is right. */
export interface ArrivalWriter {
  readonly arrivalId: string;
  /** Takes bytes of the data set; returns a promise only when the disk falls behind: await it before the next call. */
  write(chunk: Buffer): Promise<void> | undefined;
  /**
   * Writes what is pending, fills in the seal, one fdatasync.
   * @throws IsocenterError `STORE_FULL` when the volume is full, `STORE_FAILED` on any other write error,
   * `STORE_SYNC_FAILED` when the sync itself failed: the store takes nothing more until a restart.
   */
  seal(): Promise<SealedFile>;
  /** Ends the writer and unlinks its file; the folder is synced where the file had been sealed. */
  revoke(): Promise<void>;
  /** Tells the store that the row is committed (or the outcome left to recovery): the writer no longer holds its segment open. */
  finish(): void;
}

/** A stored file as a reader sees it. */
export interface StoredFileInfo {
  readonly arrivalId: string;
  readonly path: string;
  readonly size: number;
}

/** What a look at one file on disk tells. */
export type FileCheck =
  | { readonly state: 'sealed'; readonly file: SealedFile; readonly meta: FileMeta }
  /** The seal is still all zeros: never finished, never acknowledged. */
  | { readonly state: 'unsealed' }
  /** Anything else: another tool rewrote it, or the disk did. */
  | { readonly state: 'mismatch'; readonly reason: string };

/** A decision that no file can tell; appended to `decisions.jsonl` and synced before it is carried out. */
export interface Decision {
  readonly action: 'quarantine' | 'release' | 'discard' | 'replace' | 'delete' | 'distrust';
  readonly arrivalId: string;
  /** The arrival that it displaces, or is displaced by. */
  readonly other?: string;
  readonly reason: string;
  /** Of a quarantine: which kind of reason it is. */
  readonly kind?: 'duplicate' | 'damaged' | 'replaced' | 'unreadable';
  /** ISO 8601, UTC. */
  readonly time: string;
}

/** The bytes: one file an instance in numbered segments, and a quarantine beside them. */
export interface Store {
  /**
   * Creates what is missing, checks that the directory is this store's (sentinel), and starts the first segment above
   * `lastKnownSegment` and above every folder that exists.
   */
  open(lastKnownSegment: number): Promise<void>;
  /** Starts a file. @throws IsocenterError `STORE_RESERVE` below the reserve, `STORE_STOPPED` after a failed sync. */
  begin(meta: FileMeta): Promise<ArrivalWriter>;
  /** Segments whose last writer has ended, oldest first; the listener writes the durable mark. */
  onSettled(listener: (segment: number) => void): void;
  /** Closes the open segment and waits for its writers. */
  close(): Promise<void>;

  /** Numbers of the segment folders that exist, ascending. */
  segments(): Promise<number[]>;
  /** Files of one segment in arrival order. */
  files(segment: number): Promise<StoredFileInfo[]>;
  /** Reads the file and checks its seal against its bytes. */
  check(arrivalId: string, place?: 'instances' | 'quarantine'): Promise<FileCheck>;
  /** fdatasync of the file and fsync of its folder: cached pages prove nothing about the disk. */
  sync(arrivalId: string): Promise<void>;
  /**
   * Bytes of the data set as stored, in pieces of at most `pieceLength` bytes (256 KiB), one read ahead of its reader; each in memory of its
   * own, or from `allocate`.
   */
  readDataSet(
    file: Pick<SealedFile, 'arrivalId' | 'dataSetOffset' | 'dataSetLength'>,
    place?: 'instances' | 'quarantine',
    pieceLength?: number,
    allocate?: (length: number) => Buffer,
  ): AsyncIterable<Buffer>;
  exists(arrivalId: string, place?: 'instances' | 'quarantine'): Promise<boolean>;
  pathOf(arrivalId: string, place?: 'instances' | 'quarantine'): string;

  /** Unlinks an unacknowledged file and syncs its folder. */
  remove(arrivalId: string, place?: 'instances' | 'quarantine'): Promise<void>;
  /** Moves to `quarantine/`, both folders synced. */
  quarantine(arrivalId: string): Promise<void>;
  /** Moves back from `quarantine/`, both folders synced. */
  release(arrivalId: string): Promise<void>;
  /** Arrival ids in `quarantine/`. */
  quarantined(): Promise<string[]>;

  /** Appends and syncs. */
  decide(decision: Decision): Promise<void>;
  decisions(): Promise<Decision[]>;

  /** Free bytes and the reserve in bytes, as last measured. */
  space(): { readonly free: number; readonly reserve: number; readonly total: number };
  /** Set once a sync failed: why nothing is taken any more. */
  readonly stopped: string | undefined;
}
