import { spawn } from 'node:child_process';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { makeFolder, removeFolder } from './node-process';
import { metaText, parsePart10 } from './stored-files';
import { freePort, run } from './tools';

export interface ReceivedObject {
  readonly dataSet: Buffer;
  readonly transferSyntax: string;
}

/** Data sets of the files in a folder, by SOP Instance UID. */
export async function objectsIn(folder: string): Promise<Map<string, ReceivedObject>> {
  const found = new Map<string, ReceivedObject>();
  for (const name of await fsp.readdir(folder)) {
    const bytes = await fsp.readFile(path.join(folder, name));
    const file = parsePart10(bytes);
    if (file === undefined) continue;
    found.set(metaText(file, 0x00020003) ?? '', {
      dataSet: bytes.subarray(file.dataSetOffset),
      transferSyntax: metaText(file, 0x00020010) ?? '',
    });
  }
  return found;
}

/** DCMTK's storescp as a destination. */
export interface Storescp {
  readonly port: number;
  readonly title: string;
  /** What it printed so far. */
  output(): string;
  /** Data sets by SOP Instance UID, and the transfer syntax of each. */
  received(): Promise<Map<string, ReceivedObject>>;
  /** Forgets what it has. */
  clear(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts it on a free port and waits until it answers; with `+B` files hold what was sent, bit for bit. */
export async function startStorescp(title: string, args: readonly string[] = ['+B']): Promise<Storescp> {
  const folder = await makeFolder();
  const port = await freePort();
  const child = spawn('storescp', ['-d', '-aet', title, ...args, '-od', folder, String(port)], {
    cwd: folder,
    env: { ...process.env, TCP_NODELAY: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  const collect = (chunk: Buffer): void => {
    log += chunk.toString('latin1');
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
    await removeFolder(folder);
  };
  const until = Date.now() + 10_000;
  // One that refuses associations answers that, too.
  for (;;) {
    const { output } = await run('echoscu', ['-aec', title, '127.0.0.1', String(port)]);
    if (!/Connection refused|Unable to connect/i.test(output)) break;
    if (Date.now() > until || child.exitCode !== null) {
      await stop();
      throw new Error(`storescp does not start: ${output}${log}`);
    }
  }
  log = '';
  return {
    port,
    title,
    output: () => log,
    received: () => objectsIn(folder),
    clear: async () => {
      log = '';
      for (const name of await fsp.readdir(folder)) await fsp.rm(path.join(folder, name));
    },
    stop,
  };
}
