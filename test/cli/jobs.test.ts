import path from 'node:path';
import fsp from 'node:fs/promises';
import { forwardJob } from '../../src/catalog/jobs';
import { DirectCatalog } from '../services/direct-catalog';
import { isocenter, makeFolder, removeFolder, writeConfig } from '../support/node-process';
import type { RunResult } from '../support/tools';

/** `isocenter jobs` on a store that no node runs on; test/interop/forward.test.ts asks a running one. */
let folder: string;
let config: string;
let ids: number[];

beforeEach(async () => {
  folder = await makeFolder();
  config = await writeConfig(folder);
  await fsp.mkdir(path.join(folder, 'data'));
  const catalog = new DirectCatalog(path.join(folder, 'data', 'catalog.sqlite'));
  await catalog.open();
  ids = await catalog.jobs.add([
    { ...forwardJob('pacs', '1.2.3'), dueAt: Date.UTC(2024, 0, 2) },
    { ...forwardJob('pacs', '1.2.4'), dueAt: Date.UTC(2024, 0, 3) },
    { kind: 'report', destination: 'ws', payload: { PatientName: 'SECRET' }, dueAt: Date.UTC(2024, 0, 4) },
  ]);
  const { jobs } = await catalog.jobs.claim(
    { destination: 'pacs', kind: 'forward' },
    { now: Date.now(), limit: 1 },
  );
  await catalog.jobs.end([{ id: jobs[0]!.id, end: 'parked', reason: 'C000: \u001b[31mno' }]);
  await catalog.close();
});

afterEach(() => removeFolder(folder));

const jobs = (...args: string[]): Promise<RunResult> => isocenter(['jobs', ...args, '--config', config]);

it('lists jobs for eyes and for programs, without what is in them', async () => {
  const { code, stdout, stderr } = await jobs('list');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const lines = stdout
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => line.split('\t'));
  expect(lines[0]).toEqual([
    'Job',
    'State',
    'Destination',
    'Kind',
    'Tries',
    'Due',
    'Added',
    'SOPInstanceUID',
    'LastError',
  ]);
  const [first = '', second = '', third = ''] = ids.map(String);
  expect(lines.slice(1).map((line) => line.filter((_, i) => i !== 6))).toEqual([
    [first, 'parked', 'pacs', 'forward', '1', '2024-01-02T00:00:00.000Z', '1.2.3', 'C000: \\x1b[31mno'],
    [second, 'waiting', 'pacs', 'forward', '0', '2024-01-03T00:00:00.000Z', '1.2.4', ''],
    [third, 'waiting', 'ws', 'report', '0', '2024-01-04T00:00:00.000Z', '', ''],
  ]);
  const json = await jobs('list', '--json', '--state', 'waiting', '--destination', 'ws');
  expect(JSON.parse(json.stdout)).toMatchObject({
    id: ids[2],
    state: 'waiting',
    kind: 'report',
    attempts: 0,
  });
  expect(stdout + json.stdout).not.toContain('SECRET');
  expect((await jobs('list', '--limit', '1', '--json')).stdout.trimEnd().split('\n')).toHaveLength(1);
});

it('retries and cancels by number, and says which were none', async () => {
  const [first = '', second = ''] = ids.map(String);
  expect(await jobs('retry', first)).toMatchObject({
    code: 0,
    stdout: '',
    stderr: 'isocenter: 1 job is due now\n',
  });
  expect((await jobs('list', '--state', 'parked', '--json')).stdout).toBe('');
  expect(await jobs('cancel', first, '4711')).toMatchObject({ code: 3 });
  expect(await jobs('cancel', '4711')).toMatchObject({
    code: 1,
    stderr:
      'isocenter: 0 jobs are cancelled\nisocenter: job 4711 runs at this moment, or is done or unknown\n',
  });
  expect(await jobs('cancel', '--all', '--destination', 'pacs', '--yes')).toMatchObject({ code: 0 });
  expect(await jobs('retry', second)).toMatchObject({ code: 1 });
});

it.each([
  [['retry'], 'which jobs?'],
  [['retry', '--all'], '--all needs the remote'],
  [['retry', '--all', '--destination', 'pacs', '1'], 'exclude each other'],
  [['cancel', '--destination', 'pacs'], '--destination needs --all'],
  [['cancel', '--all', '--destination', 'pacs'], 'add --yes'],
  [['retry', 'x1'], 'the number of a job is expected'],
  [['list', '--state', 'parkd'], 'did you mean "parked"'],
])('refuses %j with what to write instead', async (args, words) => {
  const { code, stderr, stdout } = await jobs(...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(words);
});

it('has examples at the end of each help', async () => {
  for (const command of [[], ['list'], ['retry'], ['cancel']]) {
    const { stdout } = await jobs(...command, '--help');
    expect(stdout).toMatch(/Examples:\n {2}isocenter jobs /);
  }
});
