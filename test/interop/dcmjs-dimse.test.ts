import fsp from 'node:fs/promises';
import path from 'node:path';
import { Client, constants, log, requests, Transcoding } from 'dcmjs-dimse';
import { instanceUids } from '../support/catalog-view';
import { part10, TS } from '../support/data-sets';
import { goodObject } from '../support/hostile-data-sets';
import { makeFolder, removeFolder, startNode } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import { storedFiles } from '../support/stored-files';

log.setLevel('silent');

/** A second implementation of the wire, in the same language and by other people. */
describe("dcmjs-dimse's client", () => {
  let node: NodeProcess;
  let folder: string;

  beforeAll(async () => {
    // The client asks for Implicit VR in every context, and then has to convert what it sends.
    await Transcoding.initializeAsync();
    node = await startNode();
    folder = await makeFolder();
  });

  afterAll(async () => {
    const { code } = await node.stop();
    await removeFolder(node.folder);
    await removeFolder(folder);
    expect(code).toBe(0);
  });

  type AnyRequest = InstanceType<typeof requests.CEchoRequest> | InstanceType<typeof requests.CStoreRequest>;

  /** Sends the requests over one association; statuses in the order of the responses, and how it ended. */
  function send(
    all: readonly AnyRequest[],
    calling = 'TESTER',
  ): Promise<{ statuses: number[]; rejected: unknown }> {
    return new Promise((resolve, reject) => {
      const statuses: number[] = [];
      let rejected: unknown;
      const client = new Client();
      for (const request of all) {
        request.on('response', (response: { getStatus(): number }) => statuses.push(response.getStatus()));
        client.addRequest(request);
      }
      client.on('associationRejected', (reason: unknown) => (rejected = reason));
      client.on('networkError', reject);
      client.on('closed', () => resolve({ statuses, rejected }));
      client.send('127.0.0.1', node.port, calling, 'NODE');
    });
  }

  it('gets its C-ECHO answered', async () => {
    const { statuses } = await send([new requests.CEchoRequest(), new requests.CEchoRequest()]);
    expect(statuses).toEqual([constants.Status.Success, constants.Status.Success]);
  });

  it('is told why it is rejected', async () => {
    const { statuses, rejected } = await send([new requests.CEchoRequest()], 'STRANGER');
    expect(statuses).toEqual([]);
    expect(rejected).toMatchObject({
      result: constants.RejectResult.Permanent,
      source: constants.RejectSource.ServiceUser,
      reason: constants.RejectReason.CallingAeNotRecognized,
    });
  });

  it('stores, and everything is found', async () => {
    const objects = [TS.explicit, TS.jpegBaseline, TS.j2kLossless, TS.explicit].map((syntax) =>
      goodObject({ size: 64 }, syntax),
    );
    const files = await Promise.all(
      objects.map(async (object, index) => {
        const file = path.join(folder, `${index}.dcm`);
        await fsp.writeFile(file, part10(object));
        return file;
      }),
    );
    const { statuses } = await send(files.map((file) => new requests.CStoreRequest(file)));
    expect(statuses).toEqual(objects.map(() => constants.Status.Success));
    const found = await instanceUids(node);
    for (const object of objects) expect(found).toContain(object.SOPInstanceUID);
    const stored = await storedFiles(node.dataDirectory);
    expect(stored).toHaveLength(objects.length);
    expect(stored.every(({ sealed }) => sealed)).toBe(true);
  });
});
