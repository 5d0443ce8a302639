import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Session } from '../../src/dimse/session';
import type { ServiceEntry } from '../../src/dimse/types';
import { Listener } from '../../src/net/listener';
import { rowsOf } from '../support/catalog-view';
import {
  imageObject,
  part10,
  SOP,
  TS,
  UID_ROOT,
  type ObjectFields,
  type SentObject,
} from '../support/data-sets';
import { sha256 } from '../support/ledger-scu';
import { isocenter, makeFolder, removeFolder, startNode, writeConfig } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import { parsePart10, storedFiles } from '../support/stored-files';
import { describeInterop, freePort, type RunResult } from '../support/tools';
import { OPEN_POLICY, PEER, TIMEOUTS } from '../support/upper-layer';

/** `isocenter send` as a script calls it: what it prints, and its exit code. */
let folder: string;
let config: string;
let serial = 0;

beforeAll(async () => {
  folder = await makeFolder();
  config = await writeConfig(folder);
});

afterAll(() => removeFolder(folder));

const send = (...args: string[]): Promise<RunResult> => isocenter(['send', ...args, '--config', config]);

function object(fields: ObjectFields = {}, syntax: string = TS.explicit): SentObject {
  return imageObject({ SOPInstanceUID: `${UID_ROOT}.600.${++serial}`, size: 8, ...fields }, syntax);
}

/** Writes objects into a folder of their own. */
function files(name: string, objects: readonly SentObject[]): string {
  const made = path.join(folder, name);
  fs.mkdirSync(made);
  objects.forEach((one, index) => fs.writeFileSync(path.join(made, `${index}.dcm`), part10(one)));
  return made;
}

describe('to a node', () => {
  let node: NodeProcess;
  let peer: string;

  beforeAll(async () => {
    node = await startNode();
    peer = `NODE@127.0.0.1:${node.port}`;
  });

  afterAll(async () => {
    await node.kill();
    await removeFolder(node.folder);
  });

  it('sends a folder, unchanged, and exits 0', async () => {
    const objects = [object(), object({}, TS.implicit), object({ SOPClassUID: SOP.mr }, TS.rle)];
    const result = await send(peer, files('good', objects), '--aet', 'TESTER');
    expect(result).toMatchObject({
      code: 0,
      stdout: '3 sent, 0 with a warning, 0 failed, 0 skipped\n',
      stderr: '',
    });
    const stored = new Map(
      (await storedFiles(node.dataDirectory)).map((file) => [file.SOPInstanceUID, file]),
    );
    for (const one of objects)
      expect(stored.get(one.SOPInstanceUID)).toMatchObject({
        dataSetSha256: sha256(one.dataSet),
        transferSyntax: one.transferSyntax,
      });
  });

  it('prints one JSON object a file, and a summary', async () => {
    const result = await send(peer, files('json', [object()]), '--aet', 'TESTER', '--json');
    expect(rowsOf(result.stdout)).toMatchObject([
      { path: path.join(fs.realpathSync(folder), 'json', '0.dcm'), outcome: 'sent', status: 0 },
      { summary: { sent: 1, warning: 0, failed: 0, skipped: 0 }, interrupted: false },
    ]);
  });

  it('exits 3 where some failed, and says which', async () => {
    // Both under way at once: which of them is first is not said.
    const one = object({ seed: 1 });
    const other = imageObject({ ...one, size: 8, seed: 2 });
    const result = await send(peer, files('some', [one, other]), '--aet', 'TESTER');
    expect(result.code).toBe(3);
    expect(result.stderr).toMatch(/[01]\.dcm: failed: .*quarantine list/);
  });

  it('exits 1 where all failed', async () => {
    const result = await send(peer, files('none', [object(), object()]), '--aet', 'ECHOER');
    expect(result).toMatchObject({ code: 1, stdout: '0 sent, 0 with a warning, 2 failed, 0 skipped\n' });
    expect(result.stderr.match(/failed: /g)).toHaveLength(2);
  });

  it('exits 4 where the association is refused, and says why', async () => {
    const result = await send(peer, files('refused', [object()]), '--aet', 'NOBODY');
    expect(result.code).toBe(4);
    expect(result.stderr).toMatch(/calling AE title/i);
  });
});

it('exits 3 where a peer took everything with a warning, and says which', async () => {
  const store: ServiceEntry = {
    commandField: 1,
    handles: () => true,
    right: 'store',
    service: async function* ({ dataSet }) {
      await dataSet!.discard();
      yield { status: 0xb000, comment: 'coerced' };
    },
  };
  const listener = new Listener({
    host: '127.0.0.1',
    port: 0,
    limits: () => ({ associations: 10, associationsPerRemote: 10 }),
    timeouts: () => TIMEOUTS,
    policy: () => ({
      ...OPEN_POLICY,
      decideAccess: () => ({ accepted: true, peer: { ...PEER, allow: new Set(['store'] as const) } }),
    }),
    implementation: { classUID: '2.25.1', versionName: 'TEST_PEER' },
    maximumLength: 16384,
    unavailable: () => undefined,
    onRejected: () => undefined,
    onProtocolError: () => undefined,
    onFault: (error) => {
      throw error;
    },
    onAssociation: (association) => new Session(association, { services: [store] }),
  });
  const { port } = await listener.listen();
  const result = await send(`PEER@127.0.0.1:${port}`, files('warned', [object(), object()]));
  await listener.close();
  expect(result).toMatchObject({ code: 3, stdout: '0 sent, 2 with a warning, 0 failed, 0 skipped\n' });
  expect(result.stderr).toMatch(/0\.dcm: warning: .*coerced/);
});

it('exits 5 where nobody listens, and says what to look at', async () => {
  const port = await freePort();
  const result = await send(`NODE@127.0.0.1:${port}`, files('nobody', [object()]));
  expect(result.code).toBe(5);
  expect(result.stderr).toMatch(/nothing listens on that port/);
  expect(result.stdout).toBe('0 sent, 0 with a warning, 1 failed, 0 skipped\n');
});

it('exits 1 where a path is not there, without calling anybody', async () => {
  const result = await send('NODE@127.0.0.1:1', path.join(folder, 'missing'));
  expect(result).toMatchObject({ code: 1, stdout: '0 sent, 0 with a warning, 1 failed, 0 skipped\n' });
  expect(result.stderr).toMatch(/missing: failed: no such file or folder/);
});

it('knows no peer that is not there', async () => {
  const result = await send('nobody', folder);
  expect(result.code).toBe(2);
  expect(result.stderr).toMatch(/there is no remote "nobody"/);
});

describeInterop(['dcmtk'], 'to storescp', () => {
  it('what arrives there is what was sent', async () => {
    const port = await freePort();
    const target = path.join(folder, 'arrived');
    fs.mkdirSync(target);
    const scp = spawn('storescp', ['-aet', 'STORESCP', '+xa', '-od', target, '+B', String(port)], {
      env: { ...process.env, TCP_NODELAY: '1' },
      stdio: 'ignore',
    });
    try {
      const objects = [object(), object({}, TS.implicit), object({}, TS.jpegBaseline), object({ size: 700 })];
      const from = files('scp', objects);
      // It listens some time after it was started.
      let result = await send(`STORESCP@127.0.0.1:${port}`, from);
      for (let attempt = 0; result.code === 5 && attempt < 20; attempt++)
        result = await send(`STORESCP@127.0.0.1:${port}`, from);
      expect(result).toMatchObject({
        code: 0,
        stdout: '4 sent, 0 with a warning, 0 failed, 0 skipped\n',
      });
      const arrived = fs.readdirSync(target).map((name) => {
        const bytes = fs.readFileSync(path.join(target, name));
        return sha256(bytes.subarray(parsePart10(bytes)!.dataSetOffset));
      });
      expect(arrived.sort()).toEqual(objects.map(({ dataSet }) => sha256(dataSet)).sort());
    } finally {
      scp.kill('SIGKILL');
    }
  });
});
