import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { ZipWriter } from '../../src/services/zip';
import { makeFolder, removeFolder } from '../support/node-process';

let folder: string;
let serial = 0;

beforeAll(async () => {
  folder = await makeFolder();
});
afterAll(() => removeFolder(folder));

const fresh = (): string => path.join(folder, `${++serial}.zip`);

/** Reads by the local headers alone, as a reader of a stream has to. */
function readStream(bytes: Buffer): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (let at = 0; bytes.readUInt32LE(at) === 0x04034b50;) {
    expect(bytes.readUInt16LE(at + 8)).toBe(0);
    const size = bytes.readUInt32LE(at + 22);
    const [nameLength, extraLength] = [bytes.readUInt16LE(at + 26), bytes.readUInt16LE(at + 28)];
    const start = at + 30 + nameLength + extraLength;
    const content = bytes.subarray(start, start + size);
    expect(bytes.readUInt32LE(at + 14)).toBe(crc32(content));
    found.set(bytes.toString('utf8', at + 30, at + 30 + nameLength), content);
    at = start + size;
  }
  return found;
}

/** What Python's zipfile makes of it: names, sizes, and whether all checksums are right. */
function readByPython(file: string): { names: string[]; sizes: number[]; bad: string | null } {
  const script =
    'import sys,json,zipfile; z=zipfile.ZipFile(sys.argv[1]); ' +
    'print(json.dumps({"names": z.namelist(), "sizes": [i.file_size for i in z.infolist()], "bad": z.testzip()}))';
  return JSON.parse(
    execFileSync('/usr/bin/python3', ['-c', script, file], { maxBuffer: 1 << 26 }).toString(),
  ) as ReturnType<typeof readByPython>;
}

const hasPython = fs.existsSync('/usr/bin/python3');

it('holds files as they are, for readers of streams and of the directory', async () => {
  const file = fresh();
  const zip = await ZipWriter.create(file);
  await zip.add('DICOMDIR', 5, [Buffer.from('he'), Buffer.from('llo')]);
  await zip.add('A/Ü.dcm', 0, []);
  await zip.add(
    'A/B',
    3,
    (async function* () {
      yield Buffer.from('abc');
    })(),
  );
  expect(fs.existsSync(file)).toBe(false);
  await zip.commit({ replace: false });
  const entries = readStream(await fsp.readFile(file));
  expect([...entries].map(([name, content]) => [name, content.toString()])).toEqual([
    ['DICOMDIR', 'hello'],
    ['A/Ü.dcm', ''],
    ['A/B', 'abc'],
  ]);
  if (hasPython)
    expect(readByPython(file)).toEqual({
      names: ['DICOMDIR', 'A/Ü.dcm', 'A/B'],
      sizes: [5, 0, 3],
      bad: null,
    });
  expect((await fsp.readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([]);
});

it('takes back an entry whose bytes can not be had to the end', async () => {
  const file = fresh();
  const zip = await ZipWriter.create(file);
  await zip.add('first', 1, [Buffer.from('1')]);
  const broken = async function* () {
    yield Buffer.alloc(100, 1);
    throw new Error('damaged');
  };
  await expect(zip.add('broken', 200, broken())).rejects.toThrow('damaged');
  await expect(zip.add('short', 200, [Buffer.alloc(100)])).rejects.toMatchObject({ code: 'FILE_CHANGED' });
  await zip.add('last', 1, [Buffer.from('2')]);
  await zip.commit({ replace: false });
  expect([...readStream(await fsp.readFile(file)).keys()]).toEqual(['first', 'last']);
});

it('does not replace a file unless it is told to, and leaves nothing when it is given up', async () => {
  const file = fresh();
  await fsp.writeFile(file, 'mine');
  const zip = await ZipWriter.create(file);
  await expect(zip.commit({ replace: false })).rejects.toMatchObject({ code: 'FILE_EXISTS' });
  await zip.discard();
  expect(await fsp.readFile(file, 'latin1')).toBe('mine');
  const other = await ZipWriter.create(file);
  await other.commit({ replace: true });
  expect((await fsp.readFile(file)).length).toBe(22);
  expect((await fsp.readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([]);
});

it('says where nothing can be written', async () => {
  await expect(ZipWriter.create(path.join(folder, 'no', 'where.zip'))).rejects.toMatchObject({
    code: 'FILE_UNWRITABLE',
  });
});

(hasPython ? it : it.skip)(
  'takes the Zip64 fields for more than 65535 files',
  async () => {
    const file = fresh();
    const zip = await ZipWriter.create(file);
    const count = 65_540;
    for (let at = 0; at < count; at++) await zip.add(String(at), 0, []);
    await zip.commit({ replace: false });
    const { names, bad } = readByPython(file);
    expect(names).toHaveLength(count);
    expect(names.at(-1)).toBe(String(count - 1));
    expect(bad).toBeNull();
  },
  60_000,
);
