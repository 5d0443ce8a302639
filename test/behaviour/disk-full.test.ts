import { execFileSync } from 'node:child_process';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { instanceUids } from '../support/catalog-view';
import { goodObject } from '../support/hostile-data-sets';
import { PlainScu, sha256 } from '../support/ledger-scu';
import { makeFolder, removeFolder, startNode } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import { storedFiles } from '../support/stored-files';
import { describeInterop } from '../support/tools';

const MEGABYTE = 1 << 20;

describeInterop(['mount'], 'T70: a volume that fills up', () => {
  let folder: string;
  let volume: string;
  let node: NodeProcess | undefined;

  beforeEach(async () => {
    folder = await makeFolder();
    volume = path.join(folder, 'volume');
    await fsp.mkdir(volume);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', volume]);
  });

  afterEach(async () => {
    await node?.kill();
    execFileSync('umount', ['-l', volume]);
    await removeFolder(folder);
  });

  it.each([
    ['the reserve', '25%'],
    ['the last byte', '0'],
  ])(
    'is answered A700 from %s on, leaves nothing half, and is used again when there is space',
    async (_, reserve) => {
      const dataDirectory = path.join(volume, 'data');
      node = await startNode({
        folder,
        dataDirectory,
        config: { storage: { directory: dataDirectory, reserve } },
      });
      const filler = path.join(volume, 'filler');
      await fsp.writeFile(filler, Buffer.alloc(20 * MEGABYTE));

      const objects = Array.from({ length: 30 }, (_, index) => goodObject({ size: 724, seed: index }));
      const scu = await PlainScu.open(node.port, objects);
      const statuses: (number | undefined)[] = [];
      for (const object of objects) {
        const answer = await scu.store(object);
        statuses.push(answer.status);
        if (answer.status !== 0) expect(answer.comment).toMatch(/^[\x20-\x7e]{1,64}$/);
      }
      const full = statuses.indexOf(0xa700);
      expect(full).toBeGreaterThan(0);
      expect(new Set(statuses.slice(full))).toEqual(new Set([0xa700]));
      expect(await scu.echo()).toBe(0);

      // Reads go on, and what is there is whole.
      const stored = objects.slice(0, full);
      expect((await instanceUids(node)).sort()).toEqual(stored.map((object) => object.SOPInstanceUID).sort());
      const files = await storedFiles(dataDirectory);
      expect(files.map((file) => file.dataSetSha256).sort()).toEqual(
        stored.map((object) => sha256(object.dataSet)).sort(),
      );
      expect(files.every((file) => file.sealed)).toBe(true);

      await fsp.rm(filler);
      // Free space is measured now and then: the sender tries again, as a scanner does.
      const again = objects[full]!;
      const until = Date.now() + 10_000;
      let status = (await scu.store(again)).status;
      while (status === 0xa700 && Date.now() < until) status = (await scu.store(again)).status;
      expect(status).toBe(0);
      await scu.release();
      expect((await node.stop()).code).toBe(0);
    },
    60_000,
  );
});
