import path from 'node:path';
import { roundObject } from './load';
import { databaseViolations, violations } from './invariants';
import { seededRandom } from './random';
import { Ledger, PlainScu, storm } from '../support/ledger-scu';
import type { LedgerEntry } from '../support/ledger-scu';
import { makeFolder, removeFolder, startNode } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import { storedFiles } from '../support/stored-files';

export interface KillReport {
  readonly seed: number;
  readonly rounds: number;
  readonly acknowledged: number;
  /** Objects that were begun and not answered when the node died. */
  readonly unanswered: number;
  readonly violations: readonly string[];
}

/** The node is killed after this many bytes at most: about a second of load. */
const MAXIMUM_BYTES = 40e6;

/**
 * kill -9 at a random moment under eight associations, again and again on the same directory; after each restart
 * everything that was ever acknowledged has to be there, whole.
 */
export async function killRounds(rounds: number, seed: number): Promise<KillReport> {
  const random = seededRandom(seed);
  const folder = await makeFolder();
  const ledger = await Ledger.open(path.join(folder, 'ledger.txt'));
  const begun = new Map<string, string>();
  const found: string[] = [];
  let unanswered = 0;
  let node = await startNode({ folder });
  try {
    for (let round = 0; round < rounds; round += 1) {
      const dying = node;
      let budget = Math.floor(random() * MAXIMUM_BYTES);
      let killed: Promise<unknown> | undefined;
      const spend = (bytes: number): void => {
        budget -= bytes;
        if (budget <= 0) killed ??= dying.kill();
      };
      const answeredBefore = (await ledger.read()).length;
      const load = storm({
        port: dying.port,
        ledger,
        next: (association, index) => roundObject(round, association, index),
        onBytes: spend,
      });
      await load.ended;
      await killed;
      if (dying.running) throw new Error(`the load ended before the kill:\n${dying.logs()}`);
      for (const [uid, digest] of load.begun) begun.set(uid, digest);
      unanswered += load.begun.size - ((await ledger.read()).length - answeredBefore);

      const unsealed = (await storedFiles(dying.dataDirectory)).filter(({ sealed }) => !sealed).length;
      node = await startNode({ folder });
      const say = (sentence: string): void => void found.push(`round ${round}: ${sentence}`);
      const removed = Number(/recovered .*?(\d+) unfinished/.exec(node.logs())?.[1] ?? 0);
      if (removed < unsealed) say(`I3: ${unsealed} unfinished files, ${removed} reported`);
      (await violations(node, { ledger: await ledger.read(), begun })).forEach(say);
      (await resend(node, round, load.begun, await ledger.read())).forEach(say);
    }
    found.push(...(await settledDown(node)));
    const { code } = await node.stop();
    if (code !== 0) found.push(`the node exited with ${String(code)} after SIGTERM`);
    found.push(...databaseViolations(node.dataDirectory).map((answer) => `I6: ${answer}`));
    return { seed, rounds, acknowledged: (await ledger.read()).length, unanswered, violations: found };
  } finally {
    await node.kill();
    await ledger.close();
    await removeFolder(folder);
  }
}

/** What a scanner does after a break: it sends again. Success, and one file an instance, whether it was there or not. */
async function resend(
  node: NodeProcess,
  round: number,
  begun: ReadonlyMap<string, string>,
  ledger: readonly LedgerEntry[],
): Promise<string[]> {
  const found: string[] = [];
  const acknowledged = new Set(ledger.map(({ uid }) => uid));
  const last = new Map<number, number>();
  for (const uid of begun.keys()) {
    const [association, number] = uid.split('.').slice(-2).map(Number);
    last.set(association!, Math.max(last.get(association!) ?? 0, number! - 1));
  }
  if (last.size === 0) return found;
  const scu = await PlainScu.open(node.port, [roundObject(round, 0, 0)]);
  const uids: string[] = [];
  for (const [association, index] of last) {
    const object = roundObject(round, association, index);
    const { status } = await scu.store(object);
    uids.push(object.SOPInstanceUID);
    const known = acknowledged.has(object.SOPInstanceUID) ? 'acknowledged' : 'unanswered';
    if (status !== 0)
      found.push(`I5: sending the ${known} ${object.SOPInstanceUID} again gave ${String(status)}`);
  }
  await scu.release();
  const files = await storedFiles(node.dataDirectory);
  for (const uid of uids) {
    const count = files.filter((file) => file.SOPInstanceUID === uid).length;
    if (count !== 1) found.push(`I5: ${count} files of ${uid} after sending it again`);
  }
  return found;
}

/** I8: descriptors go back to what a node without callers has, memory stays in its bound. */
async function settledDown(node: NodeProcess): Promise<string[]> {
  const found: string[] = [];
  const before = node.fds();
  const scus = await Promise.all(
    Array.from({ length: 8 }, () => PlainScu.open(node.port, [roundObject(0, 0, 0)])),
  );
  for (const scu of scus) scu.wire.reset();
  const until = Date.now() + 5000;
  while (node.fds() > before && Date.now() < until) await new Promise((resolve) => setImmediate(resolve));
  if (node.fds() > before) found.push(`I8: ${node.fds()} descriptors open, ${before} before`);
  if (node.rss().peak > 300 * 1024) found.push(`I8: ${node.rss().peak} KiB resident`);
  return found;
}
