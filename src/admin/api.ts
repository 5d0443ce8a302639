import type { Job, JobFilter, JobSelection } from '../catalog/jobs';
import type {
  Conflict,
  EntityRow,
  FindFilter,
  FindPage,
  InstanceLocation,
  QuarantineEntry,
} from '../catalog/types';
import type { Selection } from '../catalog/query-types';
import type { ReportNews } from '../services/commitment-expected';
import type { ImportEvent } from '../services/import';

export interface PageRequest {
  /** At most 1000 rows. */
  readonly limit: number;
  readonly after?: string;
}

export interface Page<T> {
  readonly rows: T[];
  readonly next: string | undefined;
}

/** What `show UID` tells: the entity of the first level that knows the UID, and for an instance where its files are. */
export interface Shown {
  readonly level: 'STUDY' | 'SERIES' | 'IMAGE';
  readonly rows: EntityRow[];
  readonly files: (InstanceLocation & { readonly path: string })[];
}

/** A stored instance, and the file that its bytes are in, on the node's machine. */
export type Located = InstanceLocation & { readonly path: string };

export interface Status {
  readonly version: string;
  readonly pid: number;
  /** Why associations are refused at this moment, or undefined. */
  readonly unavailable: string | undefined;
  /** Why nothing is stored any more, or undefined. */
  readonly stopped: string | undefined;
  readonly associations: number;
  readonly patients: number;
  readonly studies: number;
  readonly series: number;
  readonly instances: number;
  readonly bytes: number;
  readonly quarantined: number;
  /** Attributes that are filled in for instances from before they were kept: until then queries for them are incomplete. */
  readonly backfill:
    | {
        readonly attributes: readonly string[];
        readonly done: number;
        readonly total: number;
        readonly skipped: number;
      }
    | undefined;
}

/** A job without what is in it but the instance that it speaks of. */
export interface ShownJob extends Omit<Job, 'payload'> {
  readonly SOPInstanceUID: string | undefined;
}

/** What became of a selection of jobs; `left`: the numbers that are running or unknown. */
export interface ChangedJobs {
  readonly changed: number;
  readonly left: readonly number[];
}

/**
 * What commands ask of a node: over the control socket of a running one, or of the store itself when none runs.
 * Errors are `IsocenterError`s on both ways.
 */
export interface NodeApi {
  status(): Promise<Status>;
  find(filter: FindFilter, page: PageRequest): Promise<FindPage>;
  conflicts(page: PageRequest): Promise<Page<Conflict>>;
  /** @throws IsocenterError `UID_UNKNOWN` */
  show(uid: string): Promise<Shown>;
  /** Current instances that a selection names, series by series; a page may be empty and yet not the last. */
  locate(selection: Selection, page: PageRequest): Promise<Page<Located>>;
  quarantineList(page: PageRequest): Promise<Page<QuarantineEntry>>;
  quarantineShow(arrivalId: string): Promise<QuarantineEntry & { readonly path: string }>;
  quarantineRelease(arrivalId: string, reason: string): Promise<void>;
  quarantineDiscard(arrivalId: string, reason: string): Promise<void>;
  jobsList(filter: JobFilter, page: PageRequest): Promise<Page<ShownJob>>;
  jobsRetry(selection: JobSelection): Promise<ChangedJobs>;
  jobsCancel(selection: JobSelection): Promise<ChangedJobs>;
  /** Reports of storage commitment that a peer of that title makes to the node, until all have come. */
  commitmentReports(
    aeTitle: string,
    TransactionUIDs: readonly string[],
    signal: AbortSignal,
  ): AsyncIterable<ReportNews>;
  /** Takes files and folders of the node's machine, by absolute path; one event a file. */
  importPaths(paths: readonly string[], signal: AbortSignal): AsyncIterable<ImportEvent>;
}
