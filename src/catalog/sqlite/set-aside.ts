import { closeSync, existsSync, fsyncSync, openSync, renameSync } from 'node:fs';
import path from 'node:path';

/**
 * Renames the catalog and its log, so that `reindex` starts from nothing and the old one can still be looked at. Only under
 * the store's lock. @returns the new name, or undefined where there was no catalog.
 */
export function setCatalogAside(file: string, now: Date = new Date()): string | undefined {
  const aside = `${file}.${now.toISOString().replaceAll(/[:.]/g, '-')}`;
  const present = existsSync(file);
  // The log first: a new catalog must never find the log of another one.
  for (const suffix of ['-wal', '-shm', '']) {
    if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
  }
  const folder = openSync(path.dirname(file), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
  return present ? aside : undefined;
}
