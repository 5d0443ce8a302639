import type { association } from 'dcmjs-dimse';
import { Client, constants, log, requests, responses, Scp, Server } from 'dcmjs-dimse';
import { fixtures, part10, TS, UID_ROOT, type SentObject } from '../support/data-sets';
import { removeFolder, startNode, type NodeProcess } from '../support/node-process';
import { caller, destination, newStudy, remotesConfig, store } from '../support/retrieve-kit';
import { metaText, parsePart10, storedDataSet } from '../support/stored-files';
import { describeInterop, freePort, startOrthanc, type OrthancPeer } from '../support/tools';

log.setLevel('silent');

const { Status } = constants;

describe('dcmjs-dimse', () => {
  let node: NodeProcess;
  let server: Server;
  const taken: string[] = [];
  const made = newStudy(5, { size: 16 });

  /** A storage SCP by other people. */
  class StorageScp extends Scp {
    override associationRequested(proposed: InstanceType<typeof association.Association>): void {
      for (const { id } of proposed.getPresentationContexts()) {
        const context = proposed.getPresentationContext(id);
        for (const syntax of context.getTransferSyntaxUids())
          if (syntax === TS.explicit) context.setResult(constants.PresentationContextResult.Accept, syntax);
      }
      this.sendAssociationAccept();
    }

    override cStoreRequest(
      request: InstanceType<typeof requests.CStoreRequest>,
      callback: (response: InstanceType<typeof responses.CStoreResponse>) => void,
    ): void {
      taken.push(request.getAffectedSopInstanceUid());
      const response = responses.CStoreResponse.fromRequest(request);
      response.setStatus(Status.Success);
      callback(response);
    }

    override associationReleaseRequested(): void {
      this.sendAssociationReleaseResponse();
    }
  }

  beforeAll(async () => {
    const port = await freePort();
    server = new Server(StorageScp);
    server.listen(port);
    node = await startNode({ config: remotesConfig({ dimse: destination('DIMSE', { port }) }) });
    await store(node.port, made.objects);
  });

  afterAll(async () => {
    await node.stop();
    server.close();
    await removeFolder(node.folder);
  });

  type Retrieve = InstanceType<typeof requests.CGetRequest> | InstanceType<typeof requests.CMoveRequest>;

  /** Its last status, and what came by C-STORE on the same association. */
  function ask(request: Retrieve): Promise<{ status: number; completed: number; received: string[] }> {
    return new Promise((resolve, reject) => {
      const received: string[] = [];
      let last = { status: -1, completed: -1 };
      const client = new Client();
      request.on('response', (response: InstanceType<typeof responses.CGetResponse>) => {
        last = { status: response.getStatus(), completed: response.getCompleted() };
      });
      client.on(
        'cStoreRequest',
        (
          sent: InstanceType<typeof requests.CStoreRequest>,
          callback: (response: InstanceType<typeof responses.CStoreResponse>) => void,
        ) => {
          received.push(sent.getAffectedSopInstanceUid());
          const response = responses.CStoreResponse.fromRequest(sent);
          response.setStatus(Status.Success);
          callback(response);
        },
      );
      client.addRequest(request);
      client.on('networkError', reject);
      client.on('closed', () => resolve({ ...last, received }));
      client.send('127.0.0.1', node.port, 'TESTER', 'NODE');
    });
  }

  const uids = made.objects.map(({ SOPInstanceUID }) => SOPInstanceUID);

  it("gets a study over its client's own association", async () => {
    const { status, completed, received } = await ask(requests.CGetRequest.createStudyGetRequest(made.uid));
    expect([status, completed]).toEqual([Status.Success, 5]);
    expect(received).toEqual(uids);
  });

  it('moves one to its server', async () => {
    const { status, completed } = await ask(requests.CMoveRequest.createStudyMoveRequest('DIMSE', made.uid));
    expect([status, completed]).toEqual([Status.Success, 5]);
    expect([...taken].sort()).toEqual([...uids].sort());
  });

  it('is told of a destination that nobody knows', async () => {
    const { status } = await ask(requests.CMoveRequest.createStudyMoveRequest('NOBODY', made.uid));
    expect(status).toBe(0xa801);
  });
});

describeInterop(['orthanc'], 'Orthanc as source and as destination', () => {
  let node: NodeProcess;
  let orthanc: OrthancPeer;
  const studies = fixtures(20, true);
  const objects: SentObject[] = [...studies['S1']!, ...studies['S8']!];

  beforeAll(async () => {
    const port = await freePort();
    orthanc = await startOrthanc(port);
    node = await startNode({
      config: {
        ...remotesConfig({ orthanc: caller('ORTHANC', { port: orthanc.dicomPort }) }),
        listen: { host: '127.0.0.1', port },
      },
    });
  }, 40_000);

  afterAll(async () => {
    await orthanc.stop();
    await node.stop();
    await removeFolder(node.folder);
  });

  it('stores into the node, and asks it to move everything back', async () => {
    const ids: string[] = [];
    for (const object of objects)
      ids.push((JSON.parse(await orthanc.rest('POST', '/instances', part10(object))) as { ID: string }).ID);
    await orthanc.rest(
      'POST',
      '/modalities/node/store',
      JSON.stringify({ Resources: ids, Synchronous: true }),
    );
    for (const id of ids) await orthanc.rest('DELETE', `/instances/${id}`);
    expect(JSON.parse(await orthanc.rest('GET', '/instances'))).toEqual([]);

    const query = JSON.parse(
      await orthanc.rest(
        'POST',
        '/modalities/node/query',
        JSON.stringify({ Level: 'Study', Query: { StudyInstanceUID: `${UID_ROOT}.1\\${UID_ROOT}.8` } }),
      ),
    ) as { Path: string };
    await orthanc.rest(
      'POST',
      `${query.Path}/retrieve`,
      JSON.stringify({ TargetAet: 'ORTHANC', Synchronous: true }),
    );

    const held = JSON.parse(await orthanc.rest('GET', '/instances')) as string[];
    expect(held.sort()).toEqual([...ids].sort());
    const differing: string[] = [];
    for (const id of held) {
      const file = await orthanc.file(id);
      const parsed = parsePart10(file)!;
      const kept = await storedDataSet(node.dataDirectory, metaText(parsed, 0x00020003)!);
      if (!file.subarray(parsed.dataSetOffset).equals(kept)) differing.push(id);
    }
    expect(differing).toEqual([]);
  }, 40_000);
});
