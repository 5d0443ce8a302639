import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { InstanceLocation } from '../../src/catalog/types';
import { identify, openFile } from '../../src/services/dicom-files';
import type { OutgoingInstance } from '../../src/services/outgoing';
import { fileInstance } from '../../src/services/outgoing-files';
import { storedInstance } from '../../src/services/outgoing-store';
import type { FilesystemStore } from '../../src/store/filesystem';
import { part10, SOP, TS } from '../support/data-sets';
import { FakeCalls, openStore, put } from '../store/fake-calls';
import { object } from './kit';

const MiB = 1024 * 1024;
const SMALL = Buffer.alloc(300_000, 'small ');
const LARGE = Buffer.alloc(5 * MiB + 3, 'large ');
/** By name: as arguments of a table they would be printed. */
const CONTENT = {
  empty: Buffer.alloc(0),
  small: SMALL,
  'of 4 MiB': LARGE.subarray(0, 4 * MiB),
  large: LARGE,
};
type Size = keyof typeof CONTENT;

let folder: string;

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isocenter-outgoing-'));
});

afterEach(() => {
  fs.rmSync(folder, { recursive: true, force: true });
});

/** What a reader gets, and how it ends. */
async function read(
  instance: OutgoingInstance,
  allocate?: (length: number) => Buffer,
): Promise<{ bytes: Buffer; error: unknown }> {
  const parts: Buffer[] = [];
  let error: unknown;
  try {
    for await (const part of instance.read(allocate)) parts.push(Buffer.from(part));
  } catch (thrown) {
    error = thrown;
  }
  return { bytes: Buffer.concat(parts), error };
}

describe('a stored instance', () => {
  let store: FilesystemStore;
  let fake: FakeCalls;

  beforeEach(async () => {
    fake = new FakeCalls();
    store = await openStore({ directory: path.join(folder, 'data'), calls: fake.calls });
  });

  afterEach(() => store.close());

  async function stored(content: Buffer, changes: Partial<InstanceLocation> = {}): Promise<InstanceLocation> {
    return {
      ...(await put(store, content)),
      SOPClassUID: SOP.ct,
      SOPInstanceUID: '2.25.1',
      StudyInstanceUID: '2.25.2',
      SeriesInstanceUID: '2.25.3',
      TransferSyntaxUID: TS.explicit,
      state: 'current',
      damaged: undefined,
      ...changes,
    };
  }

  const flip = (location: InstanceLocation, at: number): void => {
    const file = store.pathOf(location.arrivalId);
    const bytes = fs.readFileSync(file);
    bytes[location.dataSetOffset + at]! ^= 1;
    fs.writeFileSync(file, bytes);
  };

  it.each(Object.keys(CONTENT) as Size[])('(%s) comes as it is kept', async (size) => {
    const content = CONTENT[size];
    const location = await stored(content);
    const instance = storedInstance(store, location);
    expect(instance).toMatchObject({
      name: location.arrivalId,
      SOPClassUID: SOP.ct,
      SOPInstanceUID: '2.25.1',
      TransferSyntaxUID: TS.explicit,
      dataSetLength: content.length,
    });
    for (let times = 0; times < 2; times++) {
      const { bytes, error } = await read(instance);
      expect(error).toBeUndefined();
      expect(bytes.equals(content)).toBe(true);
    }
  });

  it('that once was called damaged comes all the same where its bytes are right', async () => {
    const instance = storedInstance(store, await stored(SMALL, { damaged: 'it was not there' }));
    expect((await read(instance)).bytes.equals(SMALL)).toBe(true);
  });

  it('is read into memory of the reader', async () => {
    const memory: Buffer[] = [];
    const allocate = (length: number): Buffer => {
      memory.push(Buffer.alloc(length));
      return memory.at(-1)!;
    };
    await read(storedInstance(store, await stored(SMALL)), allocate);
    expect(memory).toHaveLength(1);
    expect(memory[0]!.equals(SMALL)).toBe(true);
    await read(storedInstance(store, await stored(LARGE)), allocate);
    expect(Buffer.concat(memory.slice(1)).equals(LARGE)).toBe(true);
  });

  it.each([0, 150_000, 299_999])('with a bit flipped at %s is refused before its first byte', async (at) => {
    const location = await stored(SMALL);
    flip(location, at);
    const { bytes, error } = await read(storedInstance(store, location));
    expect(bytes).toHaveLength(0);
    expect(error).toMatchObject({ code: 'FILE_DAMAGED', hint: expect.stringMatching(/verify/) as string });
    expect(String(error)).toMatch(new RegExp(`${location.arrivalId} has other bytes than sealed`));
  });

  it.each([0, LARGE.length - 1])('that is large, with a bit flipped at %s, never comes whole', async (at) => {
    const location = await stored(LARGE);
    flip(location, at);
    const { bytes, error } = await read(storedInstance(store, location));
    expect(error).toMatchObject({ code: 'FILE_DAMAGED' });
    expect(bytes.length).toBeGreaterThan(4 * MiB);
    expect(bytes.length).toBeLessThan(LARGE.length);
  });

  it.each(['small', 'large'] as const)('(%s) that was cut short is damaged', async (size) => {
    const content = CONTENT[size];
    const location = await stored(content);
    fs.truncateSync(store.pathOf(location.arrivalId), location.dataSetOffset + content.length - 1);
    const { bytes, error } = await read(storedInstance(store, location));
    expect(error).toMatchObject({
      code: 'FILE_DAMAGED',
      message: expect.stringMatching(/ends before/) as string,
    });
    expect(bytes.length).toBeLessThan(content.length);
  });

  it('that is gone is damaged', async () => {
    const location = await stored(SMALL);
    fs.rmSync(store.pathOf(location.arrivalId));
    expect((await read(storedInstance(store, location))).error).toMatchObject({
      code: 'FILE_DAMAGED',
      message: expect.stringMatching(/is not there/) as string,
    });
  });

  it('that its device can not give is damaged; what ails the process says nothing of it', async () => {
    const instance = storedInstance(store, await stored(SMALL));
    fake.fail('read', 'EIO', { once: true });
    expect((await read(instance)).error).toMatchObject({ code: 'FILE_DAMAGED' });
    fake.fail('open', 'EMFILE', { once: true });
    expect((await read(instance)).error).toMatchObject({ code: 'STORE_FAILED' });
    fake.heal();
    expect((await read(instance)).error).toBeUndefined();
  });

  it.each(['small', 'large'] as const)('(%s) is closed whenever its reader stops', async (size) => {
    const location = await stored(CONTENT[size]);
    const before = fake.record.filter(({ name }) => name === 'close').length;
    for await (const chunk of storedInstance(store, location).read()) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(fake.record.filter(({ name }) => name === 'close')).toHaveLength(before + 1);
  });
});

describe('a named file', () => {
  async function named(size: number): Promise<{ file: string; instance: OutgoingInstance; dataSet: Buffer }> {
    const one = object({ size });
    const file = path.join(folder, 'a.dcm');
    fs.writeFileSync(file, part10(one));
    const handle = await openFile(file);
    try {
      return { file, instance: fileInstance(file, await identify(handle)), dataSet: one.dataSet };
    } finally {
      await handle.close();
    }
  }

  it.each([2, 2100])('(size %s) comes as it is', async (size) => {
    const { file, instance, dataSet } = await named(size);
    expect(instance).toMatchObject({
      name: file,
      TransferSyntaxUID: TS.explicit,
      dataSetLength: dataSet.length,
    });
    const { bytes, error } = await read(instance);
    expect(error).toBeUndefined();
    expect(bytes.equals(dataSet)).toBe(true);
  });

  it.each([2, 2100])('(size %s) that became shorter never comes whole', async (size) => {
    const { file, instance, dataSet } = await named(size);
    fs.truncateSync(file, fs.statSync(file).size - 2);
    const { bytes, error } = await read(instance);
    expect(error).toMatchObject({
      code: 'FILE_CHANGED',
      message: expect.stringMatching(/shorter/) as string,
    });
    expect(bytes.length).toBeLessThan(dataSet.length);
  });

  it('that went away, or became a link, is not read; the reason does not repeat its path', async () => {
    const { file, instance } = await named(2);
    fs.renameSync(file, `${file}.moved`);
    expect((await read(instance)).error).toMatchObject({
      code: 'FILE_CHANGED',
      message: 'no such file or folder',
    });
    fs.symlinkSync(`${file}.moved`, file);
    expect((await read(instance)).error).toMatchObject({ code: 'FILE_CHANGED' });
  });
});
