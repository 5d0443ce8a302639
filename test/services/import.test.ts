import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { ImportEvent } from '../../src/services/import';
import { encode, imageElements, part10, TS, type SentObject } from '../support/data-sets';
import { sha256 } from '../support/ledger-scu';
import { violations } from './invariants';
import {
  cleanUp,
  filesIn,
  flipLastByte,
  newDirectory,
  object,
  openArchive,
  pathIn,
  storeError,
  type Opened,
  type OpenOptions,
} from './kit';

let directory: string;
let source: string;
let opened: Opened;

beforeEach(async () => {
  directory = newDirectory();
  source = fs.mkdtempSync(path.join(os.tmpdir(), 'isocenter-import-'));
  opened = await openArchive(directory);
});

afterEach(async () => {
  await cleanUp();
  fs.rmSync(source, { recursive: true, force: true });
});

function put(name: string, bytes: Buffer | string): string {
  const file = path.join(source, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, bytes);
  return file;
}

async function imported(
  paths: readonly string[] = [source],
  signal = new AbortController().signal,
): Promise<ImportEvent[]> {
  const events: ImportEvent[] = [];
  for await (const event of opened.api.importPaths(paths, signal)) events.push(event);
  return events;
}

async function outcomes(paths?: readonly string[]): Promise<Record<string, string>> {
  return Object.fromEntries(
    (await imported(paths)).map((event) => [path.relative(source, event.path), event.outcome]),
  );
}

async function reopen(options: OpenOptions = {}): Promise<void> {
  await opened.close();
  opened = await openArchive(directory, options);
}

/** Content and times of every source file. */
function fingerprint(): string[] {
  return fs
    .readdirSync(source, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const file = path.join(source, name);
      const stat = fs.lstatSync(file);
      return `${name} ${stat.mtimeMs} ${stat.mode} ${stat.isFile() ? sha256(fs.readFileSync(file)) : ''}`;
    });
}

it('takes a tree of files, keeps their data sets, and leaves them untouched', async () => {
  const objects = [TS.explicit, TS.implicit, TS.big, TS.rle, TS.deflated, TS.j2kLossless].map((syntax) =>
    object({}, syntax),
  );
  objects.forEach((one, index) => put(`a/${'b/'.repeat(index)}IMG${index}`, part10(one)));
  const before = fingerprint();
  const events = await imported();
  expect(events.map(({ outcome }) => outcome)).toEqual(objects.map(() => 'stored'));
  expect(events.map(({ bytes }) => bytes).sort()).toEqual(
    objects.map(({ dataSet }) => dataSet.length).sort(),
  );
  expect(fingerprint()).toEqual(before);
  expect([...filesIn(directory, 'instances').values()].sort()).toEqual(
    objects.map(({ dataSet }) => sha256(dataSet)).sort(),
  );
  const [held] = await opened.catalog.locate(objects[0]!.SOPInstanceUID);
  const stored = fs.readFileSync(pathIn(directory, held!.arrivalId, 'instances'));
  // Its own preamble, whatever stood in the file's (CVE-2019-11687).
  expect(stored.subarray(0, 128)).toEqual(Buffer.alloc(128));
  await opened.close();
  expect(await violations(directory, { current: objects })).toEqual([]);
});

it('skips what is no instance', async () => {
  put('readme.txt', 'no DICOM file, but one with some text in it. '.repeat(10));
  put('empty', '');
  put('short', 'x');
  put('DICOMDIR', dicomdir());
  const real = put('real', part10(object()));
  fs.symlinkSync(real, path.join(source, 'link'));
  fs.symlinkSync(source, path.join(source, 'loop'));
  expect(await outcomes()).toEqual({
    'readme.txt': 'skipped',
    empty: 'skipped',
    short: 'skipped',
    DICOMDIR: 'skipped',
    real: 'stored',
    link: 'skipped',
    loop: 'skipped',
  });
  for (const event of await imported())
    if (event.outcome === 'skipped') expect(event.reason).toMatch(/^[\x20-\x7e]+$/);
});

function dicomdir(): Buffer {
  return part10({ ...object(), SOPClassUID: '1.2.840.10008.1.3.10' });
}

it('follows a link that was named itself', async () => {
  put('real/one', part10(object()));
  const link = path.join(source, 'link');
  fs.symlinkSync(path.join(source, 'real'), link);
  expect((await imported([link])).map(({ outcome }) => outcome)).toEqual(['stored']);
});

it('says what it could not take, and goes on', async () => {
  const whole = part10(object());
  put('a-cut', whole.subarray(0, whole.length - 3));
  put('b-without-study', part10(withoutStudy()));
  put('c-good', part10(object()));
  const events = await imported([path.join(source, 'missing'), source]);
  expect(events.map(({ outcome }) => outcome)).toEqual(['failed', 'failed', 'failed', 'stored']);
  expect(events[0]!.reason).toBe('no such file or folder');
  for (const event of events.slice(1, 3)) {
    expect(event.reason).toMatch(/^[\x20-\x7e]+$/);
    expect(event.reason).not.toMatch(/TESTID|TEST\^OBJECT/);
  }
  expect(filesIn(directory, 'instances').size).toBe(1);
});

function withoutStudy(): SentObject {
  const one = object();
  return {
    ...one,
    dataSet: encode(imageElements({ SOPInstanceUID: one.SOPInstanceUID, without: [0x0020000d] })),
  };
}

it('takes files without preamble or file meta group', async () => {
  const [bare, implicit, headless] = [object(), object({}, TS.implicit), object()];
  put('bare', bare.dataSet);
  put('implicit', implicit.dataSet);
  put('headless', part10(headless).subarray(132));
  expect(new Set(Object.values(await outcomes()))).toEqual(new Set(['stored']));
  const digests = [...filesIn(directory, 'instances').values()];
  expect(digests.sort()).toEqual([bare, implicit, headless].map(({ dataSet }) => sha256(dataSet)).sort());
  const [held] = await opened.catalog.locate(implicit.SOPInstanceUID);
  expect(held!.TransferSyntaxUID).toBe(TS.implicit);
});

it('goes by the UIDs of the data set where those of the file meta group differ', async () => {
  const one = object();
  put('one', part10({ ...one, SOPInstanceUID: '1.2.3.4', SOPClassUID: '1.2.3.5' }));
  expect(await outcomes()).toEqual({ one: 'stored' });
  expect(await opened.catalog.locate(one.SOPInstanceUID)).toHaveLength(1);
  expect(await opened.catalog.locate('1.2.3.4')).toEqual([]);
});

it('does not believe a seal that is not its own', async () => {
  // A file copied out of a store, changed by a tool that kept the private information.
  const one = object();
  const { arrivalId } = await opened.take(one);
  const copy = fs.readFileSync(pathIn(directory, arrivalId, 'instances'));
  const other = newDirectory();
  await opened.close();
  copy[copy.length - 1]! ^= 1;
  put('copy', copy);
  directory = other;
  opened = await openArchive(directory);
  expect(await outcomes()).toEqual({ copy: 'stored' });
  const [taken] = [...filesIn(directory, 'instances').keys()];
  expect(await opened.store.check(taken!)).toMatchObject({ state: 'sealed' });
});

describe('again', () => {
  it('writes nothing, and finds everything held', async () => {
    const objects = [object(), object({}, TS.rle)];
    objects.forEach((one, index) => put(`${index}`, part10(one)));
    await imported();
    opened.steps.start();
    expect(await outcomes()).toEqual({ '0': 'duplicate', '1': 'duplicate' });
    expect(opened.steps.names).toEqual([]);
    expect(filesIn(directory, 'instances').size).toBe(2);
  });

  it('goes on where it stopped', async () => {
    for (let index = 0; index < 5; index++) put(`${index}`, part10(object()));
    const stop = new AbortController();
    const events: ImportEvent[] = [];
    for await (const event of opened.api.importPaths([source], stop.signal)) {
      events.push(event);
      if (events.length === 2) stop.abort();
    }
    expect(events.map(({ outcome }) => outcome)).toEqual(['stored', 'stored']);
    expect(Object.values(await outcomes())).toEqual(['duplicate', 'duplicate', 'stored', 'stored', 'stored']);
  });

  it('replaces nothing twice: versions are held, too', async () => {
    await reopen({ duplicates: 'replace' });
    const UID = '2.25.80';
    for (const seed of [1, 2, 3]) put(`${seed}`, part10(object({ SOPInstanceUID: UID, seed })));
    expect(Object.values(await outcomes())).toEqual(['stored', 'stored', 'stored']);
    expect(Object.values(await outcomes())).toEqual(['duplicate', 'duplicate', 'duplicate']);
    expect(await opened.catalog.locate(UID)).toHaveLength(3);
  });

  it('tells of other bytes each time, and keeps them once', async () => {
    const UID = '2.25.80';
    await opened.take(object({ SOPInstanceUID: UID, seed: 1 }));
    put('other', part10(object({ SOPInstanceUID: UID, seed: 2 })));
    for (let time = 0; time < 2; time++) {
      const [event] = await imported();
      expect(event).toMatchObject({
        outcome: 'quarantined',
        reason: expect.stringMatching(/quarantine list/) as string,
      });
    }
    expect(filesIn(directory, 'quarantine').size).toBe(1);
  });

  it('mends what is damaged or gone', async () => {
    const objects = [object(), object(), object()];
    objects.forEach((one, index) => put(`${index}`, part10(one)));
    await imported();
    const files = await Promise.all(
      objects.map(async (one) => (await opened.api.show(one.SOPInstanceUID)).files[0]!.path),
    );
    flipLastByte(files[0]!);
    fs.rmSync(files[1]!);
    expect(await outcomes()).toEqual({ '0': 'stored', '1': 'stored', '2': 'duplicate' });
    await opened.close();
    expect(await violations(directory, { current: objects })).toEqual([]);
  });
});

it('fails each file where nothing can be stored', async () => {
  put('one', part10(object()));
  put('two', part10(object()));
  opened.steps.hook = ({ name }) => (name === 'store.begin' ? storeError('STORE_FULL') : undefined);
  const events = await imported();
  expect(events.map(({ outcome }) => outcome)).toEqual(['failed', 'failed']);
  expect(events[0]!.reason).toMatch(/Storage full/);
});

it('a file that becomes shorter while it is read is not taken for a whole one', async () => {
  const file = put('one', part10(object({ size: 600 })));
  opened.steps.hook = ({ name }) => {
    if (name === 'store.begin') fs.truncateSync(file, 300_000);
    return undefined;
  };
  const [event] = await imported();
  expect(event).toMatchObject({ outcome: 'failed' });
  expect(filesIn(directory, 'instances').size).toBe(0);
});

it('assumes the character set of the remote that the file names, as a reindex does', async () => {
  const remotes = [
    { aeTitle: 'MR_*', defaultCharset: 'ISO_IR 144' },
    { aeTitle: 'MR_1', defaultCharset: 'ISO_IR 100' },
  ];
  await reopen({ remotes });
  const names: Record<string, string> = { MR_1: 'Müller', MR_2: 'Mќller' };
  for (const title of ['MR_1', 'MR_2']) {
    const one = object({ PatientName: Buffer.from('4dfc6c6c6572', 'hex'), PatientID: title });
    put(title, withSource(part10(one), title));
  }
  await imported();
  const found = async (): Promise<Record<string, unknown>> =>
    Object.fromEntries(
      (await opened.api.find({ level: 'PATIENT', keys: {} }, { limit: 9 })).rows.map((row) => [
        row['PatientID'],
        row['PatientName'],
      ]),
    );
  expect(await found()).toEqual(names);
  await opened.close();
  expect(await violations(directory, {}, { remotes })).toEqual([]);
});

/** Adds (0002,0016) at the end of the group. */
function withSource(file: Buffer, title: string): Buffer {
  const length = file.readUInt32LE(140);
  const end = 144 + length;
  const element = encode([{ tag: 0x00020016, vr: 'AE', value: title }]);
  const result = Buffer.concat([file.subarray(0, end), element, file.subarray(end)]);
  result.writeUInt32LE(length + element.length, 140);
  return result;
}
