import { spawn, type ChildProcess } from 'node:child_process';
import fsp from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { imageObject, SOP, TS, UID_ROOT, type SentObject } from '../support/data-sets';
import { PlainScu, sha256 } from '../support/ledger-scu';
import {
  makeFolder,
  removeFolder,
  startNode,
  type NodeConfig,
  type NodeProcess,
} from '../support/node-process';
import { parsePart10 } from '../support/stored-files';
import { describeInterop, freePort } from '../support/tools';

/** What DCMTK's storescp took, by SOP Instance UID: the digest of the data set. */
async function received(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of await fsp.readdir(folder)) {
    const bytes = await fsp.readFile(path.join(folder, name));
    const file = parsePart10(bytes);
    // It may be writing this one.
    if (file === undefined) continue;
    const uid = file.meta.get(0x00020003)?.toString('latin1').replace(/\0+$/, '') ?? '';
    found.set(uid, sha256(bytes.subarray(file.dataSetOffset)));
  }
  return found;
}

async function until<T>(look: () => Promise<T>, done: (found: T) => boolean, limit = 20_000): Promise<T> {
  const end = Date.now() + limit;
  for (;;) {
    const found = await look();
    if (done(found) || Date.now() > end) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function storescp(port: number, folder: string, ...options: string[]): Promise<ChildProcess> {
  const child = spawn('storescp', ['-aet', 'PACS', '-od', folder, '-B', '+xa', ...options, String(port)], {
    env: { ...process.env, TCP_NODELAY: '1' },
    stdio: 'ignore',
  });
  await until(
    () =>
      new Promise<boolean>((resolve) => {
        const socket = net.connect(port, '127.0.0.1', () => {
          socket.destroy();
          resolve(true);
        });
        socket.on('error', () => resolve(false));
      }),
    Boolean,
  );
  return child;
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

const SYNTAXES = [TS.explicit, TS.implicit, '1.2.840.10008.1.2.4.70', TS.big];

function objects(count: number, branch: number): SentObject[] {
  return Array.from({ length: count }, (_, i) =>
    imageObject(
      { SOPInstanceUID: `${UID_ROOT}.${branch}.${i}`, SOPClassUID: i % 5 === 0 ? SOP.mr : SOP.ct },
      SYNTAXES[i % SYNTAXES.length],
    ),
  );
}

const expected = (sent: readonly SentObject[]): [string, string][] =>
  sent.map((object): [string, string] => [object.SOPInstanceUID, sha256(object.dataSet)]).sort();

const sorted = (found: ReadonlyMap<string, string>): [string, string][] => [...found].sort();

async function store(node: NodeProcess, sent: readonly SentObject[], callingAETitle: string): Promise<void> {
  const scu = await PlainScu.open(node.port, sent, { calling: callingAETitle });
  for (const object of sent) expect((await scu.store(object)).status).toBe(0);
  await scu.release();
}

async function jobs(node: NodeProcess, ...args: string[]): Promise<Record<string, unknown>[]> {
  const { stdout, code, output } = await node.cli(['jobs', 'list', '--json', ...args]);
  if (code !== 0) throw new Error(output);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describeInterop(['dcmtk'], 'forwardTo', () => {
  let folder: string;
  let port: number;
  let inbox: string;
  let node: NodeProcess | undefined;
  let scp: ChildProcess | undefined;

  const config = (): NodeConfig => ({
    remotes: {
      ct: { aeTitle: 'CT', host: '127.0.0.0/8', allow: ['store'], forwardTo: 'pacs' },
      both: { aeTitle: 'BOTH', host: '127.0.0.0/8', allow: ['store'], forwardTo: ['pacs', 'dead'] },
      replacing: {
        aeTitle: 'REPLACING',
        host: '127.0.0.0/8',
        allow: ['store'],
        duplicates: 'replace',
        forwardTo: 'pacs',
      },
      other: { aeTitle: 'OTHER', host: '127.0.0.0/8', allow: ['store'] },
      pacs: { aeTitle: 'PACS', host: '127.0.0.1', port },
      dead: { aeTitle: 'DEAD', host: '127.0.0.1', port: 1 },
    },
  });

  /** Waits for these; a file that storescp is still writing counts when it is whole. */
  const arrived = (wanted: [string, string][]): Promise<Map<string, string>> =>
    until(
      () => received(inbox),
      (now) => JSON.stringify(sorted(now)) === JSON.stringify(wanted),
    );

  beforeEach(async () => {
    folder = await makeFolder();
    inbox = path.join(folder, 'inbox');
    await fsp.mkdir(inbox);
    port = await freePort();
  });

  afterEach(async () => {
    await node?.kill();
    await end(scp);
    await removeFolder(folder);
  });

  it('brings everything that was stored to a destination that was down, over kill -9 and restarts', async () => {
    const sent = objects(40, 10);
    node = await startNode({ folder, config: config() });
    await store(node, sent.slice(0, 25), 'CT');
    await store(node, [imageObject({ SOPInstanceUID: `${UID_ROOT}.11.1` })], 'OTHER');
    await node.kill();
    node = await startNode({ folder, config: config() });
    await store(node, sent.slice(25), 'CT');
    const waiting = await jobs(node, '--destination', 'pacs');
    expect(waiting.map((job) => job['SOPInstanceUID']).sort()).toEqual(expected(sent).map(([uid]) => uid));
    expect((await node.stop()).code).toBe(0);
    // Without a node the store tells the same.
    expect((await jobs(node)).map(({ state }) => state)).toEqual(sent.map(() => 'waiting'));

    scp = await storescp(port, inbox);
    node = await startNode({ folder, config: config() });
    expect(sorted(await arrived(expected(sent)))).toEqual(expected(sent));
    expect(
      await until(
        () => jobs(node!),
        (left) => left.length === 0,
      ),
    ).toEqual([]);

    // The same again is a duplicate, and nobody is told.
    await store(node, sent, 'CT');
    expect(await jobs(node)).toEqual([]);
    expect(node.logs()).not.toContain('JOB_PARKED');
  }, 60_000);

  it('goes on where kill -9 cut it off in the middle, and loses nothing', async () => {
    const sent = objects(120, 20);
    node = await startNode({ folder, config: config() });
    scp = await storescp(port, inbox, '--dimse-timeout', '20');
    // Stored and forwarded at once: the kill meets both.
    const scu = await PlainScu.open(node.port, sent, { calling: 'CT' });
    const acknowledged: SentObject[] = [];
    const storing = (async () => {
      for (const object of sent) {
        await scu.store(object);
        acknowledged.push(object);
      }
    })().catch(() => undefined);
    await until(
      () => received(inbox),
      (now) => now.size > 10,
    );
    await node.kill();
    await storing;
    expect(acknowledged.length).toBeGreaterThan(10);
    node = await startNode({ folder, config: config() });
    const { stdout } = await node.cli(['find', 'instances', '--json', '-l', '0']);
    const held = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => String((JSON.parse(line) as Record<string, unknown>)['SOPInstanceUID']));
    expect(held).toEqual(expect.arrayContaining(acknowledged.map((object) => object.SOPInstanceUID)));
    const wanted = expected(sent.filter(({ SOPInstanceUID }) => held.includes(SOPInstanceUID)));
    expect(sorted(await arrived(wanted))).toEqual(wanted);
  }, 60_000);

  it('does not let a dead destination hold up another, and obeys retry and cancel', async () => {
    const sent = objects(12, 30);
    scp = await storescp(port, inbox);
    node = await startNode({ folder, config: config() });
    await store(node, sent, 'BOTH');
    expect(sorted(await arrived(expected(sent)))).toEqual(expected(sent));
    const left = await until(
      () => jobs(node!),
      (now) => now.length === 12 && now.every((job) => job['state'] === 'waiting'),
    );
    expect(left.map((job) => job['destination'])).toEqual(sent.map(() => 'dead'));
    // Not reached is not tried.
    expect(left.map((job) => job['attempts'])).toEqual(sent.map(() => 0));

    const one = String(left[0]?.['id']);
    const cancelled = await node.cli(['jobs', 'cancel', one, '99999']);
    expect(cancelled).toMatchObject({ code: 3, stdout: '' });
    expect(cancelled.stderr).toContain('1 job is cancelled');
    expect(cancelled.stderr).toContain('job 99999 runs at this moment, or is done or unknown');
    expect((await node.cli(['jobs', 'retry', '--all', '--destination', 'dead'])).code).toBe(0);
    expect(await node.cli(['jobs', 'cancel', '--all', '--destination', 'dead'])).toMatchObject({ code: 2 });
    await until(
      () => node!.cli(['jobs', 'cancel', '--all', '--destination', 'dead', '--yes']),
      ({ stderr }) => stderr.includes('0 jobs'),
    );
    expect(await jobs(node)).toEqual([]);
  }, 60_000);

  it('forwards what replaces an instance', async () => {
    scp = await storescp(port, inbox);
    node = await startNode({ folder, config: config() });
    const uid = `${UID_ROOT}.40.1`;
    const first = imageObject({ SOPInstanceUID: uid, PatientID: 'A' });
    const second = imageObject({ SOPInstanceUID: uid, PatientID: 'B' });
    for (const object of [first, second]) {
      await store(node, [object], 'REPLACING');
      const found = await until(
        () => received(inbox),
        (now) => now.get(uid) === sha256(object.dataSet),
      );
      expect(sorted(found)).toEqual(expected([object]));
    }
  }, 60_000);
});
