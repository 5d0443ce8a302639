#!/usr/bin/env -S node --disable-warning=MODULE_TYPELESS_PACKAGE_JSON
/**
 * How fast the store makes sealed files, without network and catalog, beside a plain loop of open, write, fdatasync and close (no digest,
 * no seal: the least that survives a power cut). Objects come in chunks of 64 KiB, as from a socket. Stages are medians in microseconds:
 * `open` and `close` are not waited for by the store, `hash` is the main thread's share.
 *
 *   node scripts/build.js && node scripts/bench/sealed-files.ts [--files 1000] [--rounds 3] [--dir FOLDER]
 */
import { randomBytes } from 'node:crypto';
import { constants, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type * as FileCallsModule from '../../src/store/file-calls';
import type * as Filesystem from '../../src/store/filesystem';
import type * as Report from './report';

// Read when the pool is first used, which is later: the same size as the node's.
process.env['UV_THREADPOOL_SIZE'] ??= '16';

const load = createRequire(process.argv[1]!);
const { describeMachine, fixed, machineLine, median, table } = load('./report.ts') as typeof Report;
const { FilesystemStore } = load('../../dist/store/filesystem.js') as typeof Filesystem;
const { fileCalls } = load('../../dist/store/file-calls.js') as typeof FileCallsModule;

const CHUNK = 64 * 1024;
const META = {
  MediaStorageSOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
  MediaStorageSOPInstanceUID: '2.25.1234567890',
  TransferSyntaxUID: '1.2.840.10008.1.2.1',
  SourceApplicationEntityTitle: 'CT_ROOM1',
  ReceivingApplicationEntityTitle: 'ISOCENTER',
};

type Stages = Map<string, number[]>;
type Subject = (
  folder: string,
  stages: Stages,
) => Promise<{
  one: (chunks: readonly Buffer[]) => Promise<void>;
  close: () => Promise<void>;
}>;

async function timed<T>(
  stages: Stages,
  stage: string,
  work: Promise<T>,
  since = performance.now(),
): Promise<T> {
  const result = await work;
  const times = stages.get(stage);
  const microseconds = (performance.now() - since) * 1000;
  if (times === undefined) stages.set(stage, [microseconds]);
  else times.push(microseconds);
  return result;
}

const plain: Subject = (folder, stages) => {
  let number = 0;
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY;
  const one = async (chunks: readonly Buffer[]): Promise<void> => {
    const fd = await timed(stages, 'open', fileCalls.open(path.join(folder, String(number++)), flags, 0o600));
    let at = 0;
    const since = performance.now();
    for (const chunk of chunks) at += await fileCalls.writev(fd, [chunk], at);
    await timed(stages, 'data', Promise.resolve(), since);
    await timed(stages, 'sync', fileCalls.fdatasync(fd));
    await timed(stages, 'close', fileCalls.close(fd));
  };
  return Promise.resolve({ one, close: () => Promise.resolve() });
};

const sealed: Subject = async (folder, stages) => {
  const calls = {
    ...fileCalls,
    open: ((file, flags, mode) =>
      timed(stages, 'open', fileCalls.open(file, flags, mode))) as typeof fileCalls.open,
    writev: ((fd, buffers, position) => {
      const isSeal = buffers.length === 1 && buffers[0]?.length === 128;
      return timed(stages, isSeal ? 'seal' : 'data', fileCalls.writev(fd, buffers, position));
    }) as typeof fileCalls.writev,
    fdatasync: ((fd) => timed(stages, 'sync', fileCalls.fdatasync(fd))) as typeof fileCalls.fdatasync,
    close: ((fd) => timed(stages, 'close', fileCalls.close(fd))) as typeof fileCalls.close,
  };
  const store = new FilesystemStore({ directory: path.join(folder, 'data'), reserve: { bytes: 0 }, calls });
  await store.open(0);
  const one = async (chunks: readonly Buffer[]): Promise<void> => {
    const writer = await store.begin(META);
    const since = performance.now();
    for (const chunk of chunks) {
      const behind = writer.write(chunk);
      if (behind !== undefined) await behind;
    }
    await timed(stages, 'hash', Promise.resolve(), since);
    await timed(stages, 'last byte to sealed', writer.seal());
    writer.finish();
  };
  return { one, close: () => store.close() };
};

async function measure(
  subject: Subject,
  directory: string,
  size: number,
  writers: number,
  files: number,
): Promise<{ rate: number; stages: Stages }> {
  const folder = mkdtempSync(path.join(directory, 'isocenter-bench-'));
  const stages: Stages = new Map();
  try {
    const { one, close } = await subject(folder, stages);
    const bytes = randomBytes(size);
    const chunks: Buffer[] = [];
    for (let at = 0; at < size; at += CHUNK) chunks.push(bytes.subarray(at, at + CHUNK));
    for (let i = 0; i < 50; i++) await one(chunks);
    stages.clear();
    let left = files;
    const began = performance.now();
    await Promise.all(
      Array.from({ length: writers }, async () => {
        while (left-- > 0) {
          const since = performance.now();
          await one(chunks);
          await timed(stages, 'total', Promise.resolve(), since);
        }
      }),
    );
    const rate = files / ((performance.now() - began) / 1000);
    await close();
    return { rate, stages };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      files: { type: 'string', default: '1000' },
      rounds: { type: 'string', default: '3' },
      dir: { type: 'string', default: tmpdir() },
    },
  });
  const subjects = [
    ['plain', plain],
    ['sealed', sealed],
  ] as const;
  const columns = ['open', 'hash', 'data', 'seal', 'sync', 'close', 'last byte to sealed', 'total'];
  const rows: string[][] = [];
  for (const kib of [128, 512]) {
    for (const writers of [1, 4]) {
      const rates = subjects.map((): number[] => []);
      const stages = subjects.map((): Stages => new Map());
      // In turn, so that a slow spell of the disk meets both.
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const [index, [, subject]] of subjects.entries()) {
          const result = await measure(subject, values.dir, kib * 1024, writers, Number(values.files));
          rates[index]!.push(result.rate);
          for (const [stage, times] of result.stages) {
            stages[index]!.set(stage, [...(stages[index]!.get(stage) ?? []), ...times]);
          }
        }
      }
      for (const [index, [name]] of subjects.entries()) {
        rows.push([
          `${kib} KiB, ${writers} writer${writers > 1 ? 's' : ''}, ${name}`,
          fixed(median(rates[index]!)),
          ...columns.map((stage) => fixed(median(stages[index]!.get(stage) ?? []))),
        ]);
      }
    }
  }
  console.log(machineLine(describeMachine(values.dir)));
  console.log(table(['', 'files/s', ...columns.map((stage) => `${stage} µs`)], rows));
}

void main();
