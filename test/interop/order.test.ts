import fsp from 'node:fs/promises';
import path from 'node:path';
import { checkOrder, STRACE_OPTIONS } from '../faults/order';
import { roundObject } from '../faults/load';
import { Ledger, storm } from '../support/ledger-scu';
import { makeFolder, removeFolder, startNode } from '../support/node-process';
import { storedFiles } from '../support/stored-files';
import { describeInterop } from '../support/tools';

const OBJECTS = 15;

describeInterop(['strace'], 'the order of system calls', () => {
  it('has every Success on the wire after the fdatasync of its file', async () => {
    const folder = await makeFolder();
    const log = path.join(folder, 'strace.log');
    const node = await startNode({
      folder,
      wrapper: ['strace', '-o', log, ...STRACE_OPTIONS],
      env: { UV_USE_IO_URING: '0' },
    });
    try {
      const ledger = await Ledger.open(path.join(folder, 'ledger.txt'));
      const load = storm({
        port: node.port,
        ledger,
        next: (association, index) => (index < OBJECTS ? roundObject(0, association, index) : undefined),
      });
      await load.ended;
      const answered = await ledger.read();
      await ledger.close();
      const files = await storedFiles(node.dataDirectory);
      expect((await node.stop()).code).toBe(0);
      expect(answered.map(({ status }) => status)).toEqual(Array.from({ length: 8 * OBJECTS }, () => 0));

      const trace = await fsp.readFile(log, 'latin1');
      const fileOf = new Map(files.map((file) => [file.SOPInstanceUID, path.basename(file.path)]));
      const report = checkOrder(trace, fileOf);
      expect(report.violations).toEqual([]);
      expect([...report.responses].sort()).toEqual(answered.map(({ uid }) => uid).sort());

      // The oracle can say no: with the syncs taken out of the log nothing is in order.
      const without = trace.replace(/^.*fdatasync.*$/gm, '');
      expect(checkOrder(without, fileOf).violations).toHaveLength(8 * OBJECTS);
    } finally {
      await node.kill();
      await removeFolder(folder);
    }
  }, 60_000);
});
