import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';

/** The log first: a new catalog must never find the log of another one. */
const SUFFIXES = ['-wal', '-shm', ''] as const;

/**
 * Renames the catalog and its log, so that `reindex` starts from nothing and the old one can still be looked at. A note beside it, written
 * first, lets the new catalog take over what no file can tell (`jobs-carry.ts`). Only under the store's lock.
 * @returns the new name, or undefined where there was no catalog.
 */
export function setCatalogAside(file: string, now: Date = new Date()): string | undefined {
  const aside = `${file}.${now.toISOString().replaceAll(/[:.]/g, '-')}`;
  const present = existsSync(file);
  // A note that is still there speaks of a catalog whose rows the present one hasn't taken over.
  if (present && readNote(file) === undefined) writeNote(file, aside);
  for (const suffix of SUFFIXES) {
    if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
  }
  syncFolder(file);
  return present ? aside : undefined;
}

/** Brings together again what an end in the middle of `setCatalogAside` has separated; before the catalog is opened. */
export function mendSetAside(file: string): void {
  const note = noteOf(file);
  if (!existsSync(note) || readNote(file) !== undefined) return;
  const aside = asideOf(file);
  for (const suffix of SUFFIXES) {
    if (existsSync(aside + suffix) && !existsSync(file + suffix)) renameSync(aside + suffix, file + suffix);
  }
  syncFolder(file);
  removeNote(file);
}

/** The catalog that was set aside for this one, until its rows have been taken over. */
export function readNote(file: string): string | undefined {
  if (!existsSync(noteOf(file))) return undefined;
  const aside = asideOf(file);
  return existsSync(aside) ? aside : undefined;
}

export function removeNote(file: string): void {
  rmSync(noteOf(file), { force: true });
  syncFolder(file);
}

function noteOf(file: string): string {
  return `${file}.previous`;
}

function asideOf(file: string): string {
  return path.join(path.dirname(file), path.basename(readFileSync(noteOf(file), 'utf8').trim()));
}

function writeNote(file: string, aside: string): void {
  const descriptor = openSync(noteOf(file), 'w');
  try {
    writeSync(descriptor, `${path.basename(aside)}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  syncFolder(file);
}

function syncFolder(file: string): void {
  const folder = openSync(path.dirname(file), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
