import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { find, rowsOf } from '../support/catalog-view';
import { storedFiles } from '../support/stored-files';
import type { LedgerEntry } from '../support/ledger-scu';
import type { NodeProcess } from '../support/node-process';

export interface Expectation {
  /** What was answered before the fault. */
  readonly ledger: readonly LedgerEntry[];
  /** Every object that was begun: SHA-256 of its data set by SOP Instance UID. */
  readonly begun: ReadonlyMap<string, string>;
  /**
   * A power cut can tear a file that nobody was told of: its seal on the disk and not all of its data. Such a file is set
   * aside and reported. Without a power cut there is none.
   */
  readonly tornFiles?: 'set aside' | 'none';
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
  found.push(...(await quarantineViolations(node, expected)));
  return found;
}

/** What is in quarantine was never acknowledged, and is reported; I1 looks after the rest. */
async function quarantineViolations(node: NodeProcess, expected: Expectation): Promise<string[]> {
  const files = await storedFiles(node.dataDirectory, 'quarantine');
  if (files.length === 0) return [];
  if (expected.tornFiles !== 'set aside') {
    return files.map(
      (file) => `I5: ${path.basename(file.path)} is in quarantine, and nothing can have torn it`,
    );
  }
  const found: string[] = [];
  const listed = rowsOf((await node.cli(['quarantine', 'list', '--json'])).stdout);
  const ids = new Set(listed.map((row) => String(row['arrivalId'])));
  for (const file of files) {
    const name = path.basename(file.path, '.dcm');
    if (!ids.has(name)) found.push(`I3: ${name} is in quarantine and not listed`);
  }
  const reported = Number(/recovered .*?(\d+) set aside/.exec(node.logs())?.[1] ?? 0);
  if (reported < files.length) found.push(`I3: ${files.length} files in quarantine, ${reported} reported`);
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
