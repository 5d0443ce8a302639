import { SqliteCommitments } from '../../src/catalog/sqlite/commitments';
import { fromWire, rolledBack } from '../../src/catalog/sqlite/failure';
import { openConnection } from '../../src/catalog/sqlite/connection';
import { SqliteJobs, writtenJobs } from '../../src/catalog/sqlite/jobs';
import { arrivalsAfter } from '../../src/catalog/sqlite/kept-attributes';
import { layoutOf, type Layout } from '../../src/catalog/sqlite/layout';
import { Reader } from '../../src/catalog/sqlite/reader';
import { Writer, type WriteJob } from '../../src/catalog/sqlite/writer';
import type { EntityQuery } from '../../src/catalog/query-types';
import type {
  Arrival,
  BackfillState,
  BackfillStep,
  Catalog,
  Exchange,
  FindFilter,
  QuarantineEntry,
  RecordOptions,
} from '../../src/catalog/types';
import { BUILT_IN, type AttributeTable } from '../../src/dicom/attributes';

type Page = { readonly limit: number; readonly after?: string };

/** The SQLite catalog without its threads: opened in a few milliseconds, and every call is a transaction of its own. */
export class DirectCatalog implements Catalog {
  readonly waiting = 0;
  private readonly file: string;
  private readonly layout: Layout;
  private opened: { writer: Writer; reader: Reader } | undefined;

  constructor(file: string, attributes: AttributeTable = BUILT_IN) {
    this.file = file;
    this.layout = layoutOf(attributes.stored());
  }

  private get parts(): { writer: Writer; reader: Reader } {
    if (this.opened === undefined) throw rolledBack(new Error('the catalog is closed'));
    return this.opened;
  }

  open(): Promise<void> {
    const writer = new Writer(this.file, this.layout);
    this.opened = { writer, reader: new Reader(this.file, this.layout) };
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.opened?.reader.close();
    this.opened?.writer.close();
    this.opened = undefined;
    return Promise.resolve();
  }

  onFatal(): void {
    // Nothing dies here.
  }

  readonly jobs = new SqliteJobs({
    write: (change) => this.run({ kind: 'jobs', change }),
    list: async (request) => this.parts.reader.jobs(request),
    counts: async () => this.parts.reader.jobCounts(),
  });
  readonly commitments = new SqliteCommitments({
    write: (change) => this.run({ kind: 'commitments', change }),
    announce: (jobs) => this.jobs.announce(jobs),
  });

  get carriedOver() {
    return this.opened?.writer.carried;
  }

  record = async (arrival: Arrival, { replaces, jobs }: RecordOptions = {}) => {
    const written = writtenJobs(jobs ?? []);
    const outcome = await this.run<Awaited<ReturnType<Catalog['record']>>>({
      kind: 'record',
      arrival,
      ...(replaces === undefined ? {} : { replaces }),
      ...(written.length === 0 ? {} : { jobs: written }),
    });
    if (outcome.kind === 'recorded') this.jobs.announce(written);
    return outcome;
  };
  settle = (segment: number): Promise<void> => this.run({ kind: 'settle', segment });
  openSegment = (segment: number): Promise<void> => this.run({ kind: 'openSegment', segment });
  markDamaged = (arrivalId: string, reason: string): Promise<void> =>
    this.run({ kind: 'markDamaged', arrivalId, reason });
  addQuarantine = (entry: Omit<QuarantineEntry, 'count'>, options: { readonly kept?: boolean } = {}) =>
    this.run<boolean>({ kind: 'addQuarantine', entry, kept: options.kept === true });
  removeQuarantine = (arrivalId: string): Promise<void> => this.run({ kind: 'removeQuarantine', arrivalId });
  exchange = async (change: Exchange) => {
    const jobs = writtenJobs(change.jobs ?? []);
    const outcome = await this.run<'done' | 'stale'>({ kind: 'exchange', change, jobs });
    if (outcome === 'done') this.jobs.announce(jobs);
    return outcome;
  };

  get backfill(): BackfillState | undefined {
    return this.opened?.writer.backfill();
  }

  arrivalsAfter = async (range: Parameters<Catalog['arrivalsAfter']>[0]) => {
    const database = openConnection(this.file, { readonly: true, cache: 1024 });
    try {
      return arrivalsAfter(database, range);
    } finally {
      database.close();
    }
  };
  fill = (step: BackfillStep) => this.run<BackfillState | undefined>({ kind: 'fill', step });

  segments = async () => this.parts.reader.segments();
  arrivals = async (segment: number) => new Set(this.parts.reader.arrivals(segment));
  locate = async (uid: string) => this.parts.reader.locate(uid);
  query = async (query: EntityQuery, page: Page) => this.parts.reader.query({ query, page });
  retrieve: Catalog['retrieve'] = async (selection, page) => this.parts.reader.retrieve({ selection, page });
  survey: Catalog['survey'] = async (selection, page) => this.parts.reader.survey({ selection, page });
  find = async (filter: FindFilter, page: Page) => this.parts.reader.find({ filter, page });
  conflicts = async (page: Page) => this.parts.reader.conflicts(page);
  counts = async () => this.parts.reader.counts();
  quarantined = async (page: Page) => this.parts.reader.quarantined(page);
  quarantineEntry = async (arrivalId: string) => this.parts.reader.quarantineEntry(arrivalId);
  arrivalsOfPatient = async (arrivalId: string) => this.parts.reader.arrivalsOfPatient(arrivalId);

  async *dump(): AsyncGenerator<string> {
    let cursor: string | undefined;
    do {
      const page = this.parts.reader.dump(cursor);
      yield* page.lines;
      cursor = page.next;
    } while (cursor !== undefined);
  }

  private async run<T>(job: WriteJob): Promise<T> {
    const [result] = this.parts.writer.run([job]).results;
    if (result !== undefined && 'value' in result) return result.value as T;
    throw result === undefined ? new Error('no result') : fromWire(result.error);
  }
}
