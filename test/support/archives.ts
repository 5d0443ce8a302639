import { spawn } from 'node:child_process';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { fixtures } from './data-sets';
import { PlainScu } from './ledger-scu';
import { makeFolder, removeFolder } from './node-process';
import { freePort, run } from './tools';

/** An archive of other people's making. */
export interface Archive {
  readonly title: string;
  readonly port: number;
  stop(): Promise<void>;
}

/** Starts dcmqrscp of DCMTK, empty, under the title QRSCP. It takes uncompressed objects only. */
export async function startQrscp(): Promise<Archive> {
  const folder = await makeFolder();
  const port = await freePort();
  const database = path.join(folder, 'database');
  await fsp.mkdir(database);
  const file = path.join(folder, 'dcmqrscp.cfg');
  await fsp.writeFile(
    file,
    [
      `NetworkTCPPort = ${port}`,
      'MaxPDUSize = 16384',
      'MaxAssociations = 16',
      'HostTable BEGIN',
      'HostTable END',
      'VendorTable BEGIN',
      'VendorTable END',
      'AETable BEGIN',
      `QRSCP ${database} RW (200, 1024mb) ANY`,
      'AETable END',
      '',
    ].join('\n'),
  );
  const child = spawn('dcmqrscp', ['-c', file], {
    cwd: folder,
    env: { ...process.env, TCP_NODELAY: '1' },
    stdio: 'ignore',
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await ended;
    }
    await removeFolder(folder);
  };
  try {
    await answering('QRSCP', port);
  } catch (error) {
    await stop();
    throw error;
  }
  return { title: 'QRSCP', port, stop };
}

/** Resolves when a program answers on its port, which it does some time after its start. */
export async function answering(title: string, port: number): Promise<void> {
  const until = Date.now() + 10_000;
  for (;;) {
    const { code, output } = await run('echoscu', ['-aec', title, '127.0.0.1', String(port)]);
    if (code === 0) return;
    if (Date.now() > until) throw new Error(`${title} does not answer on port ${port}: ${output}`);
  }
}

/** Stores the fixtures S1 to S8 in an archive, `instances` of S8; `uncompressed` for one that takes nothing else. */
export async function storeFixtures(
  port: number,
  called: string,
  instances: number,
  uncompressed = false,
): Promise<void> {
  const objects = Object.values(fixtures(instances, uncompressed)).flat();
  const scu = await PlainScu.open(port, objects, { called });
  for (const object of objects) {
    const { status } = await scu.store(object);
    if (status !== 0) throw new Error(`${called} answered ${String(status)} to ${object.SOPInstanceUID}`);
  }
  await scu.release();
}
