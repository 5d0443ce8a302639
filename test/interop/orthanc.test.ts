import fsp from 'node:fs/promises';
import path from 'node:path';
import { instanceUids } from '../support/catalog-view';
import { fixtures, part10, UID_ROOT } from '../support/data-sets';
import { goodObject } from '../support/hostile-data-sets';
import { makeFolder, removeFolder, startNode } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import { storedFiles } from '../support/stored-files';
import { describeInterop, pydicom, startOrthanc } from '../support/tools';
import type { OrthancPeer } from '../support/tools';

describeInterop(['orthanc', 'pydicom'], 'Orthanc', () => {
  let node: NodeProcess;
  let orthanc: OrthancPeer;
  let folder: string;

  beforeAll(async () => {
    node = await startNode();
    orthanc = await startOrthanc(node.port);
    folder = await makeFolder();
  }, 40_000);

  afterAll(async () => {
    await orthanc.stop();
    await node.stop();
    await removeFolder(node.folder);
    await removeFolder(folder);
  });

  it('reaches the node with C-ECHO', async () => {
    expect(await orthanc.rest('POST', '/modalities/node/echo', '{}')).toBe('{}');
  });

  it('stores a study that it holds, compressed or not, into the node', async () => {
    const { S1, S2, S4 } = fixtures(1);
    const objects = [...S1!, ...S2!, ...S4!];
    const ids: string[] = [];
    for (const object of objects) {
      const answer = JSON.parse(await orthanc.rest('POST', '/instances', part10(object))) as { ID: string };
      ids.push(answer.ID);
    }
    const answer = JSON.parse(
      await orthanc.rest(
        'POST',
        '/modalities/node/store',
        JSON.stringify({ Resources: ids, Synchronous: true }),
      ),
    ) as { InstancesCount: number; FailedInstancesCount: number };
    expect(answer).toMatchObject({ InstancesCount: objects.length, FailedInstancesCount: 0 });
    const found = await instanceUids(node);
    for (const object of objects) expect(found).toContain(object.SOPInstanceUID);

    const stored = new Map(
      (await storedFiles(node.dataDirectory)).map((file) => [file.SOPInstanceUID, file]),
    );
    for (const object of objects) {
      const file = stored.get(object.SOPInstanceUID)!;
      expect(file.transferSyntax).toBe(object.transferSyntax);
      const original = path.join(folder, `${object.SOPInstanceUID}.dcm`);
      await fsp.writeFile(original, part10(object));
      const [kept, sent] = await pydicom.pixels([file.path, original]);
      expect(kept).toEqual(sent);
    }
  }, 40_000);

  it("takes what the node's own commands send", async () => {
    const peer = `ORTHANC@127.0.0.1:${orthanc.dicomPort}`;
    const echo = await node.cli(['echo', peer]);
    expect([echo.code, echo.stderr]).toEqual([0, expect.any(String)]);
    const objects = Array.from({ length: 3 }, (_, index) =>
      goodObject({ StudyInstanceUID: `${UID_ROOT}.99`, SOPInstanceUID: `${UID_ROOT}.99.1.${index}` }),
    );
    const files = await Promise.all(
      objects.map(async (object) => {
        const file = path.join(folder, `send-${object.SOPInstanceUID}.dcm`);
        await fsp.writeFile(file, part10(object));
        return file;
      }),
    );
    const sent = await node.cli(['send', peer, ...files]);
    expect([sent.code, sent.output]).toEqual([0, expect.any(String)]);
    const held = await orthanc.rest('GET', '/instances?expand');
    for (const object of objects) expect(held).toContain(object.SOPInstanceUID);
  }, 40_000);
});
