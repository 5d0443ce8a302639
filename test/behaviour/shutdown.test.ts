import { spawn } from 'node:child_process';
import path from 'node:path';
import { instanceUids } from '../support/catalog-view';
import { goodObject } from '../support/hostile-data-sets';
import { PlainScu } from '../support/ledger-scu';
import { isocenter, makeFolder, removeFolder, startNode, writeConfig } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import { storedDataSet } from '../support/stored-files';
import { associateRq, pData, PDU, pdv, storeRq, Wire } from '../support/wire';

/** The life of the process: start, lock, drain, end. */
const nodes: NodeProcess[] = [];

async function start(...options: Parameters<typeof startNode>): Promise<NodeProcess> {
  const node = await startNode(...options);
  nodes.push(node);
  return node;
}

afterEach(async () => {
  for (const node of nodes.splice(0)) {
    await node.kill();
    await removeFolder(node.folder);
  }
});

describe('SIGTERM', () => {
  it('lets the running C-STORE end, answers new callers 2/3/1, and exits 0', async () => {
    const node = await start();
    const object = goodObject({ size: 256 });
    const scu = await PlainScu.open(node.port, [object]);
    const context = scu.contextFor(object);
    const parts = scu.dataPdus(context, object.dataSet);
    expect(parts.length).toBeGreaterThan(1);
    await scu.wire.send(
      pData(pdv(context, true, true, storeRq(1, object.SOPClassUID, object.SOPInstanceUID))),
    );
    await scu.wire.send(parts[0]!);
    // The node is at it: something of the data set has arrived before the signal.
    expect(await (await PlainScu.open(node.port, [object])).echo()).toBe(0);
    node.signal('SIGTERM');
    await node.logged(/shut|drain|stopp/i);

    const late = await Wire.connect(node.port);
    await late.send(associateRq());
    const answer = await late.nextPdu();
    expect([answer.type, ...answer.body.subarray(1)]).toEqual([PDU.associateRj, 2, 3, 1]);
    late.destroy();

    for (const part of parts.slice(1)) await scu.wire.send(part);
    expect((await scu.wire.nextMessage()).command.status).toBe(0);
    scu.wire.destroy();
    expect(await node.exited).toEqual({ code: 0, signal: null });
    expect(await storedDataSet(node.dataDirectory, object.SOPInstanceUID)).toEqual(object.dataSet);
  });

  it('does not wait for callers that are idle', async () => {
    const node = await start();
    const { wire } = await Wire.associate(node.port);
    const started = Date.now();
    const { code } = await node.stop();
    expect(code).toBe(0);
    expect(Date.now() - started).toBeLessThan(10_000);
    wire.destroy();
  });

  it('ends at once when it comes twice', async () => {
    const node = await start();
    const object = goodObject({ size: 256 });
    const scu = await PlainScu.open(node.port, [object]);
    const context = scu.contextFor(object);
    await scu.wire.send(
      pData(pdv(context, true, true, storeRq(1, object.SOPClassUID, object.SOPInstanceUID))),
    );
    await scu.wire.send(scu.dataPdus(context, object.dataSet)[0]!);
    node.signal('SIGTERM');
    await node.logged(/shut|drain|stopp/i);
    expect(node.running).toBe(true);
    const again = Date.now();
    node.signal('SIGTERM');
    await node.exited;
    expect(Date.now() - again).toBeLessThan(3000);
    scu.wire.destroy();
  });
});

describe('npm start', () => {
  it('passes its words on, and a SIGTERM that npm gets reaches the node', async () => {
    const folder = await makeFolder();
    const file = await writeConfig(folder);
    const npm = spawn('npm', ['start', '--silent', '--', '--config', file], {
      cwd: path.join(__dirname, '..', '..'),
      stdio: ['ignore', 'pipe', 'inherit'],
      // A group of its own: a failed case leaves no node behind.
      detached: true,
    });
    try {
      const exited = new Promise((resolve) => npm.once('exit', (code) => resolve(code)));
      let log = '';
      let stopped: (() => void) | undefined;
      const said = new Promise<void>((resolve) => (stopped = resolve));
      await new Promise<void>((resolve) =>
        npm.stdout.on('data', (chunk: Buffer) => {
          log += chunk.toString('utf8');
          if (/\bready\b/.test(log)) resolve();
          if (/- stopped/.test(log)) stopped?.();
        }),
      );
      npm.kill('SIGTERM');
      await said;
      await exited;
      expect(log).toMatch(/signal=SIGTERM/);
    } finally {
      try {
        process.kill(-npm.pid!, 'SIGKILL');
      } catch {
        // All of the group have ended, as they should.
      }
      await removeFolder(folder);
    }
  });
});

describe('the lock', () => {
  it('sends a second node on the same directory away with exit 75', async () => {
    const node = await start();
    const other = await writeConfig(node.folder, { dataDirectory: node.dataDirectory });
    const second = await isocenter(['serve', '--config', other], 15_000);
    expect(second.code).toBe(75);
    expect(second.output).toMatch(/lock|in use|running/i);
    // The first one doesn't notice.
    const { wire } = await Wire.associate(node.port);
    expect(await wire.echo()).toBe(0);
    await wire.release();
  });

  it('does not outlive a killed node', async () => {
    const node = await start();
    const object = goodObject();
    const scu = await PlainScu.open(node.port, [object]);
    expect((await scu.store(object)).status).toBe(0);
    await node.kill();
    const next = await start({ folder: node.folder });
    expect(await instanceUids(next)).toEqual([object.SOPInstanceUID]);
  });

  it('lets commands read without a running node', async () => {
    const node = await start();
    const object = goodObject();
    const scu = await PlainScu.open(node.port, [object]);
    expect((await scu.store(object)).status).toBe(0);
    await scu.release();
    expect((await node.stop()).code).toBe(0);
    expect(await instanceUids(node)).toEqual([object.SOPInstanceUID]);
    expect((await node.cli(['reindex'], 60_000)).code).toBe(0);
    expect(await instanceUids(node)).toEqual([object.SOPInstanceUID]);
  });
});
