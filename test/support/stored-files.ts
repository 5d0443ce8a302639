import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { sha256 } from './ledger-scu';

/** Reads the node's directory from outside, by PS3.10 7.1 alone. */
export interface Part10 {
  /** Values of group 0002 by tag. */
  readonly meta: ReadonlyMap<number, Buffer>;
  readonly dataSetOffset: number;
}

const LONG_VRS = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV']);

/** The file meta group; undefined where the bytes are no Part-10 file. Walks the elements: not every file has a right group length. */
export function parsePart10(bytes: Buffer): Part10 | undefined {
  if (bytes.toString('latin1', 128, 132) !== 'DICM') return undefined;
  const meta = new Map<number, Buffer>();
  let at = 132;
  while (at + 8 <= bytes.length && bytes.readUInt16LE(at) === 2) {
    const tag = 0x00020000 + bytes.readUInt16LE(at + 2);
    const long = LONG_VRS.has(bytes.toString('latin1', at + 4, at + 6));
    const length = long ? bytes.readUInt32LE(at + 8) : bytes.readUInt16LE(at + 6);
    const start = at + (long ? 12 : 8);
    meta.set(tag, bytes.subarray(start, start + length));
    at = start + length;
  }
  return { meta, dataSetOffset: at };
}

export function metaText(file: Part10, tag: number): string | undefined {
  return file.meta
    .get(tag)
    ?.toString('latin1')
    .replace(/[ \0]+$/, '');
}

export interface StoredFile {
  readonly path: string;
  readonly SOPInstanceUID: string;
  readonly SOPClassUID: string;
  readonly transferSyntax: string;
  readonly sealed: boolean;
  readonly dataSetOffset: number;
  readonly dataSetSha256: string;
}

/** Every file below `instances/` (or `quarantine/`) of a node's directory. */
export async function storedFiles(
  dataDirectory: string,
  place: 'instances' | 'quarantine' = 'instances',
): Promise<StoredFile[]> {
  const files: StoredFile[] = [];
  for (const file of await filesBelow(path.join(dataDirectory, place))) {
    if (!file.endsWith('.dcm')) continue;
    const bytes = await fsp.readFile(file).catch(() => undefined);
    if (bytes === undefined) continue;
    const parsed = parsePart10(bytes);
    files.push({
      path: file,
      SOPInstanceUID: (parsed && metaText(parsed, 0x00020003)) ?? '',
      SOPClassUID: (parsed && metaText(parsed, 0x00020002)) ?? '',
      transferSyntax: (parsed && metaText(parsed, 0x00020010)) ?? '',
      // (0002,0102): zeros until the last byte of the file is down.
      sealed: parsed?.meta.get(0x00020102)?.some((byte) => byte !== 0) ?? false,
      dataSetOffset: parsed?.dataSetOffset ?? 0,
      dataSetSha256: sha256(bytes.subarray(parsed?.dataSetOffset ?? 0)),
    });
  }
  return files;
}

/** The data set bytes of the stored file of an instance; throws unless there is exactly one. */
export async function storedDataSet(dataDirectory: string, SOPInstanceUID: string): Promise<Buffer> {
  const found = (await storedFiles(dataDirectory)).filter((file) => file.SOPInstanceUID === SOPInstanceUID);
  if (found.length !== 1) throw new Error(`${found.length} files of instance ${SOPInstanceUID}`);
  const bytes = await fsp.readFile(found[0]!.path);
  return bytes.subarray(found[0]!.dataSetOffset);
}

async function filesBelow(folder: string): Promise<string[]> {
  if (!fs.existsSync(folder)) return [];
  const entries = await fsp.readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

/**
 * Every path below a folder with the size of each file, but those that a running node may touch at any time (its
 * database, journal, lock and socket): what bad input must leave as it was.
 */
export async function treeSnapshot(folder: string): Promise<string[]> {
  const entries = await fsp.readdir(folder, { recursive: true, withFileTypes: true });
  const lines: string[] = [];
  for (const entry of entries) {
    const full = path.join(entry.parentPath, entry.name);
    const relative = path.relative(folder, full);
    if (/(^|\/)(catalog\.sqlite.*|lock|control\.sock)$/.test(relative)) continue;
    // A file that is removed meanwhile is no longer there to be told of.
    const stat = await fsp.stat(full).catch(() => undefined);
    if (stat !== undefined) lines.push(entry.isFile() ? `${relative} ${stat.size}` : relative);
  }
  return lines.sort();
}
