import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { errorCode } from '../errors';
import { fileName, parseSegmentName, requireArrivalId, segmentName } from './arrival-id';
import type { Durability } from './durability';
import { StoreError, storeFailure } from './errors';
import type { FileCalls } from './file-calls';

export type Place = 'instances' | 'quarantine';

/** Says that this directory is a store: a volume that isn't mounted has none. */
const SENTINEL = 'store.json';
const SENTINEL_FORMAT = 'isocenter-store';
const LONGEST_SENTINEL = 4096;
const WRITABLE_BY_OTHERS = 0o002;

interface Parts {
  readonly calls: FileCalls;
  readonly durability: Durability;
}

/** Names of everything in the store's directory. Nothing but arrival ids of ours, strictly parsed, becomes a path. */
export class Layout {
  readonly root: string;
  readonly instances: string;
  readonly quarantine: string;
  readonly decisions: string;
  readonly sentinel: string;

  constructor(root: string) {
    this.root = root;
    this.instances = join(root, 'instances');
    this.quarantine = join(root, 'quarantine');
    this.decisions = join(root, 'decisions.jsonl');
    this.sentinel = join(root, SENTINEL);
  }

  segmentFolder(segment: number): string {
    return join(this.instances, segmentName(segment));
  }

  /** Folder of a file. @throws StoreError `STORE_BAD_ID` */
  folderOf(arrivalId: string, place: Place): string {
    const { segment } = requireArrivalId(arrivalId);
    return place === 'instances' ? this.segmentFolder(segment) : this.quarantine;
  }

  /** @throws StoreError `STORE_BAD_ID` */
  pathOf(arrivalId: string, place: Place): string {
    return join(this.folderOf(arrivalId, place), fileName(arrivalId));
  }
}

/**
 * Makes what is missing of the store's directory and checks what is there.
 * @param known whether a catalog knows files of this store.
 * @returns the layout (links in the way to the directory resolved) and the id of the store.
 * @throws StoreError `STORE_MISSING`, `STORE_UNSAFE`, or what making a folder throws
 */
export async function prepareLayout(
  parts: Parts,
  directory: string,
  known: boolean,
): Promise<{ layout: Layout; id: string }> {
  const { calls, durability } = parts;
  const layout = new Layout(await prepareRoot(calls, resolve(directory), known));
  const id = (await readSentinel(calls, layout)) ?? (await createSentinel(parts, layout, known));
  let made = false;
  for (const folder of [layout.instances, layout.quarantine]) {
    if (await isOwnFolder(calls, folder)) continue;
    await make(calls, folder);
    made = true;
  }
  if (!(await isOwnFile(calls, layout.decisions))) {
    await createFile(parts, layout.decisions, Buffer.alloc(0));
    made = true;
  }
  if (made) await durability.syncFolder(layout.root);
  for (const entry of await listFolder(calls, layout.instances)) {
    if (parseSegmentName(entry.name) !== undefined && !entry.isDirectory()) {
      throw unsafe(`instances/${entry.name} is not a folder`);
    }
  }
  return { layout, id };
}

/** Only the last folder of the path is made: a missing one above it is a volume that isn't mounted, or a typing error. */
async function prepareRoot(calls: FileCalls, directory: string, known: boolean): Promise<string> {
  const find = async (): Promise<string | undefined> => {
    try {
      return await calls.realpath(directory);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw storeFailure('opening storage.directory', error);
    }
  };
  let root = await find();
  if (root === undefined) {
    if (known) throw missing(directory);
    try {
      await calls.mkdir(directory, 0o700);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw storeFailure('making storage.directory', error);
      throw new StoreError('STORE_MISSING', `${dirname(directory)} does not exist`, {
        hint: `mount the volume, make the folder, or mend storage.directory (${basename(directory)} itself is made)`,
      });
    }
    root = (await find()) ?? directory;
  }
  const stat = await calls.lstat(root);
  if (!stat.isDirectory()) throw unsafe('storage.directory is not a folder');
  if ((stat.mode & WRITABLE_BY_OTHERS) !== 0) {
    throw unsafe('storage.directory is writable by every user', `chmod o-w ${root}`);
  }
  return root;
}

async function readSentinel(calls: FileCalls, layout: Layout): Promise<string | undefined> {
  let fd: number;
  try {
    fd = await calls.open(layout.sentinel, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    if (errorCode(error) === 'ELOOP') throw unsafe(`${SENTINEL} is a link`);
    throw storeFailure(`opening ${SENTINEL}`, error);
  }
  try {
    const buffer = Buffer.alloc(LONGEST_SENTINEL);
    const read = await calls.read(fd, buffer, 0);
    const value: unknown = JSON.parse(buffer.toString('utf8', 0, read));
    const { format, version, id } = value as Record<string, unknown>;
    if (format === SENTINEL_FORMAT && version === 1 && typeof id === 'string') return id;
  } catch (error) {
    if (errorCode(error) !== undefined) throw storeFailure(`reading ${SENTINEL}`, error);
  } finally {
    await calls.close(fd).catch(() => undefined);
  }
  throw new StoreError('STORE_UNSAFE', `${SENTINEL} in storage.directory is not one of this version`, {
    hint: 'a newer release may have written it: use that one, or put the file back from a backup',
  });
}

async function createSentinel(parts: Parts, layout: Layout, known: boolean): Promise<string> {
  if (known) throw missing(layout.root);
  const id = randomUUID();
  const text = `${JSON.stringify({ format: SENTINEL_FORMAT, version: 1, id })}\n`;
  const fresh = `${layout.sentinel}.new`;
  await parts.calls.unlink(fresh).catch(() => undefined);
  await createFile(parts, fresh, Buffer.from(text));
  try {
    await parts.calls.rename(fresh, layout.sentinel);
  } catch (error) {
    throw storeFailure(`making ${SENTINEL}`, error);
  }
  await parts.durability.syncFolder(layout.root);
  await syncAncestors(parts.calls, layout.root);
  return id;
}

/**
 * Whoever made the folders above a new store may not have synced them, and a power cut would take the store with them. Once, and as far
 * as they can be opened: they are not ours.
 */
async function syncAncestors(calls: FileCalls, root: string): Promise<void> {
  for (let folder = dirname(root); ; folder = dirname(folder)) {
    try {
      const fd = await calls.open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
      await calls.fsync(fd).catch(() => undefined);
      await calls.close(fd);
    } catch {
      // A folder that may be passed but not read.
    }
    if (folder === dirname(folder)) return;
  }
}

async function createFile({ calls, durability }: Parts, path: string, content: Buffer): Promise<void> {
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_WRONLY;
  let fd: number;
  try {
    fd = await calls.open(path, flags, 0o600);
  } catch (error) {
    throw storeFailure(`making ${basename(path)}`, error);
  }
  try {
    // Some dozen bytes: a short write would show in the sentinel's reader, and the store would not open.
    if (content.length > 0) await calls.writev(fd, [content], 0);
    await durability.syncData(fd, `the sync of ${basename(path)}`);
  } catch (error) {
    throw storeFailure(`making ${basename(path)}`, error);
  } finally {
    await calls.close(fd).catch(() => undefined);
  }
}

/** Makes a folder of the store. */
export async function make(calls: FileCalls, folder: string): Promise<void> {
  try {
    await calls.mkdir(folder, 0o700);
  } catch (error) {
    throw storeFailure(`making ${basename(folder)}/`, error);
  }
}

/** Whether the folder is there. @throws StoreError `STORE_UNSAFE` for a link, a file, or one that others may write to. */
async function isOwnFolder(calls: FileCalls, folder: string): Promise<boolean> {
  const stat = await look(calls, folder);
  if (stat === undefined) return false;
  if (!stat.isDirectory()) throw unsafe(`${basename(folder)} is not a folder`);
  if ((stat.mode & WRITABLE_BY_OTHERS) !== 0) {
    throw unsafe(`${basename(folder)}/ is writable by every user`, `chmod o-w ${folder}`);
  }
  return true;
}

async function isOwnFile(calls: FileCalls, path: string): Promise<boolean> {
  const stat = await look(calls, path);
  if (stat === undefined) return false;
  if (!stat.isFile()) throw unsafe(`${basename(path)} is not a regular file`);
  return true;
}

/** lstat, or undefined where there is nothing. */
export async function look(
  calls: FileCalls,
  path: string,
): Promise<Awaited<ReturnType<FileCalls['lstat']>> | undefined> {
  try {
    return await calls.lstat(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw storeFailure(`looking at ${basename(path)}`, error);
  }
}

export async function listFolder(
  calls: FileCalls,
  folder: string,
): Promise<Awaited<ReturnType<FileCalls['readdir']>>> {
  try {
    return await calls.readdir(folder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw storeFailure(`listing ${basename(folder)}/`, error);
  }
}

function unsafe(what: string, mend = 'put a folder or file of your own in its place'): StoreError {
  return new StoreError('STORE_UNSAFE', `${what}: writes could be led elsewhere`, { hint: mend });
}

function missing(directory: string): StoreError {
  return new StoreError(
    'STORE_MISSING',
    `${directory} has no ${SENTINEL}, but the catalog knows files that were stored there`,
    {
      hint: 'mount the volume of storage.directory; if it is lost, use isocenter restore',
    },
  );
}
