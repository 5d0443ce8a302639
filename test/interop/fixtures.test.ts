import fsp from 'node:fs/promises';
import path from 'node:path';
import { FIXTURE_NAMES, fixtures, imageObject, part10, TS } from '../support/data-sets';
import { parsePart10 } from '../support/stored-files';
import { makeFolder, removeFolder } from '../support/node-process';
import { describeInterop, pydicom, pydicomFiles, run } from '../support/tools';

/** The yardstick itself: what the byte builder makes is what DCMTK and pydicom read. */
describeInterop(['dcmtk', 'pydicom'], 'fixtures of the byte builder', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await makeFolder();
  });
  afterAll(() => removeFolder(folder));

  const write = async (name: string, bytes: Buffer): Promise<string> => {
    const file = path.join(folder, name);
    await fsp.writeFile(file, bytes);
    return file;
  };

  it('are the studies S1 to S8 to pydicom and to DCMTK', async () => {
    const objects = Object.values(fixtures(2)).flat();
    const files = await Promise.all(
      objects.map((object) => write(`${object.SOPInstanceUID}.dcm`, part10(object))),
    );
    const headers = await pydicom.headers(files);
    expect(
      headers.map(({ SOPInstanceUID, StudyInstanceUID, transferSyntax, PatientName }) => [
        SOPInstanceUID,
        StudyInstanceUID,
        transferSyntax,
        PatientName,
      ]),
    ).toEqual(
      objects.map((object, index) => [
        object.SOPInstanceUID,
        object.StudyInstanceUID,
        object.transferSyntax,
        FIXTURE_NAMES[headers[index]!.PatientID!],
      ]),
    );
    const judged = await run('dcmftest', files);
    expect(judged.output.match(/^yes/gm)).toHaveLength(files.length);
  });

  it.each(['implicit', 'explicit', 'big', 'deflated'] as const)(
    'are readable in the syntax %s',
    async (name) => {
      const file = await write(`${name}.dcm`, part10(imageObject({ PatientName: 'A^B' }, TS[name])));
      const dump = await run('dcmdump', ['-q', file]);
      expect(dump.output).toContain('PN [A^B]');
      expect(dump.output).toMatch(/\(7fe0,0010\) OW/);
      expect((await pydicom.headers([file]))[0]).toMatchObject({
        PatientName: 'A^B',
        implicit: name === 'implicit',
        littleEndian: name !== 'big',
      });
    },
  );

  it('parses the file meta group of every sample as pydicom does', async () => {
    const files = await pydicomFiles();
    const offsets = await pydicom.offsets(files);
    const own = await Promise.all(
      files.map(async (file) => parsePart10(await fsp.readFile(file))?.dataSetOffset ?? 0),
    );
    const differing = files.filter((_, index) => own[index] !== offsets[index]);
    expect(differing).toEqual([]);
    expect(files.length).toBeGreaterThan(80);
  });
});
