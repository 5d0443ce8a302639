import fsp from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { FilesystemStore, type FilesystemStoreOptions } from '../../src/store/filesystem';
import { fileCalls, type FileCalls } from '../../src/store/file-calls';
import type { ArrivalWriter, FileMeta, SealedFile, Store } from '../../src/store/types';

export type CallName = keyof FileCalls;

/** One call as it was made; `path` is that of the file, relative to the store where it lies there. */
export interface RecordedCall {
  readonly name: CallName;
  readonly path: string;
  readonly bytes: number;
  readonly position: number;
  /** In the order in which calls ended: undefined while under way. */
  ended: number | undefined;
}

type Hook = (call: RecordedCall, nth: number) => Error | number | Promise<void> | undefined;

/** The real calls with a record, and a place to put errors (an Error), short writes (a number) and delays (a promise). */
export class FakeCalls {
  readonly record: RecordedCall[] = [];
  readonly calls: FileCalls;
  /** Consulted before every call. */
  hook: Hook = () => undefined;
  private readonly paths = new Map<number, string>();
  private readonly counts = new Map<CallName, number>();
  private ends = 0;

  constructor() {
    this.calls = Object.fromEntries(
      (Object.keys(fileCalls) as CallName[]).map((name) => [
        name,
        (...args: unknown[]) => this.run(name, args),
      ]),
    ) as unknown as FileCalls;
  }

  /** Fails calls of one name, from now on or once, on files that fit. */
  fail(name: CallName, code: string, options: { once?: boolean; path?: RegExp } = {}): void {
    let done = false;
    this.hook = (call) => {
      if (call.name !== name || (done && options.once === true)) return undefined;
      if (options.path !== undefined && !options.path.test(call.path)) return undefined;
      done = true;
      return systemError(code);
    };
  }

  heal(): void {
    this.hook = () => undefined;
  }

  /** Resolves when nothing has been under way for some turns: folders are made ready in the background. */
  async idle(): Promise<void> {
    for (let quiet = 0; quiet < 5; quiet++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.record.some((call) => call.ended === undefined)) quiet = 0;
    }
  }

  get openDescriptors(): number {
    return this.paths.size;
  }

  named(...names: CallName[]): RecordedCall[] {
    return this.record.filter((call) => names.includes(call.name));
  }

  private async run(name: CallName, args: unknown[]): Promise<unknown> {
    const [target, given, third] = args;
    const call: RecordedCall = {
      name,
      path: typeof target === 'number' ? (this.paths.get(target) ?? '?') : String(target),
      bytes: lengthOf(given),
      position: typeof third === 'number' ? third : 0,
      ended: undefined,
    };
    this.record.push(call);
    const nth = (this.counts.get(name) ?? 0) + 1;
    this.counts.set(name, nth);
    const verdict = this.hook(call, nth);
    if (verdict instanceof Error) {
      call.ended = ++this.ends;
      throw verdict;
    }
    if (typeof verdict === 'number') args[1] = cut(given as Buffer[], verdict);
    else await verdict;
    // Before the call: another thread may be given the number at once.
    if (name === 'close') this.paths.delete(target as number);
    const real = (fileCalls as unknown as Record<CallName, (...all: unknown[]) => Promise<unknown>>)[name];
    try {
      const result = await real(...args);
      if (name === 'open') this.paths.set(result as number, String(target));
      return result;
    } finally {
      call.ended = ++this.ends;
    }
  }
}

function lengthOf(given: unknown): number {
  if (Buffer.isBuffer(given)) return given.length;
  return Array.isArray(given) ? (given as Buffer[]).reduce((sum, one) => sum + one.length, 0) : 0;
}

function cut(buffers: readonly Buffer[], bytes: number): Buffer[] {
  return [Buffer.concat(buffers).subarray(0, bytes)];
}

export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

export const META: FileMeta = {
  MediaStorageSOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
  MediaStorageSOPInstanceUID: '2.25.1234567890',
  TransferSyntaxUID: '1.2.840.10008.1.2.1',
  SourceApplicationEntityTitle: 'CT_ROOM1',
  ReceivingApplicationEntityTitle: 'ISOCENTER',
};

/** A small data set in Explicit VR Little Endian: SOP Class, SOP Instance, Modality. */
export const DATA_SET = Buffer.concat([
  element(0x0008, 0x0016, 'UI', META.MediaStorageSOPClassUID + '\0'),
  element(0x0008, 0x0018, 'UI', META.MediaStorageSOPInstanceUID + '\0'),
  element(0x0008, 0x0060, 'CS', 'CT'),
]);

function element(group: number, number: number, vr: string, value: string): Buffer {
  const padded = value.length % 2 === 0 ? value : value.slice(0, -1);
  const bytes = Buffer.alloc(8 + padded.length);
  bytes.writeUInt16LE(group, 0);
  bytes.writeUInt16LE(number, 2);
  bytes.write(vr, 4, 'latin1');
  bytes.writeUInt16LE(padded.length, 6);
  bytes.write(padded, 8, 'latin1');
  return bytes;
}

const folders: string[] = [];

export async function scratch(): Promise<string> {
  const folder = await fsp.realpath(await fsp.mkdtemp(path.join(os.tmpdir(), 'isocenter-store-')));
  folders.push(folder);
  return folder;
}

export async function removeScratch(): Promise<void> {
  await Promise.all(folders.splice(0).map((folder) => fsp.rm(folder, { recursive: true, force: true })));
}

/** A store in a new directory, open, without timers. */
export async function openStore(
  options: Partial<FilesystemStoreOptions> = {},
  lastKnownSegment = 0,
): Promise<FilesystemStore> {
  const store = new FilesystemStore({
    directory: options.directory ?? path.join(await scratch(), 'data'),
    reserve: { bytes: 0 },
    interval: 0,
    patience: 1000,
    ...options,
  });
  await store.open(lastKnownSegment);
  return store;
}

export async function writeAll(writer: ArrivalWriter, chunks: readonly Buffer[]): Promise<void> {
  for (const chunk of chunks) await writer.write(chunk);
}

/** Hands over a chunk whose failure the next call is expected to tell. */
export function offer(writer: ArrivalWriter, chunk: Buffer): void {
  writer.write(chunk)?.catch(() => undefined);
}

/** Stores one file and ends its writer. */
export async function put(store: Store, ...chunks: readonly Buffer[]): Promise<SealedFile> {
  const writer = await store.begin(META);
  await writeAll(writer, chunks);
  const file = await writer.seal();
  writer.finish();
  return file;
}

export async function readAll(bytes: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of bytes) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** The error that a promise ends with; fails the test where it doesn't. */
export async function failure(
  promise: Promise<unknown> | undefined,
): Promise<Error & Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error('nothing was thrown');
}
