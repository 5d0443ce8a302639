import fsp from 'node:fs/promises';
import path from 'node:path';
import { rowsOf } from '../support/catalog-view';
import { imageObject, UID_ROOT } from '../support/data-sets';
import { PlainScu } from '../support/ledger-scu';
import { removeFolder, startNode, type NodeProcess } from '../support/node-process';

/** An attribute that is added to the configuration of a node with instances: killed in the middle, it is filled in all the same. */
const nodes: NodeProcess[] = [];

async function start(...options: Parameters<typeof startNode>): Promise<NodeProcess> {
  const node = await startNode(...options);
  nodes.push(node);
  return node;
}

afterEach(async () => {
  for (const node of nodes) await node.kill();
  for (const folder of new Set(nodes.map((node) => node.folder))) await removeFolder(folder);
  nodes.length = 0;
});

const COUNT = 300;
const config = {
  catalog: {
    attributes: [
      { keyword: 'StudyComments', level: 'study' },
      { keyword: 'ImageComments', level: 'instance' },
    ],
  },
};

it('is asked for by find, before and after', async () => {
  const objects = Array.from({ length: COUNT }, (_, index) =>
    imageObject({
      StudyInstanceUID: `${UID_ROOT}.70.${index % 10}`,
      SeriesInstanceUID: `${UID_ROOT}.70.${index % 10}.1`,
      SOPInstanceUID: `${UID_ROOT}.70.${index % 10}.1.${index}`,
      PatientID: `P${index % 10}`,
      size: 2,
      extra: [
        { tag: 0x00204000, vr: 'LT', value: `image ${index % 2}` },
        { tag: 0x00324000, vr: 'LT', value: 'study' },
      ],
    }),
  );
  const first = await start();
  const scu = await PlainScu.open(first.port, objects);
  for (const object of objects) expect((await scu.store(object)).status).toBe(0);
  await scu.release();
  const refused = await first.cli(['find', '-k', 'StudyComments=study']);
  expect(refused).toMatchObject({ code: 2 });
  expect(refused.stderr).toContain('"StudyComments" is not a key');
  await first.stop();

  const { folder } = first;
  const second = await start({ folder, config });
  await second.logged(/incomplete until that is done: ImageComments, StudyComments/);
  await second.kill();
  // Nothing but a start goes on with it: what a command finds meanwhile is incomplete, and it says so.
  const meanwhile = await second.cli(['find', 'instances', '-k', 'ImageComments=image 1', '--json']);
  expect(meanwhile.stderr).toMatch(/ImageComments: filled in for \d+ of 300 instances so far/);

  const third = await start({ folder, config });
  await third.logged(/attributes are filled in: ImageComments, StudyComments.* count=300/);
  const images = await third.cli(['find', 'instances', '-k', 'ImageComments=image 1', '--json', '-l', '0']);
  expect(images).toMatchObject({ code: 0, stderr: '' });
  expect(rowsOf(images.stdout)).toHaveLength(COUNT / 2);
  const studies = await third.cli(['find', 'studies', '-k', 'StudyComments=st?dy', '--json']);
  expect(rowsOf(studies.stdout)).toHaveLength(10);
  await third.stop();

  const fourth = await start({ folder, config });
  await fourth.stop();
  expect(fourth.logs()).not.toContain('filled in');
  const log = await fsp.readdir(path.join(folder, 'data'));
  expect(log.filter((name) => name.includes('.v'))).toEqual([]);
});
