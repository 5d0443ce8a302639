import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { SqliteCatalog } from '../../../src/catalog/sqlite/catalog';
import { acquireLock } from '../../../src/catalog/sqlite/lock';
import { arrival, dumpOf, scratch, wrongCounters } from '../arrivals';

const DIST = path.join(__dirname, '..', '..', '..', 'dist', 'catalog', 'sqlite');

/** Runs JavaScript against the build in a process of its own; `lines` are what it printed. */
function run(script: string): {
  child: ChildProcess;
  lines: AsyncIterableIterator<string>;
  ended: Promise<unknown>;
} {
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)));
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator](), ended };
}

describe('processes', () => {
  let place: ReturnType<typeof scratch>;

  beforeEach(() => {
    place = scratch();
  });

  afterEach(() => {
    place.remove();
  });

  it('lose no record that was acknowledged before they were killed', async () => {
    const file = path.join(place.folder, 'catalog.sqlite');
    const told = path.join(place.folder, 'told');
    const script = (round: number, limit: number): string => `
      const { openSync, writeSync } = require('node:fs');
      const { SqliteCatalog } = require(${JSON.stringify(path.join(DIST, 'catalog.js'))});
      const template = ${JSON.stringify(arrival())};
      (async () => {
        const catalog = new SqliteCatalog({ path: ${JSON.stringify(file)} });
        await catalog.open();
        const told = openSync(${JSON.stringify(told)}, 'a');
        let next = 1;
        let left = ${limit};
        const lane = async () => {
          for (;;) {
            const uid = '${round}.' + next++;
            const header = { ...template.header, SOPInstanceUID: uid, StudyInstanceUID: '1.' + (next % 5) };
            await catalog.record({ ...template, header, arrivalId: uid.padStart(12, '0') });
            writeSync(told, uid + '\\n');
            if (--left === 0) process.kill(process.pid, 'SIGKILL');
          }
        };
        for (let lanes = 0; lanes < 300; lanes++) lane();
      })();`;
    const limits = [500, 1337, 3000];
    for (const [round, limit] of limits.entries()) {
      expect(await run(script(round + 1, limit)).ended).toBe('SIGKILL');
    }
    const acknowledged = readFileSync(told, 'utf8').trim().split('\n');
    expect(acknowledged).toHaveLength(500 + 1337 + 3000);
    const catalog = new SqliteCatalog({ path: file });
    await catalog.open();
    const held = await catalog.arrivals(1);
    expect(acknowledged.filter((uid) => !held.has(uid.padStart(12, '0')))).toEqual([]);
    expect(await catalog.quickCheck()).toEqual([]);
    expect(wrongCounters(await dumpOf(catalog))).toEqual([]);
    await catalog.close();
  });

  it('hold the lock until they are killed, and are named to others', async () => {
    const file = path.join(place.folder, 'lock');
    const { child, lines, ended } = run(`
      const { acquireLock } = require(${JSON.stringify(path.join(DIST, 'lock.js'))});
      acquireLock(${JSON.stringify(file)}, { pid: process.pid, hostname: 'here', since: '2024-01-17T10:00:00Z' });
      console.log('held');
      setInterval(() => undefined, 1000);`);
    expect((await lines.next()).value).toBe('held');
    const mine = { pid: process.pid, hostname: 'here', since: '2024-01-17T11:00:00Z' };
    const refusal = { code: 'STORE_LOCKED', exitCode: 75 };
    expect(() => acquireLock(file, mine)).toThrow(expect.objectContaining(refusal));
    expect(() => acquireLock(file, mine)).toThrow(`process ${child.pid} on here since 2024-01-17T10:00:00Z`);
    child.kill('SIGKILL');
    await ended;
    const lock = acquireLock(file, mine);
    expect(() => acquireLock(file, { ...mine, since: 'later' })).toThrow(`process ${process.pid} on here`);
    lock.release();
    lock.release();
    acquireLock(file, { ...mine, since: 'later' }).release();
  });
});
