import fsp from 'node:fs/promises';
import path from 'node:path';
import { Asker, reported } from '../support/commitment-peer';
import { imageObject, part10, SOP, UID_ROOT, type SentObject } from '../support/data-sets';
import { PlainScu } from '../support/ledger-scu';
import { makeFolder, removeFolder, startNode, type NodeProcess } from '../support/node-process';
import { RawAcceptor } from '../support/raw-peer';
import { describeInterop, freePort, startOrthanc, type OrthancPeer } from '../support/tools';

let serial = 0;
function series(count: number): SentObject[] {
  serial += 1;
  return Array.from({ length: count }, (_, index) =>
    imageObject({
      StudyInstanceUID: `${UID_ROOT}.89.${serial}`,
      SeriesInstanceUID: `${UID_ROOT}.89.${serial}.1`,
      SOPInstanceUID: `${UID_ROOT}.89.${serial}.1.${index}`,
    }),
  );
}

async function writeFiles(folder: string, objects: readonly SentObject[]): Promise<string> {
  const made = await fsp.mkdtemp(path.join(folder, 'files-'));
  for (const object of objects)
    await fsp.writeFile(path.join(made, `${object.SOPInstanceUID}.dcm`), part10(object));
  return made;
}

const SHORT = { association: '2s', idle: '30s', response: '30s', writeStall: '10s', commit: '500ms' };

interface OrthancReport {
  readonly Status: 'Pending' | 'Success' | 'Failure';
  readonly Success?: readonly { SOPClassUID: string; SOPInstanceUID: string }[];
  readonly Failures?: readonly { SOPInstanceUID: string; FailureReason: number }[];
}

describeInterop(['orthanc'], 'Orthanc and storage commitment', () => {
  let node: NodeProcess;
  let orthanc: OrthancPeer;
  let folder: string;

  beforeAll(async () => {
    folder = await makeFolder();
    // Each has to know the other's port.
    const nodePort = await freePort();
    orthanc = await startOrthanc(nodePort);
    const allow = ['echo', 'store', 'commit'];
    node = await startNode({
      config: {
        listen: { host: '127.0.0.1', port: nodePort },
        remotes: {
          orthanc: { aeTitle: 'ORTHANC', host: '127.0.0.1', port: orthanc.dicomPort, allow },
        },
        timeouts: SHORT,
      },
    });
  }, 40_000);

  afterAll(async () => {
    await orthanc.stop();
    await node.stop();
    await removeFolder(node.folder);
    await removeFolder(folder);
  });

  async function report(id: string): Promise<OrthancReport> {
    for (const until = Date.now() + 15_000; ;) {
      const text = await orthanc.rest('GET', `/storage-commitment/${id}`);
      const answer = JSON.parse(text) as OrthancReport;
      if (answer.Status !== 'Pending') return answer;
      if (Date.now() > until) throw new Error('Orthanc heard nothing');
    }
  }

  it('is told that the node holds what it has sent', async () => {
    const objects = series(5);
    const ids: string[] = [];
    for (const object of objects)
      ids.push((JSON.parse(await orthanc.rest('POST', '/instances', part10(object))) as { ID: string }).ID);
    // Orthanc sends, and asks on its own word.
    const sent = JSON.parse(
      await orthanc.rest(
        'POST',
        '/modalities/node/store',
        JSON.stringify({ Resources: ids, Synchronous: true, StorageCommitment: true }),
      ),
    ) as { StorageCommitmentTransactionUID?: string };
    expect(sent.StorageCommitmentTransactionUID).toBeDefined();
    const answer = await report(sent.StorageCommitmentTransactionUID!);
    expect(answer.Status).toBe('Success');
    expect(answer.Success!.map(({ SOPInstanceUID }) => SOPInstanceUID).sort()).toEqual(
      objects.map(({ SOPInstanceUID }) => SOPInstanceUID).sort(),
    );
  }, 40_000);

  it('is told which instances the node does not hold', async () => {
    const [held] = series(1);
    const scu = await PlainScu.open(node.port, [held!], { calling: 'ORTHANC' });
    expect((await scu.store(held!)).status).toBe(0);
    await scu.release();
    const asked = JSON.parse(
      await orthanc.rest(
        'POST',
        '/modalities/node/storage-commitment',
        JSON.stringify({
          DicomInstances: [
            { SOPClassUID: held!.SOPClassUID, SOPInstanceUID: held!.SOPInstanceUID },
            { SOPClassUID: SOP.mr, SOPInstanceUID: `${UID_ROOT}.89.404` },
          ],
        }),
      ),
    ) as { ID: string };
    const answer = await report(asked.ID);
    expect(answer.Status).toBe('Failure');
    expect(answer.Success!.map(({ SOPInstanceUID }) => SOPInstanceUID)).toEqual([held!.SOPInstanceUID]);
    expect(answer.Failures).toMatchObject([{ SOPInstanceUID: `${UID_ROOT}.89.404`, FailureReason: 0x0112 }]);
  }, 40_000);

  it('tells the command that it holds what was sent, by way of the node that it calls back', async () => {
    const objects = series(3);
    const result = await node.cli(['send', 'orthanc', await writeFiles(folder, objects), '--commit']);
    expect([result.code, result.stdout, result.stderr]).toEqual([
      0,
      '3 sent, 0 with a warning, 0 failed, 0 skipped\n3 committed, 0 not committed, 0 without an answer\n',
      '',
    ]);
  }, 40_000);
});

describe('two nodes', () => {
  let archive: NodeProcess;
  let sender: NodeProcess;
  let folder: string;

  beforeAll(async () => {
    folder = await makeFolder();
    const [archivePort, senderPort] = [await freePort(), await freePort()];
    const allow = ['echo', 'store', 'commit'];
    archive = await startNode({
      config: {
        aeTitles: ['ARCHIVE'],
        listen: { host: '127.0.0.1', port: archivePort },
        remotes: {
          sender: { aeTitle: 'SENDER', host: '127.0.0.1', port: senderPort, allow },
          other: { aeTitle: 'OTHER', host: '127.0.0.1', allow },
          stores: { aeTitle: 'STORES', host: '127.0.0.1', allow: ['store'] },
        },
        timeouts: SHORT,
      },
    });
    sender = await startNode({
      config: {
        aeTitles: ['SENDER'],
        listen: { host: '127.0.0.1', port: senderPort },
        remotes: {
          archive: { aeTitle: 'ARCHIVE', host: '127.0.0.1', port: archivePort, allow: ['commit'] },
          modality: { aeTitle: 'MODALITY', host: '127.0.0.1', allow: ['store'] },
        },
      },
    });
  }, 40_000);

  afterAll(async () => {
    await Promise.all([archive.stop(), sender.stop()]);
    for (const one of [archive.folder, sender.folder, folder]) await removeFolder(one);
  });

  it('report to the node, which hands the report to the command', async () => {
    const result = await sender.cli(['send', 'archive', await writeFiles(folder, series(3)), '--commit']);
    expect([result.code, result.stdout, result.stderr]).toEqual([
      0,
      expect.stringContaining('3 committed, 0 not committed, 0 without an answer\n'),
      '',
    ]);
  });

  it('report on the association of the command to whom they can not call', async () => {
    const files = await writeFiles(folder, series(3));
    const result = await sender.cli(['send', 'archive', files, '--commit', '--aet', 'OTHER']);
    expect([result.code, result.stdout, result.stderr]).toEqual([
      0,
      expect.stringContaining('3 committed, 0 not committed, 0 without an answer\n'),
      '',
    ]);
  });

  it('send what is stored and ask for it', async () => {
    const objects = series(2);
    const scu = await PlainScu.open(sender.port, objects, { calling: 'MODALITY', called: 'SENDER' });
    for (const object of objects) expect((await scu.store(object)).status).toBe(0);
    await scu.release();
    const study = `${UID_ROOT}.89.${serial}`;
    const result = await sender.cli(['send', 'archive', '--study', study, '--commit', '--json']);
    expect(result.code).toBe(0);
    expect(JSON.parse(result.stdout.trim().split('\n').at(-1)!)).toEqual({
      commitment: { committed: 2, failed: 0, unanswered: 0 },
    });
  });

  it('say why a peer that may not ask gets no answer', async () => {
    const files = await writeFiles(folder, series(1));
    const result = await sender.cli(['send', 'archive', files, '--commit', '--aet', 'STORES']);
    expect([result.code, result.stdout]).toEqual([
      3,
      expect.stringContaining('0 committed, 0 not committed, 1 without an answer\n'),
    ]);
    expect(result.stderr).toContain('the peer refused the request: 0124 (Not authorized)');
  });

  it('refuse reports of transactions that nobody waits for', async () => {
    const acceptor = await RawAcceptor.listen();
    await acceptor.close();
    // Somebody asks under the title of the other node: its report comes to a node that knows nothing of it.
    const [one] = series(1);
    const store = await PlainScu.open(archive.port, [one!], { calling: 'SENDER', called: 'ARCHIVE' });
    expect((await store.store(one!)).status).toBe(0);
    await store.release();
    const asker = await Asker.open(archive.port, { calling: 'SENDER', called: 'ARCHIVE' });
    const { SOPClassUID, SOPInstanceUID } = one!;
    expect(
      (await asker.ask({ transaction: `${UID_ROOT}.5`, references: [{ SOPClassUID, SOPInstanceUID }] }))
        .status,
    ).toBe(0);
    await asker.release();
    await sender.logged(/No commitment is awaited under this Transaction UID/);
    const jobs = await archive.cli(['jobs', 'list', '--json']);
    expect(jobs.stdout).toMatch(/answered 0110|"running"/);
  });
});

describe('twenty thousand references', () => {
  it('are taken, verified and reported', async () => {
    const acceptor = await RawAcceptor.listen();
    const allow = ['echo', 'store', 'commit'];
    const node = await startNode({
      config: {
        remotes: { modality: { aeTitle: 'MODALITY', host: '127.0.0.1', port: acceptor.port, allow } },
        timeouts: SHORT,
      },
    });
    try {
      const references = Array.from({ length: 20_000 }, (_, index) => ({
        SOPClassUID: SOP.ct,
        SOPInstanceUID: `${UID_ROOT}.89.20000.${index}`,
      }));
      const asker = await Asker.open(node.port);
      expect((await asker.ask({ references })).status).toBe(0);
      expect(
        (await asker.ask({ transaction: '2.25.3', references: [...references, ...references.slice(1)] }))
          .status,
      ).toBe(0x0213);
      await asker.release();
      const report = await reported(acceptor);
      expect(report).toMatchObject({ eventType: 2, committed: [] });
      expect(report.failed).toHaveLength(20_000);
    } finally {
      await node.stop();
      await acceptor.close();
      await removeFolder(node.folder);
    }
  }, 40_000);
});
