import { BUILT_IN } from '../../dicom/attributes';
import { IsocenterError } from '../../errors';
import type { EntityQuery, LocationPage, QueryPage, Selection, SurveyPage } from '../query-types';
import type {
  Arrival,
  BackfillState,
  BackfillStep,
  Catalog,
  Conflict,
  Exchange,
  FindFilter,
  FindPage,
  InstanceLocation,
  QuarantineEntry,
  RecordOptions,
  RecordOutcome,
  SegmentMark,
  StoredArrival,
} from '../types';
import { SqliteCommitments } from './commitments';
import type { DumpPage } from './dump';
import { corrupt, isCorrupt, rolledBack } from './failure';
import { SqliteJobs, writtenJobs } from './jobs';
import type { CarriedOver } from './jobs-carry';
import type { CatalogAttribute } from './layout';
import { LogKeeper } from './log-keeper';
import { Maintenance } from './maintenance';
import type { PageRequest, RetrieveRequest, SurveyRequest } from './reader';
import type { ThreadData } from './thread';
import { ThreadHost } from './thread-host';
import { WriteQueue } from './write-queue';
import type { BatchReply, WriteJob } from './writer';

type Counts = Awaited<ReturnType<Catalog['counts']>>;

export interface SqliteCatalogOptions {
  /** `catalog.sqlite`; its folder exists. */
  readonly path: string;
  /** Columns; default: those of the built-in table. */
  readonly attributes?: readonly CatalogAttribute[];
}

/** The catalog in one SQLite file: a writer thread, a reader thread, and one for maintenance when there is any. */
export class SqliteCatalog implements Catalog {
  private readonly data: ThreadData;
  private readonly fatalListeners: ((error: Error) => void)[] = [];
  private readonly queue: WriteQueue;
  private readonly maintenance: Maintenance;
  private readonly logKeeper: LogKeeper;
  private writer: ThreadHost | undefined;
  private reader: ThreadHost | undefined;
  private failure: Error | undefined;
  private filling: BackfillState | undefined;
  private taken: CarriedOver | undefined;
  readonly jobs = new SqliteJobs({
    write: (change) => this.write({ kind: 'jobs', change }),
    list: (request) => this.read('jobs', request),
    counts: () => this.read('jobCounts'),
  });
  readonly commitments = new SqliteCommitments({
    write: (change) => this.write({ kind: 'commitments', change }),
    announce: (jobs) => this.jobs.announce(jobs),
  });

  constructor(options: SqliteCatalogOptions) {
    const attributes = options.attributes ?? BUILT_IN.stored();
    this.data = {
      file: options.path,
      attributes: attributes.map(({ keyword, level, vr }) => ({ keyword, level, vr })),
    };
    this.queue = new WriteQueue({
      run: (jobs) => this.thread(this.writer).call<BatchReply>('run', jobs),
      onFatal: (error) => this.fail(error),
      onLogPages: (pages) => this.logKeeper.look(pages),
    });
    this.maintenance = new Maintenance(this.data);
    this.logKeeper = new LogKeeper({
      checkpoint: () => this.maintenance.checkpoint(),
      restart: () => this.thread(this.writer).call('restartLog'),
    });
  }

  async open(): Promise<void> {
    try {
      // The writer creates and migrates what the reader then finds.
      this.writer = this.start('writer');
      this.filling = await this.writer.call<BackfillState | undefined>('open');
      this.taken = await this.writer.call<CarriedOver | undefined>('carried');
      this.reader = this.start('reader');
      await this.reader.call('open');
    } catch (error) {
      await this.writer?.terminate();
      await this.reader?.terminate();
      this.writer = undefined;
      this.reader = undefined;
      throw isCorrupt(error) ? corrupt(this.data.file, 'it is damaged', error) : error;
    }
  }

  async close(): Promise<void> {
    await this.queue.drain();
    this.queue.stop(new IsocenterError('CATALOG_CLOSED', 'The catalog is closed'));
    await this.logKeeper.idle();
    await this.maintenance.close();
    await this.reader?.close();
    // The last connection: its checkpoint empties the log.
    await this.writer?.close();
    this.reader = undefined;
    this.writer = undefined;
  }

  onFatal(listener: (error: Error) => void): void {
    this.fatalListeners.push(listener);
    if (this.failure !== undefined) listener(this.failure);
  }

  get waiting(): number {
    return this.queue.waiting;
  }

  async record(arrival: Arrival, options: RecordOptions = {}): Promise<RecordOutcome> {
    const { replaces } = options;
    const jobs = writtenJobs(options.jobs ?? []);
    const outcome = await this.write<RecordOutcome>({
      kind: 'record',
      arrival,
      ...(replaces === undefined ? {} : { replaces }),
      ...(jobs.length === 0 ? {} : { jobs }),
    });
    if (outcome.kind === 'recorded') this.jobs.announce(jobs);
    return outcome;
  }

  settle(segment: number): Promise<void> {
    return this.write({ kind: 'settle', segment });
  }

  openSegment(segment: number): Promise<void> {
    return this.write({ kind: 'openSegment', segment });
  }

  markDamaged(arrivalId: string, reason: string): Promise<void> {
    return this.write({ kind: 'markDamaged', arrivalId, reason });
  }

  addQuarantine(
    entry: Omit<QuarantineEntry, 'count'>,
    options: { readonly kept?: boolean } = {},
  ): Promise<boolean> {
    return this.write({ kind: 'addQuarantine', entry, ...(options.kept === true ? { kept: true } : {}) });
  }

  removeQuarantine(arrivalId: string): Promise<void> {
    return this.write({ kind: 'removeQuarantine', arrivalId });
  }

  async exchange(change: Exchange): Promise<'done' | 'stale'> {
    const jobs = writtenJobs(change.jobs ?? []);
    const outcome = await this.write<'done' | 'stale'>({ kind: 'exchange', change, jobs });
    if (outcome === 'done') this.jobs.announce(jobs);
    return outcome;
  }

  get carriedOver(): CarriedOver | undefined {
    return this.taken;
  }

  get backfill(): BackfillState | undefined {
    return this.filling;
  }

  arrivalsAfter(range: {
    readonly after: string;
    readonly until: string;
    readonly limit: number;
  }): Promise<StoredArrival[]> {
    return this.maintenance.arrivalsAfter(range);
  }

  async fill(step: BackfillStep): Promise<BackfillState | undefined> {
    const state = await this.write<BackfillState | undefined>({ kind: 'fill', step });
    this.filling = state?.finished === true ? undefined : state;
    return state;
  }

  segments(): Promise<SegmentMark[]> {
    return this.read('segments');
  }

  async arrivals(segment: number): Promise<Set<string>> {
    return new Set(await this.read<string[]>('arrivals', segment));
  }

  locate(SOPInstanceUID: string): Promise<InstanceLocation[]> {
    return this.read('locate', SOPInstanceUID);
  }

  query(query: EntityQuery, page: { readonly limit: number; readonly after?: string }): Promise<QueryPage> {
    return this.read('query', { query, page });
  }

  retrieve(selection: Selection, page: RetrieveRequest['page']): Promise<LocationPage> {
    return this.read('retrieve', { selection, page });
  }

  survey(selection: Selection, page: SurveyRequest['page']): Promise<SurveyPage> {
    return this.read('survey', { selection, page });
  }

  find(filter: FindFilter, page: PageRequest): Promise<FindPage> {
    return this.read('find', { filter, page });
  }

  conflicts(page: PageRequest): Promise<{ rows: Conflict[]; next: string | undefined }> {
    return this.read('conflicts', page);
  }

  counts(): Promise<Counts> {
    return this.read('counts');
  }

  quarantined(page: PageRequest): Promise<{ rows: QuarantineEntry[]; next: string | undefined }> {
    return this.read('quarantined', page);
  }

  quarantineEntry(arrivalId: string): Promise<QuarantineEntry | undefined> {
    return this.read('quarantineEntry', arrivalId);
  }

  arrivalsOfPatient(arrivalId: string): Promise<string[]> {
    return this.read('arrivalsOfPatient', arrivalId);
  }

  /** Pages are read one by one: lines of a catalog that is being written to may come from several states of it. */
  async *dump(): AsyncGenerator<string> {
    let cursor: string | undefined;
    do {
      const page: DumpPage = await this.read<DumpPage>('dump', cursor);
      yield* page.lines;
      cursor = page.next;
    } while (cursor !== undefined);
  }

  /** Reads the whole database on the maintenance thread. @returns one sentence for each problem; none is good. */
  quickCheck(): Promise<string[]> {
    return this.maintenance.quickCheck();
  }

  private write<T>(job: WriteJob): Promise<T> {
    if (this.writer === undefined) return Promise.reject(rolledBack(this.failure ?? notOpen()));
    return this.queue.push<T>(job);
  }

  private read<T>(method: string, argument?: unknown): Promise<T> {
    return this.reader === undefined
      ? Promise.reject(this.failure ?? notOpen())
      : this.reader.call<T>(method, argument);
  }

  private thread(host: ThreadHost | undefined): ThreadHost {
    if (host === undefined) throw notOpen();
    return host;
  }

  private start(name: string): ThreadHost {
    return new ThreadHost(name, this.data, (error) => {
      this.queue.stop(error);
      this.fail(error);
    });
  }

  private fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    for (const listener of this.fatalListeners) listener(error);
  }
}

function notOpen(): IsocenterError {
  return new IsocenterError('CATALOG_CLOSED', 'The catalog is not open');
}
