import { sha256 } from '../support/ledger-scu';
import type { SentObject } from '../support/data-sets';
import { filesIn, openArchive, reindexed, type OpenOptions } from './kit';

export interface Promises {
  /** Answered Success, and neither replaced nor discarded by anybody since: must be the current one. */
  readonly current?: readonly SentObject[];
  /** Bytes that must be somewhere: current, version, or in quarantine. */
  readonly kept?: readonly SentObject[];
}

/**
 * Opens the archive as the next start would and compares rows, files and promises. Rows whose file is damaged or gone are what some
 * tests make: `damaged` leaves out what can't hold with them.
 * @returns one sentence for each violation
 */
export async function violations(
  directory: string,
  promises: Promises,
  options: OpenOptions & { readonly damaged?: boolean } = {},
): Promise<string[]> {
  const wrong: string[] = [];
  const opened = await openArchive(directory, options);
  const { catalog, store } = opened;
  const instances = filesIn(directory, 'instances');
  const quarantine = filesIn(directory, 'quarantine');

  const rows = new Set<string>();
  for (const { segment } of await catalog.segments())
    for (const arrivalId of await catalog.arrivals(segment)) rows.add(arrivalId);
  for (const arrivalId of instances.keys())
    if (!rows.has(arrivalId)) wrong.push(`${arrivalId} has a file and no row`);
  if (options.damaged !== true)
    for (const arrivalId of rows)
      if (!instances.has(arrivalId)) wrong.push(`${arrivalId} has a row and no file`);
  for (const arrivalId of instances.keys()) {
    const { state } = await store.check(arrivalId);
    if (state !== 'sealed' && options.damaged !== true) wrong.push(`${arrivalId} is ${state}`);
  }

  const listed = new Set((await catalog.quarantined({ limit: 1000 })).rows.map((row) => row.arrivalId));
  for (const arrivalId of quarantine.keys())
    if (!listed.has(arrivalId)) wrong.push(`${arrivalId} is in quarantine and not in its list`);
  for (const arrivalId of listed)
    if (!quarantine.has(arrivalId)) wrong.push(`${arrivalId} is in quarantine's list and not there`);

  for (const { SOPInstanceUID, dataSet } of promises.current ?? []) {
    const [current] = await catalog.locate(SOPInstanceUID);
    if (current?.state !== 'current') wrong.push(`${SOPInstanceUID} is not held`);
    else if (instances.get(current.arrivalId) !== sha256(dataSet))
      wrong.push(`${SOPInstanceUID} is held with other bytes`);
  }
  const kept = new Set([...instances.values(), ...quarantine.values()]);
  for (const { SOPInstanceUID, dataSet } of promises.kept ?? [])
    if (!kept.has(sha256(dataSet))) wrong.push(`bytes of ${SOPInstanceUID} are lost`);

  const before = await opened.dump();
  await opened.abandon();
  const again = await openArchive(directory, { ...options, recover: false });
  const report = await again.archive.recover();
  const found = report.adopted + report.removed + report.quarantined + report.missing + report.left;
  if (found > 0) wrong.push(`the second start found ${JSON.stringify(report)}`);
  compare(await again.dump(), before, 'after a second start', wrong);
  await again.close();
  if (options.damaged !== true) compare(await reindexed(directory, options), before, 'after reindex', wrong);
  return wrong;
}

function compare(found: readonly string[], expected: readonly string[], when: string, wrong: string[]): void {
  for (const line of expected) if (!found.includes(line)) wrong.push(`${when} missing: ${line}`);
  for (const line of found) if (!expected.includes(line)) wrong.push(`${when} new: ${line}`);
}
