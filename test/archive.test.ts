import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { Archive, type ArchiveOptions } from '../src/archive';
import { NodeEventBus } from '../src/events';
import { startNode, writeConfig } from './support/node-process';
import { sha256 } from './support/ledger-scu';
import { associateRq, PDU, Wire } from './support/wire';
import {
  candidate,
  cleanUp,
  configFor,
  filesIn,
  flipLastByte,
  newDirectory,
  object,
  openArchive,
  pathIn,
  statusOf,
} from './services/kit';

/** The archive as node and commands open it, with its threads and its disk; and a node that starts on one that has to be looked through. */
const archives: Archive[] = [];

function options(directory: string): ArchiveOptions & { alerts: string[]; fatal: Error[] } {
  const alerts: string[] = [];
  const fatal: Error[] = [];
  const events = new NodeEventBus((error) => {
    throw error;
  });
  events.on('alert', ({ code }) => alerts.push(code));
  return {
    config: configFor(directory),
    log: () => undefined,
    events,
    onFatal: (error) => fatal.push(error),
    alerts,
    fatal,
  };
}

async function open(directory: string, how: Parameters<typeof Archive.open>[1] = {}): Promise<Archive> {
  const archive = await Archive.open(options(directory), how);
  archives.push(archive);
  return archive;
}

async function dumpOf(archive: Archive): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of archive.dump()) lines.push(line);
  return lines;
}

afterEach(async () => {
  for (const archive of archives.splice(0)) await archive.close();
  await cleanUp();
});

describe('Archive', () => {
  it('takes eight of one UID at once, twice the same four bytes: one is current, the others are told', async () => {
    const directory = newDirectory();
    const archive = await open(directory);
    await archive.recover();
    for (let round = 0; round < 3; round++) {
      const SOPInstanceUID = `2.25.95.${round}`;
      const kinds = [1, 2, 3, 4].map((seed) => object({ SOPInstanceUID, seed }));
      const statuses = await Promise.all(
        [...kinds, ...kinds].map((kind) => statusOf(archive.ingest.take(candidate(kind)))),
      );
      // Which one was first is not said; both copies of it are Success, all others are not.
      const winners = statuses.flatMap((status, index) => (status === 0 ? [index % 4] : []));
      expect(winners).toHaveLength(2);
      expect(new Set(winners).size).toBe(1);
      expect(statuses.filter((status) => status === 0x0111)).toHaveLength(6);
    }
    expect(filesIn(directory, 'instances').size).toBe(3);
    expect(filesIn(directory, 'quarantine').size).toBe(9);
    const before = await dumpOf(archive);
    await archive.close();
    const again = await open(directory, { freshCatalog: true });
    await again.recover();
    expect(await dumpOf(again)).toEqual(before);
  });

  it('mends, releases and discards with its threads as without, and a reindex finds the same', async () => {
    const directory = newDirectory();
    const archive = await open(directory);
    await archive.recover();
    const api = archive.api({ unavailable: () => undefined, associations: () => 0 });
    const SOPInstanceUID = '2.25.96';
    const kinds = [1, 2, 3].map((seed) => object({ SOPInstanceUID, seed }));
    for (const kind of kinds) await statusOf(archive.ingest.take(candidate(kind)));
    const [first, second] = (await api.quarantineList({ limit: 10 })).rows;
    await api.quarantineRelease(first!.arrivalId, 'x');
    await api.quarantineDiscard(second!.arrivalId, 'x');
    flipLastByte(pathIn(directory, first!.arrivalId, 'instances'));
    expect((await archive.ingest.take(candidate(kinds[1]!))).outcome).toBe('replaced');
    expect([...filesIn(directory, 'instances').values()]).toEqual([sha256(kinds[1]!.dataSet)]);
    expect(await api.status()).toMatchObject({ instances: 1, quarantined: 2, stopped: undefined });
    const before = await dumpOf(archive);
    await archive.close();
    const again = await open(directory, { freshCatalog: true });
    await again.recover();
    expect(await dumpOf(again)).toEqual(before);
  });

  it('is held by one process at a time; who looks only waits a little', async () => {
    const directory = newDirectory();
    const archive = await open(directory);
    expect(await statusOf(open(directory))).toBe('STORE_LOCKED');
    const reading = open(directory, { readOnly: true });
    await archive.close();
    await (await reading).close();
    await (await open(directory)).close();
  });

  it('gives the lock up where it can not be opened', async () => {
    const directory = newDirectory();
    await (await open(directory)).close();
    const sentinel = path.join(directory, 'store.json');
    const text = fs.readFileSync(sentinel);
    fs.writeFileSync(sentinel, '{}');
    expect(await statusOf(open(directory))).toBe('STORE_UNSAFE');
    fs.writeFileSync(sentinel, text);
    await (await open(directory)).close();
    fs.writeFileSync(path.join(directory, 'catalog.sqlite'), 'no database '.repeat(1000));
    expect(await statusOf(open(directory))).toBe('CATALOG_CORRUPT');
    // What it says mends it.
    const again = await open(directory, { freshCatalog: true });
    await again.recover();
    expect(await dumpOf(again)).toEqual([]);
  });

  it('closes once, however often it is asked', async () => {
    const archive = await open(newDirectory());
    await Promise.all([archive.close(), archive.close()]);
    await archive.close();
    expect(await statusOf(archive.recover())).toBe('ARCHIVE_CLOSED');
  });

  it('waits for a release under way before it closes', async () => {
    const directory = newDirectory();
    const archive = await open(directory);
    await archive.recover();
    const api = archive.api({ unavailable: () => undefined, associations: () => 0 });
    const SOPInstanceUID = '2.25.97';
    for (const seed of [1, 2])
      await statusOf(archive.ingest.take(candidate(object({ SOPInstanceUID, seed }))));
    const [row] = (await api.quarantineList({ limit: 10 })).rows;
    const releasing = statusOf(api.quarantineRelease(row!.arrivalId, 'x'));
    await Promise.resolve();
    await archive.close();
    expect(await releasing).toBe(0);
    expect([...filesIn(directory, 'instances').keys()]).toEqual([row!.arrivalId]);
  });
});

describe('a node that has to look its store through', () => {
  const children = new Set<ChildProcess>();

  afterEach(() => {
    for (const child of children) child.kill('SIGKILL');
    children.clear();
  });

  /** Sealed files without a catalog: a start adopts them one by one. */
  async function abandoned(count: number): Promise<string> {
    const directory = newDirectory();
    const opened = await openArchive(directory);
    for (let index = 0; index < count; index++) await opened.take(object({ size: 0 }));
    await opened.abandon();
    for (const name of fs.readdirSync(directory))
      if (name.startsWith('catalog.sqlite')) fs.rmSync(path.join(directory, name));
    return directory;
  }

  interface Started {
    readonly child: ChildProcess;
    readonly port: number;
    readonly log: () => string;
    readonly exited: Promise<number | null>;
  }

  /** Resolves when it listens, ready or not. */
  async function serve(config: string): Promise<Started> {
    const command = path.join(__dirname, '../scripts/isocenter');
    const child = spawn(process.execPath, [command, 'serve', '--config', config], { stdio: 'pipe' });
    children.add(child);
    let log = '';
    const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
    const port = await new Promise<number>((resolve, reject) => {
      const look = (chunk: Buffer): void => {
        log += chunk.toString();
        const match = /listening.*port=(\d+)/.exec(log);
        if (match !== null) resolve(Number(match[1]));
      };
      child.stdout.on('data', look);
      child.stderr.on('data', look);
      void exited.then(() => reject(new Error(log)));
    });
    return { child, port, log: () => log, exited };
  }

  function ask(
    socketPath: string,
    method: string,
    url: string,
    body?: string,
  ): Promise<{ status: number | undefined; text: string }> {
    return new Promise((resolve, reject) => {
      const request = http.request({ socketPath, method, path: url }, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => resolve({ status: response.statusCode, text }));
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  it('answers 2/3/1 and not ready meanwhile, changes nothing by command, and ends at SIGTERM with 0', async () => {
    const count = 1000;
    const directory = await abandoned(count);
    const config = await writeConfig(path.dirname(directory), { dataDirectory: directory });
    const { child, port, log, exited } = await serve(config);

    const wire = await Wire.connect(port);
    await wire.send(associateRq());
    const answer = await wire.nextPdu();
    expect([answer.type, ...answer.body.subarray(1)]).toEqual([PDU.associateRj, 2, 3, 1]);
    wire.destroy();

    const socket = path.join(directory, 'control.sock');
    expect((await ask(socket, 'GET', '/livez')).status).toBe(200);
    const ready = await ask(socket, 'GET', '/readyz');
    expect(ready.status).toBe(503);
    expect(ready.text).toMatch(/being looked through after an unclean stop/);
    const written = await ask(socket, 'POST', '/api/import', '{"paths":["/nowhere"]}');
    expect(written.status).toBe(503);
    expect(JSON.parse(written.text)).toMatchObject({ error: { code: 'NOT_READY', exitCode: 75 } });

    expect(log()).not.toMatch(/ready/);
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    expect(log()).toMatch(/stopped/);
    expect(log()).not.toMatch(/error|ready/i);

    // The next start finishes it.
    const node = await startNode({ folder: path.dirname(directory), dataDirectory: directory });
    const rows = await node.cli(['find', 'patients', '--json']);
    expect(JSON.parse(rows.stdout)).toMatchObject({ NumberOfPatientRelatedInstances: count });
    expect((await node.stop()).code).toBe(0);
  });
});
