import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { NodeApi, Shown, ShownJob, Status } from './admin/api';
import { acquireLock, type Lock } from './catalog/sqlite/lock';
import { setCatalogAside } from './catalog/sqlite/set-aside';
import { SqliteCatalog } from './catalog/sqlite/catalog';
import type { Job, JobQueue } from './catalog/jobs';
import type { Catalog } from './catalog/types';
import type { Config, RemoteConfig } from './config/config';
import { attributesOf, type AttributeTable } from './dicom/attributes';
import { errorCode, errorMessage, EXIT, IsocenterError } from './errors';
import type { NodeEventBus } from './events';
import type { LogFn } from './log';
import type { AssumedCharset, HeaderRules } from './services/arrivals';
import { Backfill } from './services/backfill';
import { storageCommitment, type CommitmentParts, type StorageCommitment } from './services/commitment';
import { ExpectedReports } from './services/commitment-expected';
import { Duplicates } from './services/duplicates';
import { reportDamage } from './services/damage';
import { Exchanger } from './services/exchange';
import { forwardHandler, type ForwardParts } from './services/forward';
import { importPaths } from './services/import';
import { Ingest } from './services/ingest';
import type { JobHandler } from './services/jobs';
import { storedInstance } from './services/outgoing-store';
import { Quarantine } from './services/quarantine';
import { Recovery, type RecoveryReport } from './services/recovery';
import type { RetrieveParts } from './services/retrieve';
import { compileTitle } from './security/titles';
import { FilesystemStore } from './store/filesystem';
import type { Store } from './store/types';
import { VERSION } from './version';

/** How long a command that only looks waits for others that do so, in milliseconds, and how often it tries. */
const READER_PATIENCE = 5000;
const LOCK_INTERVAL = 50;

/** What an archive keeps bytes and rows in. */
export interface Adapters {
  readonly store: Store & Pick<FilesystemStore, 'onOpened'>;
  readonly catalog: Catalog;
}

/** Makes them for a storage directory; `receives` is false for commands that only look. */
export type CreateAdapters = (
  storage: Config['storage'],
  receives: boolean,
  attributes: AttributeTable,
) => Adapters;

export interface ArchiveOptions {
  readonly config: Config;
  readonly log: LogFn;
  readonly events: NodeEventBus;
  /** A thread of the catalog died, or its database failed for good: the process has to end. */
  readonly onFatal: (error: Error) => void;
  /** Default: files in the storage directory, and SQLite beside them. */
  readonly adapters?: CreateAdapters;
}

export interface ArchiveUse {
  /** Puts the catalog aside and begins with an empty one: `reindex`. */
  readonly freshCatalog?: boolean;
  /** Nothing is received or recovered: commands that only look. */
  readonly readOnly?: boolean;
}

/** How far a recovery walk is. */
export type RecoveryProgress = (report: Readonly<RecoveryReport>, segmentsLeft: number) => void;

/**
 * Everything that is kept: the store and the catalog under their lock, and the services over them. The node runs on one, and commands
 * open one where no node runs.
 */
export class Archive {
  readonly ingest: Ingest;
  /** Of storage commitment that commands have asked other nodes for. */
  readonly expected = new ExpectedReports();
  private readonly options: ArchiveOptions;
  private readonly store: Adapters['store'];
  private readonly catalog: Catalog;
  private readonly exchanger: Exchanger;
  private readonly duplicates: Duplicates;
  private readonly quarantine: Quarantine;
  private readonly rules: HeaderRules;
  private readonly backfill: Backfill;
  private readonly lock: Lock;
  /** Marks and alarms, once each, what turns out damaged on its way out. */
  readonly onDamaged: ReturnType<typeof reportDamage>;
  /** Segments that this process opened: nothing in them was left behind. */
  private readonly own = new Set<number>();
  private recovering: string | undefined = 'the store was not looked through yet';
  private recovery: Promise<RecoveryReport> | undefined;
  private closing: Promise<void> | undefined;

  private constructor(options: ArchiveOptions, lock: Lock, receives: boolean) {
    const { config, log, events } = options;
    this.options = options;
    this.lock = lock;
    const attributes = attributesOf(config.catalog.attributes);
    const { store, catalog } = (options.adapters ?? filesAndSqlite)(config.storage, receives, attributes);
    this.store = store;
    this.catalog = catalog;
    this.rules = { assumed: assumedBy(config), attributes };
    this.exchanger = new Exchanger(this.store, this.catalog, this.rules);
    this.duplicates = new Duplicates(this.store, this.catalog, this.exchanger, this.rules, events);
    this.quarantine = new Quarantine(this.store, this.catalog, this.exchanger, this.rules, events);
    this.onDamaged = reportDamage({ catalog, events, log });
    this.backfill = new Backfill({ store, catalog, rules: this.rules, events, log });
    this.ingest = new Ingest({
      attributes,
      store: this.store,
      catalog: this.catalog,
      duplicates: this.duplicates,
      events,
      log,
    });
    this.catalog.onFatal((error) => {
      this.ingest.stop(error.message);
      options.onFatal(error);
    });
  }

  /**
   * Takes the lock and opens store and catalog; `recover` has to follow before anything is stored.
   * @throws IsocenterError `STORE_LOCKED` (75) while another process holds the store; what `Store.open` and `Catalog.open` throw.
   */
  static async open(options: ArchiveOptions, how: ArchiveUse = {}): Promise<Archive> {
    const { directory } = options.config.storage;
    await createDirectory(directory);
    const lock = await takeLock(join(directory, 'lock'), how.readOnly === true ? READER_PATIENCE : 0);
    try {
      if (how.freshCatalog === true) setCatalogAside(join(directory, 'catalog.sqlite'));
      const archive = new Archive(options, lock, how.readOnly !== true);
      await archive.catalog.open();
      archive.tellCarriedOver();
      archive.followSegments();
      try {
        const known = await archive.catalog.segments();
        await archive.store.open(known.reduce((highest, { segment }) => Math.max(highest, segment), 0));
      } catch (error) {
        await archive.catalog.close();
        throw error;
      }
      return archive;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Why nothing may be asked of it yet, or undefined. */
  get unavailable(): string | undefined {
    return this.recovering;
  }

  /** Whether an unclean stop left segments behind that `recover` would look through. */
  async needsRecovery(): Promise<boolean> {
    const settled = new Set(
      (await this.catalog.segments()).filter((mark) => mark.settled).map((mark) => mark.segment),
    );
    return (await this.store.segments()).some((segment) => !settled.has(segment) && !this.own.has(segment));
  }

  /** Looks through what an unclean stop left behind; after a clean one it finds nothing to do. */
  async recover(progress?: RecoveryProgress): Promise<RecoveryReport> {
    if (this.isStopping()) throw new IsocenterError('ARCHIVE_CLOSED', 'The store is being closed');
    this.recovering = 'the store is being looked through after an unclean stop';
    const recovery = new Recovery({
      store: this.store,
      catalog: this.catalog,
      duplicates: this.duplicates,
      quarantine: this.quarantine,
      ingest: this.ingest,
      rules: this.rules,
      events: this.options.events,
      log: this.options.log,
      policy: () => this.options.config.storage.duplicates,
      forwardTo: (title) => remoteByTitle(this.options.config)(title)?.forwardTo,
      isOwn: (segment) => this.own.has(segment),
      isStopping: () => this.isStopping(),
    });
    this.recovery = recovery.run(progress);
    const report = await this.recovery;
    if (!this.isStopping()) this.recovering = undefined;
    return report;
  }

  /**
   * Fills in attributes that the configuration or a new version has added, for instances that were there before; `recover` comes first. In the
   * background: resolves when that has ended or the archive is closed, and never rejects.
   */
  fillIn(): Promise<void> {
    return this.isStopping() ? Promise.resolve() : this.backfill.start();
  }

  /** Ends in the order that keeps every promise: open files, records, settled marks, checkpoint, lock. Idempotent. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    await this.recovery?.catch(() => undefined);
    await this.backfill.stop();
    await this.exchanger.idle();
    try {
      await this.store.close();
      await this.catalog.close();
    } finally {
      this.lock.release();
    }
  }

  /** What C-FIND reads. */
  get queries(): Pick<Catalog, 'query'> {
    return this.catalog;
  }

  /** What C-MOVE and C-GET read. */
  get retrieval(): Pick<RetrieveParts, 'catalog' | 'instanceOf' | 'onDamaged'> {
    const { catalog, store, onDamaged } = this;
    return { catalog, instanceOf: (location) => storedInstance(store, location), onDamaged };
  }

  /** What is to be done for other nodes; it waits until a runner works on it. */
  get jobs(): JobQueue {
    return this.catalog.jobs;
  }

  /** Sends what the queue says, over associations that `send` opens. */
  forwards(how: Pick<ForwardParts, 'send' | 'parallel'>): JobHandler {
    const { catalog, store } = this;
    const { log } = this.options;
    return forwardHandler({
      ...how,
      catalog,
      instanceOf: (location) => storedInstance(store, location),
      log,
    });
  }

  /** Storage commitment for peers; `reach` says how they are told. */
  commitment(reach: CommitmentParts['reach']): StorageCommitment {
    const { catalog, store } = this;
    const { events, log } = this.options;
    return storageCommitment({ catalog, store, events, log, reach });
  }

  /** Every row of the catalog as canonical lines: equal before and after `reindex`. */
  dump(): AsyncIterable<string> {
    return this.catalog.dump();
  }

  /** The commands' view; `state` says what only the node knows. */
  api(state: {
    readonly unavailable: () => string | undefined;
    readonly associations: () => number;
  }): NodeApi {
    const { catalog, quarantine } = this;
    return {
      status: async (): Promise<Status> => ({
        version: VERSION,
        pid: process.pid,
        unavailable: state.unavailable(),
        stopped: this.ingest.stopped,
        associations: state.associations(),
        ...(await catalog.counts()),
        backfill: shownBackfill(catalog),
      }),
      find: (filter, page) => catalog.find(filter, page),
      conflicts: (page) => catalog.conflicts(page),
      show: (uid) => this.show(uid),
      locate: async (selection, page) => {
        const { rows, next } = await catalog.retrieve(selection, page);
        return { rows: rows.map((row) => ({ ...row, path: this.store.pathOf(row.arrivalId) })), next };
      },
      quarantineList: (page) => quarantine.list(page),
      quarantineShow: (arrivalId) => quarantine.show(arrivalId),
      quarantineRelease: async (arrivalId, reason) => {
        this.requireRecovered();
        await quarantine.release(arrivalId, reason);
      },
      quarantineDiscard: async (arrivalId, reason) => {
        this.requireRecovered();
        await quarantine.discard(arrivalId, reason);
      },
      jobsList: async (filter, page) => {
        const { rows, next } = await catalog.jobs.list(filter, page);
        return { rows: rows.map(shownJob), next };
      },
      jobsRetry: (selection) => catalog.jobs.retry(selection, Date.now()),
      jobsCancel: (selection) => catalog.jobs.cancel(selection),
      commitmentReports: (...asked) => this.expected.reports(...asked),
      importPaths: (paths, signal) => {
        this.requireRecovered();
        return importPaths(this.importParts(), paths, signal);
      },
    };
  }

  private tellCarriedOver(): void {
    const { carriedOver } = this.catalog;
    if (carriedOver === undefined) return;
    const { rows, problem } = carriedOver;
    const { events, log } = this.options;
    if (rows > 0) log('info', 'jobs were taken over from the catalog that was set aside', { count: rows });
    if (problem === undefined) return;
    events.emit('alert', {
      code: 'JOBS_LOST',
      message: `Jobs for other nodes could not be read from the catalog that was set aside (${problem}); ${rows} were. What was to be forwarded may have to be sent again: "isocenter send".`,
    });
  }

  private isStopping(): boolean {
    return this.closing !== undefined;
  }

  /** What came before has its place before anything is added or moved. */
  private requireRecovered(): void {
    if (this.recovering === undefined) return;
    throw new IsocenterError('NOT_READY', `Nothing can be changed yet: ${this.recovering}`, {
      exitCode: EXIT.locked,
      hint: 'run the command again when /readyz says ok',
    });
  }

  private followSegments(): void {
    const { log } = this.options;
    // Without its marks a segment is walked once more at the next start: slower, never wrong.
    const failed = (segment: number, error: unknown): void =>
      log('warn', 'a segment could not be marked in the catalog', { segment, error: errorMessage(error) });
    this.store.onOpened((segment) => {
      this.own.add(segment);
      this.catalog.openSegment(segment).catch((error: unknown) => failed(segment, error));
    });
    this.store.onSettled((segment) => {
      this.catalog.settle(segment).catch((error: unknown) => failed(segment, error));
    });
  }

  private importParts(): Parameters<typeof importPaths>[0] {
    const { config } = this.options;
    return {
      ingest: this.ingest,
      catalog: this.catalog,
      store: this.store,
      duplicates: () => config.storage.duplicates,
      assumed: this.rules.assumed,
      aeTitle: config.aeTitles[0],
    };
  }

  private async show(uid: string): Promise<Shown> {
    const keys = [
      ['IMAGE', 'SOPInstanceUID'],
      ['SERIES', 'SeriesInstanceUID'],
      ['STUDY', 'StudyInstanceUID'],
    ] as const;
    for (const [level, keyword] of keys) {
      const { rows } = await this.catalog.find({ level, keys: { [keyword]: uid } }, { limit: 100 });
      if (rows.length === 0) continue;
      const files = level === 'IMAGE' ? await this.catalog.locate(uid) : [];
      return {
        level,
        rows,
        files: files.map((file) => ({ ...file, path: this.store.pathOf(file.arrivalId) })),
      };
    }
    throw new IsocenterError('UID_UNKNOWN', `No study, series or instance has the UID "${uid}"`, {
      hint: 'isocenter find --help shows how to look for one',
    });
  }
}

function shownJob({ payload, ...job }: Job): ShownJob {
  const uid = payload['SOPInstanceUID'];
  return { ...job, SOPInstanceUID: typeof uid === 'string' ? uid : undefined };
}

function shownBackfill({ backfill }: Catalog): Status['backfill'] {
  if (backfill === undefined) return undefined;
  const { keywords, done, total, skipped } = backfill;
  return { attributes: keywords, done, total, skipped };
}

function assumedBy(config: Config): AssumedCharset {
  const remote = remoteByTitle(config);
  return (title) => remote(title)?.defaultCharset;
}

/** By title alone, in the order in which callers are recognised: a file says nothing of the host. */
function remoteByTitle(config: Config): (title: string) => RemoteConfig | undefined {
  const remotes = config.remotes
    .map((remote) => ({ title: compileTitle(remote.aeTitle), remote }))
    .sort((a, b) => Number(b.title.exact) - Number(a.title.exact) || b.title.prefix - a.title.prefix);
  return (title) => remotes.find((one) => one.title.matches(title))?.remote;
}

function filesAndSqlite(
  { directory, reserve }: Config['storage'],
  receives: boolean,
  attributes: AttributeTable,
): Adapters {
  return {
    store: new FilesystemStore({ directory, reserve, receives }),
    catalog: new SqliteCatalog({ path: join(directory, 'catalog.sqlite'), attributes: attributes.stored() }),
  };
}

/** Waits so many milliseconds for another process that has the store. @throws IsocenterError `STORE_LOCKED` */
async function takeLock(path: string, patience: number): Promise<Lock> {
  const since = new Date().toISOString();
  for (let waited = 0; ; waited += LOCK_INTERVAL) {
    try {
      return acquireLock(path, { pid: process.pid, hostname: hostname(), since });
    } catch (error) {
      if (errorCode(error) !== 'STORE_LOCKED' || waited >= patience) throw error;
    }
    await setTimeout(LOCK_INTERVAL);
  }
}

/** Only the last folder of the path: a missing one above it is a volume that isn't mounted, or a typing error. */
async function createDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return;
    const parent = errorCode(error) === 'ENOENT';
    throw new IsocenterError(
      'STORE_UNWRITABLE',
      `The storage directory can't be created: ${directory}${parent ? ` (${dirname(directory)} does not exist)` : ''}`,
      {
        hint: parent
          ? 'mount the volume or make that folder, or change storage.directory'
          : 'create it and make this user its owner, or change storage.directory',
        cause: error,
      },
    );
  }
}
