import { instanceUids } from '../support/catalog-view';
import { goodObject } from '../support/hostile-data-sets';
import { PlainScu, sha256 } from '../support/ledger-scu';
import { removeFolder, startNode } from '../support/node-process';
import { describeInterop } from '../support/tools';
import { violations } from '../faults/invariants';

describeInterop(['strace'], 'a disk that fails to sync', () => {
  it('ends ingest for good with A700, while echoes and look-ups go on; what was acknowledged stays', async () => {
    const wrapper = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fdatasync'];
    const failing = await startNode({
      wrapper: [...wrapper, '-e', 'inject=fdatasync:error=EIO:when=30+'],
      // One thread for file calls: strace counts the calls of each thread apart.
      env: { UV_USE_IO_URING: '0', UV_THREADPOOL_SIZE: '1' },
    });
    try {
      const objects = Array.from({ length: 60 }, (_, index) => goodObject({ seed: index }));
      const scu = await PlainScu.open(failing.port, objects);
      const statuses: (number | undefined)[] = [];
      for (const object of objects) {
        const answer = await scu.store(object);
        statuses.push(answer.status);
        if (answer.status !== 0) expect(answer.comment).toMatch(/^[\x20-\x7e]{1,64}$/);
      }
      const first = statuses.indexOf(0xa700);
      expect(first).toBeGreaterThan(0);
      // A sync that failed is never tried again: the page cache may call the lost pages clean.
      expect(new Set(statuses.slice(0, first))).toEqual(new Set([0]));
      expect(new Set(statuses.slice(first))).toEqual(new Set([0xa700]));
      expect(await scu.echo()).toBe(0);
      expect((await instanceUids(failing)).length).toBe(first);
      expect(failing.logs()).toMatch(/INGEST_STOPPED/);
      await scu.release();
      await failing.kill();

      const node = await startNode({ folder: failing.folder });
      const ledger = objects
        .slice(0, first)
        .map((object) => ({ uid: object.SOPInstanceUID, sha256: sha256(object.dataSet), status: 0 }));
      const begun = new Map(objects.map((object) => [object.SOPInstanceUID, sha256(object.dataSet)]));
      expect(await violations(node, { ledger, begun })).toEqual([]);
      // And it takes objects again.
      const again = await PlainScu.open(node.port, objects);
      expect((await again.store(objects[first]!)).status).toBe(0);
      await again.release();
      expect((await node.stop()).code).toBe(0);
    } finally {
      await failing.kill();
      await removeFolder(failing.folder);
    }
  }, 60_000);
});
