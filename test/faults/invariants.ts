import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { find } from '../support/catalog-view';
import { storedFiles } from '../support/stored-files';
import type { LedgerEntry } from '../support/ledger-scu';
import type { NodeProcess } from '../support/node-process';

export interface Expectation {
  /** What was answered before the fault. */
  readonly ledger: readonly LedgerEntry[];
  /** Every object that was begun: SHA-256 of its data set by SOP Instance UID. */
  readonly begun: ReadonlyMap<string, string>;
}

/**
 * Compares what the started node shows, and what lies in its directory, with what its callers were told.
 * @returns one sentence for each violation; none is what must come out.
 */
export async function violations(node: NodeProcess, expected: Expectation): Promise<string[]> {
  const found: string[] = [];
  const rows = new Set((await find(node, 'instances')).map((row) => String(row['SOPInstanceUID'])));
  const files = await storedFiles(node.dataDirectory);
  const byUid = new Map(files.map((file) => [file.SOPInstanceUID, file]));

  for (const { uid, sha256, status } of expected.ledger) {
    if (status !== 0) {
      found.push(`I1: ${uid} was refused with ${status.toString(16)}`);
      continue;
    }
    if (!rows.has(uid)) found.push(`I1: ${uid} was acknowledged and is not found`);
    const file = byUid.get(uid);
    if (file === undefined) found.push(`I1: ${uid} was acknowledged and has no file`);
    else if (file.dataSetSha256 !== sha256) found.push(`I1: ${uid} was acknowledged and its bytes differ`);
  }
  for (const uid of rows) {
    if (!byUid.has(uid)) found.push(`I2: the row of ${uid} has no file`);
  }
  for (const file of files) {
    if (!file.sealed) found.push(`I4: ${path.basename(file.path)} is not sealed`);
    if (!rows.has(file.SOPInstanceUID)) found.push(`I3: ${path.basename(file.path)} has no row`);
    const sent = expected.begun.get(file.SOPInstanceUID);
    if (sent === undefined) found.push(`I5: ${path.basename(file.path)} was never sent`);
    else if (sent !== file.dataSetSha256) found.push(`I5: ${path.basename(file.path)} is not whole`);
  }
  if (byUid.size !== files.length) found.push('I5: several files of one instance');
  for (const file of await storedFiles(node.dataDirectory, 'quarantine')) {
    found.push(`I5: ${path.basename(file.path)} went to quarantine, and every object was sent unchanged`);
  }
  return found;
}

/** I6, once the node has ended. */
export function databaseViolations(dataDirectory: string): string[] {
  const database = new DatabaseSync(path.join(dataDirectory, 'catalog.sqlite'), { readOnly: true });
  try {
    const answers = database.prepare('PRAGMA integrity_check').all() as { integrity_check: string }[];
    return answers.map((row) => row.integrity_check).filter((answer) => answer !== 'ok');
  } finally {
    database.close();
  }
}
