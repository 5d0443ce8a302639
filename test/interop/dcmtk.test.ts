import fsp from 'node:fs/promises';
import path from 'node:path';
import { instanceUids } from '../support/catalog-view';
import { imageObject, part10, SOP, TS, UID_ROOT } from '../support/data-sets';
import { goodObject } from '../support/hostile-data-sets';
import { Ledger, PlainScu, storm } from '../support/ledger-scu';
import { makeFolder, removeFolder, startNode } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import { storedFiles } from '../support/stored-files';
import { dcmtk, describeInterop, must, pydicom, PYDICOM_DATA, run, statusesOf } from '../support/tools';

const SAMPLES = path.join(PYDICOM_DATA, 'test_files');

describeInterop(['dcmtk', 'pydicom'], 'DCMTK', () => {
  let node: NodeProcess;
  let folder: string;

  beforeAll(async () => {
    folder = await makeFolder();
    node = await startNode();
  });

  afterAll(async () => {
    const { code } = await node.stop();
    await removeFolder(node.folder);
    await removeFolder(folder);
    expect(code).toBe(0);
  });

  describe('echoscu', () => {
    it('T01: gets 0000, once and a hundred times', async () => {
      const once = await dcmtk.echoscu(node.port);
      expect([once.code, statusesOf(once.output)]).toEqual([0, [0]]);
      const often = await dcmtk.echoscu(node.port, ['--repeat', '100']);
      expect([often.code, statusesOf(often.output).length]).toEqual([0, 100]);
      expect(new Set(statusesOf(often.output))).toEqual(new Set([0]));
    });

    it('T02: is told that the called title is unknown', async () => {
      const { code, output } = await dcmtk.echoscu(node.port, ['-aec', 'WRONG']);
      expect(code).not.toBe(0);
      expect(output).toMatch(/Rejected Permanent.*Service User/s);
      expect(output).toMatch(/Called AE Title Not Recognized/);
    });

    it('T03: is told that its own title is unknown', async () => {
      const { code, output } = await dcmtk.echoscu(node.port, ['-aet', 'STRANGER']);
      expect(code).not.toBe(0);
      expect(output).toMatch(/Calling AE Title Not Recognized/);
    });

    it('T07: gets 128 contexts of 38 syntaxes accepted, one syntax each', async () => {
      const { code, output } = await dcmtk.echoscu(node.port, ['-ppc', '128', '-pts', '38']);
      expect([code, statusesOf(output)]).toEqual([0, [0]]);
      const answer = output.slice(output.lastIndexOf('BEGIN A-ASSOCIATE-AC'));
      expect(answer.match(/\(Accepted\)/g)).toHaveLength(128);
      expect(answer.match(/Accepted Transfer Syntax: =/g)).toHaveLength(128);
    });

    it('T27: aborts 500 times and leaves no descriptor behind', async () => {
      await dcmtk.echoscu(node.port);
      const before = node.fds();
      for (let batch = 0; batch < 125; batch += 1) {
        const runs = await Promise.all(
          Array.from({ length: 4 }, () =>
            run('echoscu', ['--abort', '-aet', 'TESTER', '-aec', 'NODE', '127.0.0.1', String(node.port)]),
          ),
        );
        expect(runs.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
      }
      const after = await dcmtk.echoscu(node.port);
      expect(statusesOf(after.output)).toEqual([0]);
      const until = Date.now() + 3000;
      while (node.fds() > before && Date.now() < until) await new Promise((resolve) => setImmediate(resolve));
      expect(node.fds()).toBeLessThanOrEqual(before);
    }, 60_000);
  });

  /** A file in one syntax, how it is made, and the option that makes storescu propose it. */
  const SYNTAXES: readonly {
    readonly option: string;
    readonly syntax: string;
    readonly make: (file: string) => Promise<unknown>;
  }[] = [
    ...(
      [
        ['-xe', TS.explicit, 'dcmconv', ['+te'], 'CT_small.dcm'],
        ['-xi', TS.implicit, 'dcmconv', ['+ti'], 'CT_small.dcm'],
        ['-xb', TS.big, 'dcmconv', ['+tb'], 'CT_small.dcm'],
        ['-xd', TS.deflated, 'dcmconv', ['+td'], 'CT_small.dcm'],
        ['-xs', TS.jpegLossless, 'dcmcjpeg', ['+e1'], 'CT_small.dcm'],
        ['-xr', TS.rle, 'dcmcrle', [], 'CT_small.dcm'],
        ['-xt', TS.jpegLs, 'dcmcjpls', ['+el'], 'CT_small.dcm'],
        ['-xx', '1.2.840.10008.1.2.4.51', 'dcmcjpeg', ['+ee'], 'CT_small.dcm'],
        ['-xy', TS.jpegBaseline, 'dcmcjpeg', ['+eb'], 'SC_ybr_full_422_uncompressed.dcm'],
        ['-xv', TS.j2kLossless, 'dcmconv', [], 'MR_small_jp2klossless.dcm'],
        ['-xw', '1.2.840.10008.1.2.4.91', 'dcmconv', [], 'JPEG2000.dcm'],
      ] as const
    ).map(([option, syntax, program, args, sample]) => ({
      option,
      syntax,
      make: (file: string) => must(program, [...args, path.join(SAMPLES, sample), file]),
    })),
    {
      option: '-xu',
      syntax: '1.2.840.10008.1.2.4.81',
      make: async (file: string) => {
        // The near-lossless encoder takes unsigned pixels only.
        await fsp.writeFile(`${file}.raw`, part10(goodObject({ size: 64 })));
        await must('dcmcjpls', ['+en', `${file}.raw`, file]);
      },
    },
    ...(
      [
        ['-xm', '1.2.840.10008.1.2.4.100'],
        ['-xh', '1.2.840.10008.1.2.4.101'],
        ['-xn', '1.2.840.10008.1.2.4.102'],
        ['-xl', '1.2.840.10008.1.2.4.103'],
        ['-x2', '1.2.840.10008.1.2.4.104'],
        ['-x3', '1.2.840.10008.1.2.4.105'],
        ['-xo', '1.2.840.10008.1.2.4.106'],
        ['-x4', '1.2.840.10008.1.2.4.107'],
        ['-x5', '1.2.840.10008.1.2.4.108'],
      ] as const
    ).map(([option, syntax]) => ({
      option,
      syntax,
      // Nobody looks into the stream: neither DCMTK when it sends nor the node when it stores.
      make: (file: string) => fsp.writeFile(file, part10(goodObject({ SOPClassUID: SOP.us }, syntax))),
    })),
  ];

  /** The file with an instance UID of its own. */
  async function sample(index: number): Promise<{ file: string; uid: string }> {
    const { make, syntax } = SYNTAXES[index]!;
    const file = path.join(folder, `${syntax}.dcm`);
    const uid = `${UID_ROOT}.64.${index + 1}`;
    await make(file);
    await must('dcmodify', ['-nb', '-m', `(0008,0018)=${uid}`, file]);
    return { file, uid };
  }

  async function keptAsSent(uid: string, file: string, syntax: string): Promise<void> {
    const stored = (await storedFiles(node.dataDirectory)).filter(
      ({ SOPInstanceUID }) => SOPInstanceUID === uid,
    );
    expect(stored.map(({ transferSyntax, sealed }) => [transferSyntax, sealed])).toEqual([[syntax, true]]);
    const [kept, sent] = await pydicom.pixels([stored[0]!.path, file]);
    expect(kept).toMatch(/^[0-9a-f]{64}$/);
    expect(kept).toBe(sent);
  }

  it.each(SYNTAXES.map(({ option, syntax }, index) => [option, syntax, index] as const))(
    'T64: storescu %s has its %s kept, pixels as they are',
    async (option, syntax, index) => {
      const { file, uid } = await sample(index);
      const { code, output } = await dcmtk.storescu(node.port, [file], [option]);
      expect([code, statusesOf(output)]).toEqual([0, [0]]);
      await keptAsSent(uid, file, syntax);
    },
  );

  it('T64: dcmsend has every syntax kept that it sends', async () => {
    const other = await startNode();
    try {
      const files = await Promise.all(
        SYNTAXES.map(async ({ make, syntax }, index) => {
          const file = path.join(folder, `dcmsend-${syntax}.dcm`);
          const uid = `${UID_ROOT}.65.${index + 1}`;
          await make(file);
          await must('dcmodify', ['-nb', '-m', `(0008,0018)=${uid}`, file]);
          return { file, uid, syntax };
        }),
      );
      const report = path.join(folder, 'report.txt');
      const { code, output } = await dcmtk.dcmsend(
        other.port,
        files.map(({ file }) => file),
        ['-dn', '+crf', report],
      );
      expect(code).toBe(0);
      expect(statusesOf(output).filter((status) => status === 0).length).toBeGreaterThanOrEqual(files.length);
      expect(await fsp.readFile(report, 'latin1')).toMatch(/with status SUCCESS\s*: 21/);
      const stored = await storedFiles(other.dataDirectory);
      expect(
        stored.map(({ SOPInstanceUID, transferSyntax }) => [SOPInstanceUID, transferSyntax]).sort(),
      ).toEqual(
        files
          // It offers the uncompressed syntaxes in one context, this one first, and converts to what is accepted.
          .map(({ uid, syntax }) => [uid, syntax === TS.implicit || syntax === TS.big ? TS.explicit : syntax])
          .sort(),
      );
    } finally {
      await other.stop();
      await removeFolder(other.folder);
    }
  }, 40_000);

  it('T63: storescu -R gets 0000, and dcmftest takes the stored file for a DICOM file', async () => {
    const object = goodObject();
    const file = path.join(folder, 'ct.dcm');
    await fsp.writeFile(file, part10(object));
    const { code, output } = await dcmtk.storescu(node.port, [file], ['-R']);
    expect([code, statusesOf(output)]).toEqual([0, [0]]);
    const stored = (await storedFiles(node.dataDirectory)).find(
      ({ SOPInstanceUID }) => SOPInstanceUID === object.SOPInstanceUID,
    );
    const judged = await run('dcmftest', [stored!.path]);
    expect(judged.output).toMatch(/^yes/);
    // DCMTK reads the private seal at the end of the meta group as what it is, and complains of nothing.
    const dump = await run('dcmdump', ['+E', stored!.path]);
    expect([dump.code, dump.stderr]).toEqual([0, '']);
    expect(dump.stdout).toMatch(/\(0002,0016\) AE \[TESTER\]/);
    expect((await pydicom.headers([stored!.path]))[0]).toMatchObject({
      SOPInstanceUID: object.SOPInstanceUID,
    });
  });

  it('T67: storescu sends twice: one instance; then with other pixels: 0111, and -nh goes on', async () => {
    const object = goodObject({ seed: 1 });
    const [file, other, next] = ['same.dcm', 'other.dcm', 'next.dcm'].map((name) => path.join(folder, name));
    await fsp.writeFile(file!, part10(object));
    await fsp.writeFile(other!, part10(imageObject({ ...object, seed: 2 })));
    await fsp.writeFile(next!, part10(goodObject()));
    for (let time = 0; time < 2; time += 1) {
      expect(statusesOf((await dcmtk.storescu(node.port, [file!])).output)).toEqual([0]);
    }
    const { output } = await dcmtk.storescu(node.port, [other!, next!], ['-nh']);
    expect(statusesOf(output)).toEqual([0x0111, 0]);
    expect((await instanceUids(node)).filter((uid) => uid === object.SOPInstanceUID)).toHaveLength(1);
  });

  it('goes on beside eight other associations', async () => {
    const ledger = await Ledger.open(path.join(folder, 'ledger.txt'));
    const load = storm({
      port: node.port,
      ledger,
      next: (association, index) =>
        imageObject({
          StudyInstanceUID: `${UID_ROOT}.66`,
          SeriesInstanceUID: `${UID_ROOT}.66.${association}`,
          SOPInstanceUID: `${UID_ROOT}.66.${association}.${index}`,
          size: 128,
        }),
    });
    const { code, output } = await dcmtk.echoscu(node.port, ['--repeat', '50']);
    load.stop();
    await load.ended;
    const entries = await ledger.read();
    await ledger.close();
    expect([code, statusesOf(output).length]).toEqual([0, 50]);
    expect(new Set(entries.map(({ status }) => status))).toEqual(new Set([0]));
    expect(entries.length).toBeGreaterThan(8);
  });

  it('understands a refusal for want of a right, and its comment', async () => {
    const file = path.join(folder, 'denied.dcm');
    const object = goodObject();
    await fsp.writeFile(file, part10(object));
    const { output } = await dcmtk.storescu(node.port, [file], ['-aet', 'ECHOER']);
    expect(statusesOf(output)).toEqual([0x0124]);
    expect(output).toMatch(/Not ?Authorized/i);
    const scu = await PlainScu.open(node.port, [object]);
    expect((await scu.store(object)).status).toBe(0);
    await scu.release();
  });
});
