import type { AttributeValue, InstanceHeader } from '../dicom/types';
import type { CommitmentStore } from './commitments';
import type { JobQueue, NewJob } from './jobs';
import type { EntityQuery, LocationPage, QueryPage, Selection, SurveyPage } from './query-types';

export type Level = 'PATIENT' | 'STUDY' | 'SERIES' | 'IMAGE';

/** One arrival: what the file is and what its header says. */
export interface Arrival {
  /** Sorts as text in arrival order. */
  readonly arrivalId: string;
  readonly segment: number;
  readonly arrivedAt: number;
  readonly header: InstanceHeader;
  readonly TransferSyntaxUID: string;
  readonly dataSetOffset: number;
  readonly dataSetLength: number;
  readonly sha256: string;
  /** (0002,0016) of the file: rows hold only what the files can tell again. */
  readonly sourceAETitle: string;
}

/** Where an instance's bytes are. */
export interface InstanceLocation {
  readonly arrivalId: string;
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
  readonly StudyInstanceUID: string;
  readonly SeriesInstanceUID: string;
  readonly TransferSyntaxUID: string;
  readonly dataSetOffset: number;
  readonly dataSetLength: number;
  readonly sha256: string;
  readonly state: 'current' | 'version';
  /** Why the file is not to be trusted, or undefined. */
  readonly damaged: string | undefined;
}

/**
 * What became of an arrival. `exists`: another arrival holds this SOP Instance UID, nothing was written; the caller compares and
 * decides.
 */
export type RecordOutcome =
  { readonly kind: 'recorded' } | { readonly kind: 'exists'; readonly current: InstanceLocation };

export interface RecordOptions {
  /**
   * Compare and swap for `duplicates: replace`: where this arrival is the one in place, both are kept as versions and the one with the
   * higher arrival id becomes current. A different one in place: outcome `exists` again.
   */
  readonly replaces?: string;
  /** Added in the same transaction, which is durable then; only where the outcome is `recorded`, and not for a row that is there already. */
  readonly jobs?: readonly NewJob[];
}

export type QuarantineReason = 'duplicate' | 'damaged' | 'replaced' | 'unreadable';

export interface QuarantineEntry {
  readonly arrivalId: string;
  readonly SOPInstanceUID: string;
  readonly SOPClassUID: string;
  readonly StudyInstanceUID: string;
  readonly sha256: string;
  readonly dataSetLength: number;
  readonly reason: QuarantineReason;
  readonly detail: string;
  /** The arrival that holds the UID in the store, if any. */
  readonly conflictsWith: string | undefined;
  readonly sourceAETitle: string;
  /** ISO 8601, UTC. */
  readonly time: string;
  /** How often the same bytes came. */
  readonly count: number;
}

/** One entity of a level with its own attributes and counters, and those of the levels above it. */
export type EntityRow = Readonly<Record<string, AttributeValue | null>>;

export interface FindPage {
  readonly rows: EntityRow[];
  /** Hand it back for the next page; undefined at the end. A page may be empty and yet not the last: a scan is cut into slices. */
  readonly next: string | undefined;
}

export interface FindFilter {
  readonly level: Level;
  /** By keyword of the attribute table at this level or above: exact text, or with `*` and `?`; dates also `a-b`, `-b`, `a-`. */
  readonly keys: Readonly<Record<string, string>>;
}

/** An attribute for which a later arrival said something else than the first one. */
export interface Conflict {
  readonly level: Exclude<Level, 'IMAGE'>;
  readonly StudyInstanceUID: string | undefined;
  readonly SeriesInstanceUID: string | undefined;
  readonly PatientID: string;
  readonly keyword: string;
  readonly kept: AttributeValue;
  readonly differing: AttributeValue;
  /** First arrival with the differing value. */
  readonly arrivalId: string;
}

export interface Exchange {
  readonly leaves: string;
  /** Every arrival of that patient but `leaves` and `unreadable`, and the one that takes its place, if any. */
  readonly replay: readonly Arrival[];
  /** Arrivals of that patient whose files can't be read: their rows stay, and speak for what was said of the levels above. */
  readonly unreadable?: readonly string[];
  readonly quarantineAdd?: Omit<QuarantineEntry, 'count'>;
  readonly quarantineRemove?: string;
  /** Added with it. */
  readonly jobs?: readonly NewJob[];
}

/** How far the values of attributes are that are kept since later than the first arrivals: they come from the files, in arrival order. */
export interface BackfillState {
  readonly keywords: readonly string[];
  /** The walk goes on behind this arrival id; empty at its beginning. */
  readonly after: string;
  /** The last arrival that came before the attributes were kept. */
  readonly until: string;
  /** Arrivals walked over, of `total`. */
  readonly done: number;
  readonly total: number;
  /** Arrivals whose files could not be read. */
  readonly skipped: number;
  /** Every value is there, but those of files that were skipped. */
  readonly finished: boolean;
}

/** What it takes to read an arrival's header from its file. */
export interface StoredArrival {
  readonly arrivalId: string;
  readonly TransferSyntaxUID: string;
  readonly dataSetOffset: number;
  readonly dataSetLength: number;
  readonly sourceAETitle: string;
  readonly damaged: string | undefined;
}

export interface BackfillStep {
  /** Headers' values; only those of `BackfillState.keywords` are taken. */
  readonly arrivals: readonly { readonly arrivalId: string; readonly values: InstanceHeader['values'] }[];
  /** Arrivals whose files can't be read. */
  readonly unreadable: readonly string[];
  /** Last arrival of the step. */
  readonly to: string;
  readonly walked: number;
  /** None is left. */
  readonly last: boolean;
}

export interface SegmentMark {
  readonly segment: number;
  readonly settled: boolean;
}

/**
 * The catalog: a cache of the files, plus what no file can tell. Whole units of work, all asynchronous.
 * Errors are `IsocenterError`s: `CATALOG_ROLLED_BACK` = certainly nothing was written; `CATALOG_UNKNOWN` = the outcome is not known, ingest must stop;
 * `CATALOG_BUSY` = more than 1024 records wait.
 */
export interface Catalog {
  /** Opens or creates, migrates, starts the threads. @throws IsocenterError `CATALOG_NEWER`, `CATALOG_CORRUPT` (hint: reindex). */
  open(): Promise<void>;
  /** Writes what is queued, checkpoints, ends the threads. */
  close(): Promise<void>;
  /** Called when a thread dies: the node must stop. */
  onFatal(listener: (error: Error) => void): void;

  /** Adds an arrival in the next batch; resolves after the commit. */
  record(arrival: Arrival, options?: RecordOptions): Promise<RecordOutcome>;
  /** What is to be done later, for other nodes. */
  readonly jobs: JobQueue;
  /** What peers want to be told of what they sent. */
  readonly commitments: CommitmentStore;
  /** What `open` took over from a catalog that was set aside (`reindex`); `problem`: why some of its jobs, or all, could not be read. */
  readonly carriedOver: { readonly rows: number; readonly problem: string | undefined } | undefined;

  /** Records waiting now; ingest stops reading commands beyond 1024. */
  readonly waiting: number;

  /** Durable: the segment's files all have rows (and that commit makes the rows durable). */
  settle(segment: number): Promise<void>;
  /** Durable: the segment exists; written when it is opened. */
  openSegment(segment: number): Promise<void>;
  segments(): Promise<SegmentMark[]>;
  /** Arrival ids of a segment that have a row. */
  arrivals(segment: number): Promise<Set<string>>;

  /** Every arrival of a SOP Instance UID, the current one first. */
  locate(SOPInstanceUID: string): Promise<InstanceLocation[]>;
  /**
   * One page of a query (C-FIND): at most `limit` rows, each an entity that has a current instance, in an order that depends on keys that
   * don't change, so that `after` resumes behind the last one. Never runs longer than a slice of some milliseconds: others wait on the same thread.
   * @throws IsocenterError `CATALOG_FILTER` for a keyword that can't be asked for at this level, or a key that is too long; `CATALOG_CURSOR`.
   */
  query(query: EntityQuery, page: { readonly limit: number; readonly after?: string }): Promise<QueryPage>;
  /** Counts what a selection names, by kind: a slice, and where the next one begins. @throws IsocenterError `CATALOG_CURSOR` */
  survey(
    selection: Selection,
    page: { readonly after?: string; readonly until?: string },
  ): Promise<SurveyPage>;
  /**
   * One page of the instances that a selection names, series by series in the order of their arrival, at most `limit`. Rows that are there
   * throughout come exactly once. @throws IsocenterError `CATALOG_CURSOR`
   */
  retrieve(
    selection: Selection,
    page: { readonly limit: number; readonly after?: string; readonly until?: string },
  ): Promise<LocationPage>;
  find(filter: FindFilter, page: { readonly limit: number; readonly after?: string }): Promise<FindPage>;
  conflicts(page: {
    readonly limit: number;
    readonly after?: string;
  }): Promise<{ rows: Conflict[]; next: string | undefined }>;
  counts(): Promise<{
    patients: number;
    studies: number;
    series: number;
    instances: number;
    bytes: number;
    quarantined: number;
  }>;

  /** Durable. Marks the row of a file whose bytes are not what they were. */
  markDamaged(arrivalId: string, reason: string): Promise<void>;
  /**
   * Durable. Counts up where the same bytes of the same instance are there already: returns false then. `kept`: the file stays in
   * any case, and gets an entry of its own.
   */
  addQuarantine(
    entry: Omit<QuarantineEntry, 'count'>,
    options?: { readonly kept?: boolean },
  ): Promise<boolean>;
  /** Durable. */
  removeQuarantine(arrivalId: string): Promise<void>;
  quarantined(page: {
    readonly limit: number;
    readonly after?: string;
  }): Promise<{ rows: QuarantineEntry[]; next: string | undefined }>;
  quarantineEntry(arrivalId: string): Promise<QuarantineEntry | undefined>;
  /** Arrivals that share the patient of this one, in arrival order, itself included: what an exchange has to replay. */
  arrivalsOfPatient(arrivalId: string): Promise<string[]>;
  /**
   * Durable, one transaction: `leaves` goes, its patient's other arrivals and what comes in its place are written again from `replay`
   * (headers read from the files by the caller), quarantine entries change sides. Values, conflicts and counters are then
   * what they would be had `leaves` never come. `stale`: the patient's arrivals changed meanwhile, read them again.
   */
  exchange(change: Exchange): Promise<'done' | 'stale'>;

  /** Attributes whose values from before they were kept are still missing, as of the last step; undefined where none are. */
  readonly backfill: BackfillState | undefined;
  /** Arrivals behind `after` up to `until`, versions and damaged ones included, in arrival order. */
  arrivalsAfter(range: {
    readonly after: string;
    readonly until: string;
    readonly limit: number;
  }): Promise<StoredArrival[]>;
  /** Merges values into what is there, and moves the place of the walk behind them, in one transaction. */
  fill(step: BackfillStep): Promise<BackfillState | undefined>;

  /** Every row as canonical JSON lines, in an order that depends on the content alone. */
  dump(): AsyncIterable<string>;
}
