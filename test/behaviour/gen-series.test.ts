import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  generateSeries,
  KINDS,
  randomSource,
  randomUid,
  writeSeries,
  type GeneratedInstance,
  type SeriesOptions,
} from '../../scripts/gen-series';

const PYTHON = '/usr/bin/python3';
const hasPydicom = (() => {
  try {
    execFileSync(PYTHON, ['-c', 'import pydicom'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();
const withPydicom = hasPydicom ? it : it.skip;

const all = (options: SeriesOptions): GeneratedInstance[] => [...generateSeries(options)];
const bytesOf = (chunks: Iterable<Buffer>): Buffer => Buffer.concat([...chunks]);

/** Tags and value lengths of an explicit little endian data set without sequences. */
function elements(dataSet: Buffer): { tag: number; vr: string; value: Buffer }[] {
  const found: { tag: number; vr: string; value: Buffer }[] = [];
  for (let at = 0; at < dataSet.length;) {
    const tag = dataSet.readUInt16LE(at) * 65536 + dataSet.readUInt16LE(at + 2);
    const vr = dataSet.toString('latin1', at + 4, at + 6);
    const long = vr === 'OW' || vr === 'OB';
    const length = long ? dataSet.readUInt32LE(at + 8) : dataSet.readUInt16LE(at + 6);
    const start = at + (long ? 12 : 8);
    found.push({ tag, vr, value: dataSet.subarray(start, start + length) });
    expect(start + length).toBeLessThanOrEqual(dataSet.length);
    at = start + length;
  }
  return found;
}

describe('synthetic series', () => {
  it.each(KINDS)('%s: elements ascend, have even lengths and end with the data set', (kind) => {
    const [instance] = all({ kind, bytes: 1024 * 1024 });
    const dataSet = bytesOf(instance!.dataSet());
    expect(dataSet.length).toBe(instance!.dataSetLength);
    const found = elements(dataSet);
    expect(found.every(({ value }) => value.length % 2 === 0)).toBe(true);
    for (let index = 1; index < found.length; index++) {
      expect(found[index]!.tag).toBeGreaterThan(found[index - 1]!.tag);
    }
    expect(found.at(-1)!.tag).toBe(0x7fe00010);
    const text = (tag: number): string => found.find((e) => e.tag === tag)!.value.toString('latin1');
    expect(text(0x00080018).replace(/\0$/, '')).toBe(instance!.SOPInstanceUID);
    expect(text(0x0020000d).replace(/\0$/, '')).toBe(instance!.StudyInstanceUID);
  });

  it.each([
    ['ct', 512 * 512 * 2],
    ['mr', 256 * 256 * 2],
    ['small', 1024],
  ] as const)('%s has %i bytes of pixels', (kind, size) => {
    const found = elements(bytesOf(all({ kind })[0]!.dataSet()));
    expect(found.at(-1)!.value.length).toBe(size);
  });

  it('a small instance is about 2 KB as a file', () => {
    const size = bytesOf(all({ kind: 'small' })[0]!.file()).length;
    expect(size).toBeGreaterThan(1500);
    expect(size).toBeLessThan(2500);
  });

  it('the same seed gives the same bytes, another one other UIDs and pixels', () => {
    const read = (seed: number): Buffer =>
      Buffer.concat(all({ kind: 'small', seed, instances: 3 }).map((i) => bytesOf(i.file())));
    expect(read(7).equals(read(7))).toBe(true);
    expect(read(7).equals(read(8))).toBe(false);
  });

  it('slices of a series have pixels of their own', () => {
    const pixels = all({ kind: 'small', instances: 3 }).map((i) =>
      elements(bytesOf(i.dataSet())).at(-1)!.value.toString('latin1'),
    );
    expect(new Set(pixels).size).toBe(3);
  });

  it('deals instances out over patients, studies and series', () => {
    const made = all({ kind: 'small', instances: 24, patients: 2, studies: 4, series: 3 });
    const count = (of: (i: GeneratedInstance) => string): number => new Set(made.map(of)).size;
    expect(made).toHaveLength(24);
    expect(count((i) => i.SOPInstanceUID)).toBe(24);
    expect(count((i) => i.SeriesInstanceUID)).toBe(12);
    expect(count((i) => i.StudyInstanceUID)).toBe(4);
    expect(count((i) => i.PatientID)).toBe(2);
  });

  it('refuses counts that cannot be dealt out', () => {
    expect(() => all({ kind: 'small', instances: 2, studies: 3 })).toThrow(RangeError);
    expect(() => all({ kind: 'small', instances: 3, studies: 1, patients: 2 })).toThrow(RangeError);
    expect(() => all({ kind: 'small', instances: 0 })).toThrow(RangeError);
    expect(() => all({ kind: 'multiframe', bytes: 2 ** 32 })).toThrow(RangeError);
  });

  it('announces 2 GiB of pixels without holding them', () => {
    const [instance] = all({ kind: 'multiframe', bytes: 2 ** 31 });
    expect(instance!.dataSetLength).toBeGreaterThan(2 ** 31);
    let announced = -1;
    let streamed = 0;
    for (const chunk of instance!.dataSet()) {
      if (announced < 0) announced = chunk.readUInt32LE(chunk.length - 4);
      streamed += chunk.length;
    }
    expect(announced).toBe(2 ** 31);
    expect(streamed).toBe(instance!.dataSetLength);
  });

  it('makes valid UIDs under 2.25 from version 4 UUIDs', () => {
    const random = randomSource(3);
    const uids = Array.from({ length: 1000 }, () => randomUid(random));
    expect(new Set(uids).size).toBe(1000);
    for (const uid of uids) {
      expect(uid).toMatch(/^2\.25\.[1-9][0-9]{0,38}$/);
      const hex = BigInt(uid.slice(5)).toString(16).padStart(32, '0');
      expect(hex).toMatch(/^.{12}4.{3}[89ab].{15}$/);
    }
  });

  withPydicom('pydicom reads every kind in every syntax as it was meant', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'gen-series-'));
    try {
      const expected: Record<string, string[]> = {};
      for (const kind of KINDS) {
        for (const syntax of ['explicit', 'implicit'] as const) {
          const place = path.join(folder, `${kind}-${syntax}`);
          const options = { kind, syntax, instances: 2, studies: 2, bytes: 1024 * 1024 };
          expect(await writeSeries(place, options)).toBe(2);
          expected[`${kind}-${syntax}`] = all(options).map((i) => i.SOPInstanceUID);
        }
      }
      const script = `
import json, pathlib, pydicom, sys
out = {}
for f in sorted(pathlib.Path(sys.argv[1]).glob('*/*/*.dcm')):
    d = pydicom.dcmread(f)
    assert d.file_meta.MediaStorageSOPInstanceUID == d.SOPInstanceUID
    frames = int(d.get('NumberOfFrames', 1))
    assert len(d.PixelData) == d.Rows * d.Columns * 2 * frames, f
    assert d.pixel_array.max() < 4096 and d.pixel_array.std() > 100, f
    out.setdefault(f.parts[-3], []).append(d.SOPInstanceUID)
print(json.dumps(out))`;
      const read: unknown = JSON.parse(
        execFileSync(PYTHON, ['-W', 'error', '-c', script, folder], { encoding: 'utf8' }),
      );
      expect(read).toEqual(expected);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('runs as a script', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'gen-series-'));
    try {
      const script = path.join(__dirname, '../../scripts/gen-series.ts');
      const run = (words: string[]): string =>
        execFileSync(process.execPath, [script, ...words], {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        });
      expect(run([folder, '--kind', 'small', '--instances', '3', '--studies', '3'])).toContain('3 instances');
      expect(readdirSync(folder)).toEqual(['study-0001', 'study-0002', 'study-0003']);
      const file = readFileSync(path.join(folder, 'study-0001', '0000001.dcm'));
      expect(file.equals(bytesOf(all({ kind: 'small', instances: 3, studies: 3 })[0]!.file()))).toBe(true);
      expect(existsSync(path.join(folder, 'study-0003', '0000003.dcm'))).toBe(true);
      expect(() => run([folder, '--kind', 'nothing'])).toThrow();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
