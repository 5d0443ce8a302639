import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describeInterop, run } from '../support/tools';
import { DATA_SET, openStore, put, removeScratch, scratch } from './fake-calls';

const STORE = path.join(__dirname, '../../dist/store/filesystem.js');

/** Stores for as long as it lives, with 8 writers and objects of 1 byte to 1.5 MB; says each arrival id once it is sealed. */
const LOAD = `
  const { FilesystemStore } = require(${JSON.stringify(STORE)});
  const { randomBytes } = require('node:crypto');
  const { writeSync } = require('node:fs');
  const [directory, writers, files] = process.argv.slice(1);
  const store = new FilesystemStore({ directory, reserve: { bytes: 0 }, segment: { files: 40, milliseconds: 1e9 } });
  const meta = {
    MediaStorageSOPClassUID: '1.2.840.10008.5.1.4.1.1.2', MediaStorageSOPInstanceUID: '2.25.1',
    TransferSyntaxUID: '1.2.840.10008.1.2.1', SourceApplicationEntityTitle: 'A', ReceivingApplicationEntityTitle: 'B',
  };
  const source = randomBytes(1500000);
  let left = Number(files);
  async function load(seed) {
    for (let i = seed; left-- > 0; i++) {
      const writer = await store.begin(meta);
      const size = 1 + (i * 7919 * 131) % (i % 5 === 0 ? 1500000 : 60000);
      for (let at = 0; at < size; at += 65536) await writer.write(source.subarray(at, Math.min(size, at + 65536)));
      const { arrivalId } = await writer.seal();
      writeSync(1, arrivalId + '\\n');
      writer.finish();
    }
  }
  (async () => {
    await store.open(0);
    await Promise.all(Array.from({ length: Number(writers) }, (_, seed) => load(seed)));
    await store.close();
  })().catch((error) => { console.error(error); process.exitCode = 1; });
`;

afterAll(removeScratch);

describe('a killed process', () => {
  it.each([5, 20, 45, 90])(
    'leaves every file whole that it called sealed, and what it was writing unsealed (kill -9 after %d files)',
    async (killAfter) => {
      const directory = path.join(await scratch(), 'data');
      const child = spawn(process.execPath, ['-e', LOAD, directory, '8', '100000'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const sealed: string[] = [];
      const lines = createInterface(child.stdout);
      const exited = once(child, 'exit');
      for await (const line of lines) {
        if (sealed.push(line) === killAfter) child.kill('SIGKILL');
      }
      await exited;
      expect(child.signalCode).toBe('SIGKILL');
      expect(sealed.length).toBeGreaterThanOrEqual(killAfter);

      const store = await openStore({ directory }, 1);
      const states = new Map<string, string>();
      for (const segment of await store.segments()) {
        for (const { arrivalId } of await store.files(segment)) {
          const check = await store.check(arrivalId);
          states.set(arrivalId, check.state === 'mismatch' ? check.reason : check.state);
        }
      }
      for (const arrivalId of sealed)
        expect([arrivalId, states.get(arrivalId)]).toEqual([arrivalId, 'sealed']);
      // A process that is killed loses nothing of what it handed over, in the order in which it did.
      expect(
        [...new Set(states.values())].filter((state) => !['sealed', 'unsealed'].includes(state)),
      ).toEqual([]);
      await store.close();
    },
  );
});

describeInterop(['strace'], 'system calls', () => {
  it('come in the order data, seal, fdatasync, and only then the word that it is sealed', async () => {
    const folder = await scratch();
    const directory = path.join(folder, 'data');
    const log = path.join(folder, 'trace');
    const names = 'openat,write,writev,pwrite64,pwritev,pwritev2,fdatasync,fsync,mkdir,unlink';
    const options = ['-f', '-qq', '-y', '-s', '64', '-o', log, '-e', `trace=${names}`];
    const program = [process.execPath, '-e', LOAD, directory, '3', '30'];
    const result = await run('strace', [...options, ...program], { env: { UV_USE_IO_URING: '0' } });
    expect([result.code, result.stderr]).toEqual([0, '']);
    const sealed = result.stdout.trim().split('\n');
    expect(sealed).toHaveLength(30);
    const events = readTrace(await fsp.readFile(log, 'utf8'));
    for (const arrivalId of sealed) {
      const ofFile = events.filter((event) => event.file.endsWith(`${arrivalId}.dcm`));
      const writes = ofFile.filter((event) => /write/.test(event.name));
      const seal = writes.at(-1)!;
      const syncs = ofFile.filter((event) => event.name === 'fdatasync');
      const said = events.find((event) => event.name === 'write' && event.text.includes(arrivalId))!;
      expect(writes.length).toBeGreaterThan(1);
      expect(syncs).toHaveLength(1);
      for (const write of writes.slice(0, -1)) expect(write.ended).toBeLessThan(seal.began);
      expect(seal.text).toMatch(/= 128$/);
      expect(seal.ended).toBeLessThan(syncs[0]!.began);
      expect(syncs[0]!.ended).toBeLessThan(said.began);
      expect(syncs[0]!.text).toMatch(/= 0$/);
      // Its folder was on the disk before it was created.
      const created = events.find((event) => event.name === 'openat' && event.text.includes(arrivalId))!;
      const folderSync = events.find(
        (event) => event.name === 'fsync' && event.file.endsWith(`/instances/${arrivalId.slice(0, 8)}`),
      )!;
      expect(folderSync.ended).toBeLessThan(created.began);
      expect(created.text).toMatch(/O_CREAT/);
      expect(created.text).toMatch(/O_EXCL/);
      expect(created.text).toMatch(/O_NOFOLLOW/);
    }
  });
});

interface TraceEvent {
  readonly name: string;
  /** Path of the descriptor, if the call takes one. */
  readonly file: string;
  /** Lines of the log. */
  readonly began: number;
  ended: number;
  text: string;
}

function readTrace(log: string): TraceEvent[] {
  const events: TraceEvent[] = [];
  const open = new Map<string, TraceEvent>();
  for (const [line, content] of log.split('\n').entries()) {
    const match = /^(\d+)\s+(.*)$/.exec(content);
    if (match === null) continue;
    const [, thread, text] = match;
    const resumed = /^<\.\.\. \w+ resumed>/.test(text!);
    if (resumed) {
      const event = open.get(thread!);
      if (event === undefined) continue;
      event.text += text!;
      event.ended = line;
      open.delete(thread!);
      continue;
    }
    const call = /^(\w+)\((?:\d+<([^>]*)>)?/.exec(text!);
    if (call === null) continue;
    const event: TraceEvent = { name: call[1]!, file: call[2] ?? '', began: line, ended: line, text: text! };
    events.push(event);
    if (text!.endsWith('<unfinished ...>')) open.set(thread!, event);
  }
  return events;
}

describeInterop(['dcmtk'], 'a sealed file and DCMTK', () => {
  it('is a DICOM file to dcmftest, and dcmdump prints the whole of it', async () => {
    const store = await openStore();
    const file = await put(store, DATA_SET);
    const name = store.pathOf(file.arrivalId);
    await store.close();
    const tested = await run('dcmftest', [name]);
    expect(tested.stdout).toMatch(/^yes:/);
    const dumped = await run('dcmdump', ['-E', '+L', name]);
    expect([dumped.code, dumped.stderr]).toEqual([0, '']);
    expect(dumped.stdout).toMatch(/\(0002,0102\) OB [0-9a-f\\]{383} +# 128, 1 PrivateInformation\n/);
    expect(dumped.stdout).toMatch(/\(0002,0016\) AE \[CT_ROOM1\]/);
    expect(dumped.stdout).toMatch(/\(0008,0018\) UI \[2\.25\.1234567890\]/);
    expect(dumped.stdout).toMatch(/\(0008,0060\) CS \[CT\]/);
  });
});

describeInterop(['pydicom'], 'a sealed file and pydicom', () => {
  it('is read without a warning', async () => {
    const store = await openStore();
    const file = await put(store, DATA_SET);
    const script = `
import sys, pydicom
ds = pydicom.dcmread(sys.argv[1])
meta = ds.file_meta
print(meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID, len(meta.PrivateInformation), ds.SOPInstanceUID, ds.Modality)
`;
    const result = await run('/usr/bin/python3', ['-W', 'error', '-c', script, store.pathOf(file.arrivalId)]);
    await store.close();
    expect([result.stdout, result.stderr]).toEqual([
      '2.25.1234567890 1.2.840.10008.1.2.1 128 2.25.1234567890 CT\n',
      '',
    ]);
  });
});
