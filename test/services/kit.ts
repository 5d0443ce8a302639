import fs from 'node:fs';
import fsp from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Archive, type Adapters, type ArchiveUse } from '../../src/archive';
import type { Arrival, Catalog } from '../../src/catalog/types';
import type { Config, RemoteConfig } from '../../src/config/config';
import { BUILT_IN } from '../../src/dicom/attributes';
import { NodeEventBus, type AlertEvent, type StoredEvent } from '../../src/events';
import { readArrival } from '../../src/services/arrivals';
import type { Candidate, Taken } from '../../src/services/ingest';
import { fileCalls, type FileCalls } from '../../src/store/file-calls';
import { FilesystemStore } from '../../src/store/filesystem';
import type { ArrivalWriter, Store } from '../../src/store/types';
import type { NodeApi } from '../../src/admin/api';
import { imageObject, TS, type ObjectFields, type SentObject } from '../support/data-sets';
import { sha256 } from '../support/ledger-scu';
import { parsePart10 } from '../support/stored-files';
import { DirectCatalog } from './direct-catalog';

/**
 * An archive on real files and a real database, without threads and without waiting for the disk, whose every step can be watched, failed,
 * or be the last one of its process.
 */
export interface Step {
  /** `store.decide`, `catalog.record`, `writer.seal`, … */
  readonly name: string;
  readonly args: readonly unknown[];
  /** Counted from 1. */
  readonly number: number;
}

/** An Error to throw in its place, a promise to wait for first, or undefined. */
export type Hook = (step: Step) => unknown;

export class Steps {
  readonly names: string[] = [];
  hook: Hook = () => undefined;
  /** Ends the process after this step. */
  crashAfter: number | undefined;
  private crash: () => void = () => undefined;
  readonly crashed = new Promise<'crashed'>((resolve) => {
    this.crash = () => resolve('crashed');
  });
  private dead = false;

  start(): void {
    this.names.length = 0;
  }

  async run<T>(name: string, args: readonly unknown[], work: () => Promise<T>): Promise<T> {
    if (this.isDead()) return never();
    this.names.push(name);
    const number = this.names.length;
    const verdict = this.hook({ name, args, number });
    if (verdict instanceof Error) throw verdict;
    await verdict;
    if (this.isDead()) return never();
    const value = await work();
    if (number === this.crashAfter) return this.die();
    if (this.isDead()) return never();
    return value;
  }

  private isDead(): boolean {
    return this.dead;
  }

  private die<T>(): Promise<T> {
    this.dead = true;
    this.crash();
    return never();
  }
}

function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}

/** Steps that change nothing: a crash beside them is one beside their neighbours. */
const READS: ReadonlySet<string> = new Set([
  'exists',
  'check',
  'segments',
  'files',
  'quarantined',
  'decisions',
  'arrivals',
  'locate',
  'find',
  'query',
  'conflicts',
  'counts',
  'quarantineEntry',
  'arrivalsOfPatient',
  'arrivalsAfter',
]);
/** Passed through: they hand out streams, or are asked without waiting. */
const PLAIN: ReadonlySet<string> = new Set([
  'open',
  'close',
  'onOpened',
  'onSettled',
  'onFatal',
  'pathOf',
  'space',
  'readDataSet',
  'dump',
  'openSegment',
  'settle',
]);

function watched<T extends object>(target: T, prefix: string, steps: Steps): T {
  return new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key, object);
      if (typeof value !== 'function' || typeof key !== 'string') return value;
      const method = value as (...args: unknown[]) => unknown;
      if (PLAIN.has(key)) return method.bind(object);
      return (...args: unknown[]) => {
        const work = async (): Promise<unknown> => method.apply(object, args);
        if (!READS.has(key)) return steps.run(`${prefix}.${key}`, args, work);
        const verdict = steps.hook({ name: `${prefix}.${key}`, args, number: 0 });
        return verdict instanceof Error ? Promise.reject(verdict) : Promise.resolve(verdict).then(work);
      };
    },
  });
}

function watchedWriter(writer: ArrivalWriter, steps: Steps): ArrivalWriter {
  return {
    arrivalId: writer.arrivalId,
    write: (chunk) => steps.run('writer.write', [chunk], async () => writer.write(chunk)),
    seal: () => steps.run('writer.seal', [], () => writer.seal()),
    revoke: () => steps.run('writer.revoke', [], () => writer.revoke()),
    finish: () => {
      steps.names.push('writer.finish');
      writer.finish();
    },
  };
}

const QUICK = { ...fileCalls, fdatasync: async () => undefined, fsync: async () => undefined };

export interface OpenOptions extends ArchiveUse {
  readonly duplicates?: 'refuse' | 'replace';
  readonly remotes?: readonly Partial<RemoteConfig>[];
  /** `catalog.attributes` */
  readonly attributes?: Config['catalog']['attributes'];
  /** Put in the place of real calls to the file system. */
  readonly calls?: Partial<FileCalls>;
  /** Files in a segment; default 10000. */
  readonly segment?: number;
  /** Watch what recovery does, too; else the watch begins when it has ended. */
  readonly recover?: boolean;
}

export interface Opened {
  readonly archive: Archive;
  readonly api: NodeApi;
  readonly steps: Steps;
  /** As they are, unwatched. */
  readonly store: Store;
  readonly catalog: Catalog;
  readonly alerts: AlertEvent[];
  readonly stored: StoredEvent[];
  readonly logs: string[];
  /** Stores an object as a caller would; `replace` by the remote's configuration. */
  take(object: SentObject, more?: Partial<Candidate>): Promise<Taken>;
  dump(): Promise<string[]>;
  close(): Promise<void>;
  /** What a killed process leaves: nothing is ended, the system closes files and drops the lock. */
  abandon(): Promise<void>;
}

const opened = new Set<Opened>();
const folders = new Set<string>();

/** Closes and removes what a test left. */
export async function cleanUp(): Promise<void> {
  for (const one of [...opened]) await one.abandon();
  for (const folder of folders) await fsp.rm(folder, { recursive: true, force: true });
  folders.clear();
}

export function newDirectory(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isocenter-services-'));
  folders.add(folder);
  return path.join(folder, 'data');
}

export function configFor(directory: string, options: OpenOptions = {}): Config {
  return {
    file: 'test.yaml',
    version: 1,
    aeTitles: ['NODE'],
    listen: { host: '127.0.0.1', port: 0 },
    storage: { directory, reserve: { bytes: 0 }, duplicates: options.duplicates ?? 'refuse' },
    catalog: { attributes: options.attributes ?? [] },
    access: { unknownCallers: 'refuse', calledAeTitle: 'check' },
    remotes: (options.remotes ?? []).map((remote) => ({
      name: 'remote',
      aeTitle: 'REMOTE',
      hosts: ['127.0.0.1'],
      allow: ['store'],
      unknownSyntaxes: true,
      ...remote,
    })),
    limits: { associations: 200, associationsPerRemote: 100, pduLength: 131072, findMatches: 0 },
    timeouts: {
      association: 2000,
      idle: 30000,
      response: 30000,
      writeStall: 10000,
      commit: 60000,
      pending: 5000,
    },
    log: { level: 'info', format: 'text', size: 1e6, count: 1 },
  };
}

/** Opens the archive and looks it through, unless `recover` is false or it is only read. */
export async function openArchive(directory: string, options: OpenOptions = {}): Promise<Opened> {
  const steps = new Steps();
  const alerts: AlertEvent[] = [];
  const stored: StoredEvent[] = [];
  const logs: string[] = [];
  const events = new NodeEventBus((error) => {
    throw error;
  });
  events.on('alert', (alert) => alerts.push(alert));
  events.on('stored', (event) => stored.push(event));
  let inner: { store: FilesystemStore; catalog: DirectCatalog } | undefined;
  const archive = await Archive.open(
    {
      config: configFor(directory, options),
      log: (level, message, fields) => logs.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
      events,
      onFatal: (error) => {
        throw error;
      },
      adapters: (storage, receives, attributes): Adapters => {
        inner = {
          store: new FilesystemStore({
            directory: storage.directory,
            reserve: storage.reserve,
            receives,
            interval: 0,
            patience: 0,
            calls: { ...QUICK, ...options.calls },
            segment: { files: options.segment ?? 10_000, milliseconds: 3_600_000 },
          }),
          catalog: new DirectCatalog(path.join(storage.directory, 'catalog.sqlite'), attributes),
        };
        const { store } = inner;
        const watchedStore = watched(store, 'store', steps);
        return {
          store: new Proxy(watchedStore, {
            get(target, key) {
              if (key !== 'begin') return Reflect.get(target, key, target) as unknown;
              return (...args: Parameters<Store['begin']>) =>
                steps.run('store.begin', args, async () => watchedWriter(await store.begin(...args), steps));
            },
          }),
          catalog: watched(inner.catalog as Catalog, 'catalog', steps),
        };
      },
    },
    options,
  );
  if (inner === undefined) throw new Error('no adapters');
  const { store, catalog } = inner;
  const api = archive.api({ unavailable: () => archive.unavailable, associations: () => 0 });
  const result: Opened = {
    archive,
    api,
    steps,
    store,
    catalog,
    alerts,
    stored,
    logs,
    take: (object, more) => archive.ingest.take(candidate(object, more)),
    dump: async () => {
      const lines: string[] = [];
      for await (const line of archive.dump()) lines.push(line);
      return lines;
    },
    close: async () => {
      await archive.close();
      opened.delete(result);
    },
    abandon: async () => {
      opened.delete(result);
      await catalog.close();
      (archive as unknown as { lock: { release(): void } }).lock.release();
    },
  };
  opened.add(result);
  if (options.recover !== false && options.readOnly !== true) {
    await archive.recover();
    steps.start();
  }
  return result;
}

/** Puts the catalog aside and builds it anew, as the command does. */
export async function reindexed(directory: string, options: OpenOptions = {}): Promise<string[]> {
  const again = await openArchive(directory, { ...options, freshCatalog: true });
  const lines = await again.dump();
  await again.close();
  return lines;
}

export function candidate(object: SentObject, more: Partial<Candidate> = {}): Candidate {
  return {
    meta: {
      MediaStorageSOPClassUID: object.SOPClassUID,
      MediaStorageSOPInstanceUID: object.SOPInstanceUID,
      TransferSyntaxUID: object.transferSyntax,
      SourceApplicationEntityTitle: 'CT1',
      ReceivingApplicationEntityTitle: 'NODE',
    },
    dataSet: bytesOf(object.dataSet),
    duplicates: 'refuse',
    associationId: 'a1',
    remoteName: 'ct1',
    ...more,
  };
}

/** A data set in pieces. */
export function bytesOf(bytes: Buffer, piece = 1000): Candidate['dataSet'] {
  let at = 0;
  return {
    read: () => {
      const next = at < bytes.length ? bytes.subarray(at, at + piece) : undefined;
      at += piece;
      return Promise.resolve(next);
    },
  };
}

let serial = 0;

/** An object with a UID of its own, small. */
export function object(fields: ObjectFields = {}, syntax: string = TS.explicit): SentObject {
  return imageObject({ SOPInstanceUID: `2.25.88.${++serial}`, size: 2, ...fields }, syntax);
}

/** Takes the current arrival of a UID away, row, file and all, as a deletion will do it. */
export async function deleteCurrent({ catalog, store }: Opened, uid: string): Promise<void> {
  const { arrivalId } = (await catalog.locate(uid))[0]!;
  const replay: Arrival[] = [];
  for (const other of await catalog.arrivalsOfPatient(arrivalId))
    if (other !== arrivalId)
      replay.push(await readArrival(store, other, { assumed: () => undefined, attributes: BUILT_IN }));
  await store.decide({ action: 'delete', arrivalId, reason: 'test', time: 'now' });
  await catalog.exchange({ leaves: arrivalId, replay });
  await store.remove(arrivalId);
}

/** Status of what was thrown: a DimseError's, else its code. */
export async function statusOf(taking: Promise<unknown>): Promise<number | string> {
  try {
    await taking;
    return 0;
  } catch (error) {
    const { status, code } = error as { status?: number; code?: string };
    return status ?? code ?? String(error);
  }
}

/** Arrival ids and data set digests of the files in a place, read without the store. */
export function filesIn(directory: string, place: 'instances' | 'quarantine'): Map<string, string> {
  const found = new Map<string, string>();
  const root = path.join(directory, place);
  for (const name of fs.readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.dcm')) continue;
    const bytes = fs.readFileSync(path.join(root, name));
    const offset = parsePart10(bytes)?.dataSetOffset ?? 0;
    found.set(path.basename(name, '.dcm'), sha256(bytes.subarray(offset)));
  }
  return found;
}

export function pathIn(directory: string, arrivalId: string, place: 'instances' | 'quarantine'): string {
  return place === 'quarantine'
    ? path.join(directory, place, `${arrivalId}.dcm`)
    : path.join(directory, place, arrivalId.slice(0, 8), `${arrivalId}.dcm`);
}

/** Flips the last byte of a file: its pixels, so that the header still reads. */
export function flipLastByte(file: string): void {
  const bytes = fs.readFileSync(file);
  bytes[bytes.length - 1]! ^= 1;
  fs.writeFileSync(file, bytes);
}

export function storeError(code: string): Error {
  return Object.assign(new Error(`${code} was made up`), { code });
}
