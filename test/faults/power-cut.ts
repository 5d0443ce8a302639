import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { violations } from './invariants';
import { roundObject } from './load';
import { seededRandom } from './random';
import { Ledger, storm } from '../support/ledger-scu';
import { makeFolder, removeFolder, startNode } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';

export interface PowerCutReport {
  readonly seed: number;
  readonly cuts: number;
  readonly acknowledged: number;
  readonly violations: readonly string[];
}

/** Fits into the image beside the catalog, so that the disk is never what is full. */
const MAXIMUM_BYTES = 60e6;

/**
 * The disk as the power cut leaves it: the node writes to a loop-mounted ext4 whose journal commits only when it is
 * told to (commit=300); at a random moment the node is stopped, the image is copied as it is, and a second node starts
 * on the copy. What lay in the page cache alone is gone there.
 */
export async function powerCuts(
  cuts: number,
  seed: number,
  options: { readonly wrapper?: readonly string[]; readonly minimumBytes?: number } = {},
): Promise<PowerCutReport> {
  const random = seededRandom(seed);
  const found: string[] = [];
  let acknowledged = 0;
  for (let cut = 0; cut < cuts; cut += 1) {
    const minimum = options.minimumBytes ?? 0;
    const budget = minimum + Math.floor(random() * (MAXIMUM_BYTES - minimum));
    const result = await oneCut(cut, budget, options.wrapper);
    acknowledged += result.acknowledged;
    found.push(...result.violations.map((sentence) => `cut ${cut} after ${budget} bytes: ${sentence}`));
  }
  return { seed, cuts, acknowledged, violations: found };
}

async function oneCut(
  cut: number,
  bytes: number,
  wrapper: readonly string[] | undefined,
): Promise<{ acknowledged: number; violations: string[] }> {
  const folder = await makeFolder();
  const [disk, copy] = [path.join(folder, 'disk.img'), path.join(folder, 'cut.img')];
  const [before, after] = [path.join(folder, 'before'), path.join(folder, 'after')];
  await fsp.mkdir(before);
  await fsp.mkdir(after);
  execFileSync('truncate', ['-s', '256M', disk]);
  execFileSync('/usr/sbin/mkfs.ext4', ['-qF', disk], { stdio: 'ignore' });
  execFileSync('mount', ['-o', 'loop,commit=300', disk, before]);
  const ledger = await Ledger.open(path.join(folder, 'ledger.txt'));
  let node: NodeProcess | undefined;
  try {
    node = await startNode({
      folder,
      dataDirectory: path.join(before, 'data'),
      ...(wrapper === undefined ? {} : { wrapper }),
    });
    const writer = node;
    let budget = bytes;
    let stopped: (() => void) | undefined;
    const moment = new Promise<void>((resolve) => (stopped = resolve));
    const load = storm({
      port: writer.port,
      ledger,
      next: (association, index) => roundObject(cut, association, index),
      onBytes: (sent) => {
        budget -= sent;
        if (budget > 0) return;
        writer.signal('SIGSTOP');
        stopped?.();
      },
    });
    await Promise.race([moment, load.ended]);
    execFileSync('cp', ['--sparse=always', disk, copy]);
    await writer.kill();
    await load.ended;

    execFileSync('mount', ['-o', 'loop', copy, after]);
    node = await startNode({ folder, dataDirectory: path.join(after, 'data') });
    const answered = await ledger.read();
    return {
      acknowledged: answered.length,
      violations: await violations(node, { ledger: answered, begun: load.begun, tornFiles: 'set aside' }),
    };
  } finally {
    await node?.kill();
    await ledger.close();
    for (const mounted of [before, after]) unmount(mounted);
    await removeFolder(folder);
  }
}

function unmount(folder: string): void {
  const mounts = fs.readFileSync('/proc/self/mounts', 'latin1');
  if (!mounts.includes(` ${folder} `)) return;
  execFileSync('umount', ['-l', folder]);
}
