import path from 'node:path';
import { PlainScu } from '../support/ledger-scu';
import { removeFolder, startNode, type NodeProcess } from '../support/node-process';
import { samples, type Sample } from '../support/pydicom-samples';
import { destination, remotesConfig, summary, caller } from '../support/retrieve-kit';
import { RetrieveCaller, type Incoming } from '../support/retrieve-scu';
import { StorePeer } from '../support/store-peer';
import { describeInterop } from '../support/tools';

describeInterop(['pydicom'], "pydicom's samples, retrieved", () => {
  let node: NodeProcess;
  let dest: StorePeer;
  let all: Sample[];

  beforeAll(async () => {
    [dest, all] = await Promise.all([StorePeer.start(), samples()]);
    node = await startNode({
      config: remotesConfig({
        replacing: caller('REPLACING', { duplicates: 'replace' }),
        dest: destination('DEST', dest),
      }),
    });
  });

  afterAll(async () => {
    await node.stop();
    await Promise.all([dest.close(), removeFolder(node.folder)]);
  });

  it('come back byte for byte, in the syntax in which they were sent, by C-GET and by C-MOVE', async () => {
    const wrong: string[] = [];
    const held = new Map<string, string[]>();
    let [exact, earlier] = [0, 0];
    const bytesOf = ({ transferSyntax, dataSet }: Pick<Incoming, 'transferSyntax' | 'dataSet'>): string =>
      `${transferSyntax} ${dataSet.toString('latin1')}`;
    for (const { file, object } of all.filter(({ complete }) => complete)) {
      const { SOPInstanceUID, SOPClassUID, transferSyntax } = object;
      const scu = await PlainScu.open(node.port, [object], { calling: 'REPLACING' });
      expect((await scu.store(object)).status).toBe(0);
      await scu.release();
      // Several samples are one instance: what was there in another uncompressed syntax already stays as it came first.
      const known = [...(held.get(SOPInstanceUID) ?? []), bytesOf(object)];
      held.set(SOPInstanceUID, known);
      const syntaxes = new Set([transferSyntax, ...known.map((text) => text.slice(0, text.indexOf(' ')))]);
      const tester = await RetrieveCaller.open({
        port: node.port,
        storage: [...syntaxes].map((syntax) => [SOPClassUID, syntax] as const),
      });
      const keys = { QueryRetrieveLevel: 'IMAGE', SOPInstanceUID };
      const got = await tester.retrieve('C-GET', keys);
      dest.reset();
      const moved = await tester.retrieve('C-MOVE', keys);
      await tester.release();
      const [one, other] = [tester.received[0], dest.received[0]];
      const name = path.basename(file);
      if (summary(got) !== '0000 1/0/0' || one === undefined) wrong.push(`${name}: C-GET ${summary(got)}`);
      else if (summary(moved) !== '0000 1/0/0' || other === undefined)
        wrong.push(`${name}: C-MOVE ${summary(moved)}`);
      else if (bytesOf(one) !== bytesOf(other)) wrong.push(`${name}: C-GET and C-MOVE differ`);
      else if (bytesOf(one) === bytesOf(object)) exact++;
      else if (known.includes(bytesOf(one))) earlier++;
      else wrong.push(`${name}: other bytes`);
    }
    expect(wrong).toEqual([]);
    expect(exact + earlier).toBeGreaterThan(70);
    expect(earlier).toBeLessThan(8);
  }, 60_000);
});
