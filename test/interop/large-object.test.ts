import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { header, imageObject, part10, SOP, UID_ROOT } from '../support/data-sets';
import { makeFolder, removeFolder, startNode } from '../support/node-process';
import { dcmtk, describeInterop, statusesOf } from '../support/tools';

const GIBIBYTES_2 = 2 ** 31;

describeInterop(['dcmtk'], 'T73: one object of 2 GiB', () => {
  it('is stored in bounded memory while others are served', async () => {
    const folder = await makeFolder();
    const node = await startNode({ folder });
    try {
      const uid = `${UID_ROOT}.73.1.1`;
      // Frames of zeros: a hole in the file that is sent, real bytes in the one that is stored.
      const file = path.join(folder, 'large.dcm');
      const start = Buffer.concat([
        part10(
          imageObject({
            SOPClassUID: SOP.multiFrame,
            SOPInstanceUID: uid,
            extra: [
              { tag: 0x00280008, vr: 'IS', value: '8192' },
              { tag: 0x00280010, vr: 'US', value: [512] },
              { tag: 0x00280011, vr: 'US', value: [512] },
              { tag: 0x00280100, vr: 'US', value: [8] },
              { tag: 0x00280101, vr: 'US', value: [8] },
              { tag: 0x00280102, vr: 'US', value: [7] },
            ],
            without: [0x7fe00010],
          }),
        ),
        header(0x7fe00010, 'OB', GIBIBYTES_2, 'explicit'),
      ]);
      await fsp.writeFile(file, start);
      await fsp.truncate(file, start.length + GIBIBYTES_2);

      expect(statusesOf((await dcmtk.echoscu(node.port)).output)).toEqual([0]);
      const before = node.rss().now;
      const sending = dcmtk.storescu(node.port, [file], ['-xe', '-R', '--max-send-pdu', '131072'], {
        timeout: 120_000,
      });
      let slowest = 0;
      let echoes = 0;
      const progress = { sent: false };
      const stored = sending.then((result) => {
        progress.sent = true;
        return result;
      });
      while (echoes < 50 || (!progress.sent && echoes < 2000)) {
        const began = Date.now();
        expect(statusesOf((await dcmtk.echoscu(node.port)).output)).toEqual([0]);
        slowest = Math.max(slowest, Date.now() - began);
        echoes += 1;
      }
      const { code, output } = await stored;
      expect([code, statusesOf(output)]).toEqual([0, [0]]);
      expect(slowest).toBeLessThan(1000);
      expect(node.rss().peak - before).toBeLessThan(150 * 1024);
      expect(node.rss().peak).toBeLessThan(300 * 1024);

      const name = (await fsp.readdir(path.join(node.dataDirectory, 'instances'), { recursive: true })).find(
        (entry) => entry.endsWith('.dcm'),
      );
      const kept = path.join(node.dataDirectory, 'instances', name!);
      const { size } = await fsp.stat(kept);
      expect(size).toBeGreaterThan(GIBIBYTES_2);
      // The last bytes of both are the whole of the pixel data: compared by digest, not held.
      expect(await digest(kept, size - GIBIBYTES_2)).toBe(await digest(file, start.length));
    } finally {
      await node.stop();
      await removeFolder(folder);
    }
  }, 180_000);
});

async function digest(file: string, start: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { start, highWaterMark: 1 << 20 }))
    hash.update(chunk as Buffer);
  return hash.digest('hex');
}
