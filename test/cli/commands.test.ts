import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Session } from '../../src/dimse/session';
import { Listener } from '../../src/net/listener';
import { createAccess } from '../../src/security/access';
import { echo } from '../../src/services/echo';
import { negotiateContexts } from '../../src/services/negotiation';

const ROOT = join(__dirname, '..', '..');
const COMMAND = join(ROOT, 'scripts', 'isocenter');

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The built command, as a script would call it. */
function isocenter(args: readonly string[], environment: Record<string, string> = {}): Promise<Result> {
  return new Promise((resolve) => {
    const env = { ...process.env, ...environment };
    const child = spawn(process.execPath, [COMMAND, ...args], { cwd: folder, env });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'isocenter-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes a configuration and returns its name. */
function config(text: string, name = 'f.yaml'): string {
  writeFileSync(join(folder, name), text);
  return name;
}

describe('usage', () => {
  it.each<[string, string[], RegExp]>([
    ['an unknown command', ['bogus'], /^isocenter: unknown command 'bogus'\n {2}--help/],
    ['a misspelt command', ['ehco', 'x'], /Did you mean echo\?/],
    [
      'an unknown option',
      ['version', '--jsno'],
      /^isocenter: unknown option '--jsno'\n\(Did you mean --json\?\)/,
    ],
    ['a missing argument', ['echo'], /^isocenter: missing required argument 'peer'/],
    ['an argument too many', ['echo', 'a', 'b'], /^isocenter: too many arguments for 'echo'/],
    [
      'an option without its value',
      ['config', 'show', '--config'],
      /^isocenter: option '-c, --config <file>' argument missing/,
    ],
    [
      'a value that is none',
      ['echo', '--count', 'x', 'local'],
      /^isocenter: --count is a number from 1 to 999999, not x\n/,
    ],
    ['no command', [], /^Usage: isocenter/],
    ['a peer that is none', ['echo', 'A@b'], /^isocenter: "A@b" is no peer: .*\n {2}write AET@HOST:PORT/],
  ])('%s ends with exit code 2 and says why', async (_what, args, message) => {
    const result = await isocenter(args);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(message);
  });

  it.each([
    [['--help']],
    [['help']],
    [['echo', '--help']],
    [['config', '--help']],
    [['config', 'check', '-h']],
    [['config', 'show', '-h']],
    [['version', '-h']],
  ])('%p prints help with examples to stdout', async (args) => {
    const result = await isocenter(args);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toMatch(/\nExamples:\n( {2}isocenter .*\n)+$/);
  });
});

describe('isocenter version', () => {
  it('prints versions, and prints them fast', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    const result = await isocenter(['version', '--json']);
    expect(JSON.parse(result.stdout)).toEqual({
      isocenter: version,
      node: process.versions.node,
      'better-sqlite3': expect.stringMatching(/^\d+\.\d+\.\d+$/),
    });
    expect((await isocenter(['--version'])).stdout).toBe(`${version}\n`);
    // What makes a start slow is what it loads: none of the large packages may be among it.
    const preload = join(folder, 'preload.js');
    writeFileSync(
      preload,
      `process.on('exit', () => console.error(Object.keys(require.cache).join('\\n')));`,
    );
    const { stderr } = await isocenter(['version'], { NODE_OPTIONS: `--require ${preload}` });
    expect(stderr).toContain('commander');
    expect(stderr).not.toMatch(/node_modules\/(zod|yaml|winston|better-sqlite3|dcmjs)\//);
    expect(stderr.split('\n').length).toBeLessThan(40);
  });
});

describe('isocenter config', () => {
  it('check accepts the file that is shipped, from any folder', async () => {
    const result = await isocenter(['config', 'check']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toMatch(
      /config\/isocenter\.yaml is valid: ISOCENTER on 0\.0\.0\.0 port 11112, 2 remotes\n$/,
    );
  });

  it('check names every problem with its place, and nothing else on these lines', async () => {
    const file = config('version: 1\naeTitles: [00123]\nlimits: { asociations: 5 }\n');
    const result = await isocenter(['config', 'check', '--config', file]);
    expect(result).toEqual({
      code: 78,
      stdout: '',
      stderr:
        'f.yaml:2:12: aeTitles[0]: 00123 is a number to YAML: quote it, "00123"\n' +
        'f.yaml:3:11: limits.asociations: unknown key - did you mean "associations"?\n' +
        'isocenter: 2 problems in f.yaml\n',
    });
    const json = await isocenter(['--config', file, 'config', 'check', '--json']);
    expect(json.code).toBe(78);
    expect(JSON.parse(json.stdout)).toMatchObject({
      file: 'f.yaml',
      valid: false,
      problems: [
        { line: 2, column: 12, path: 'aeTitles[0]' },
        { line: 3, path: 'limits.asociations' },
      ],
    });
  });

  it('check warns of keys without effect and of folders that can not be used, with exit code 3', async () => {
    writeFileSync(join(folder, 'plain'), '');
    const file = config('version: 1\nstorage: {directory: plain}\nadmin: {port: 8042}\n');
    const result = await isocenter(['config', 'check'], { ISOCENTER_CONFIG: file });
    expect(result.code).toBe(3);
    expect(result.stdout).toMatch(/^f\.yaml is valid/);
    expect(result.stderr).toBe(
      `f.yaml:2:22: storage.directory: ${join(folder, 'plain')} is not a folder\n` +
        'f.yaml:3:1: admin: admin has no effect in this version\n',
    );
    const json = await isocenter(['config', 'check', '--json', '-c', file]);
    expect(JSON.parse(json.stdout)).toMatchObject({ valid: true, warnings: [{ line: 3 }, { line: 2 }] });
  });

  it('show prints what is in effect and where it comes from', async () => {
    const file = config('version: 1\nlisten: {port: "${P:-104}"}\n');
    const shown = await isocenter(['config', 'show', '-c', file, '--origin'], { P: '105' });
    expect(shown).toMatchObject({ code: 0, stderr: '' });
    expect(shown.stdout).toContain('  host: 0.0.0.0 # default\n  port: 105 # environment P, line 2\n');
    const json = await isocenter(['config', 'show', '-c', file, '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      listen: { host: '0.0.0.0', port: 104 },
      timeouts: { idle: '1m' },
    });
    const again = await isocenter(['config', 'check', '-c', config(shown.stdout, 'g.yaml')]);
    expect(again.code).toBe(0);
  });

  it('fails with 78 where there is no file, whatever the command', async () => {
    for (const args of [
      ['config', 'show'],
      ['echo', 'A@127.0.0.1:1'],
    ]) {
      const result = await isocenter([...args, '-c', 'missing.yaml']);
      expect(result.code).toBe(78);
      expect(result.stderr).toMatch(
        /^isocenter: the configuration file missing\.yaml cannot be read: ENOENT.*\n {2}name one/,
      );
    }
  });
});

describe('isocenter echo', () => {
  let listener: Listener;
  let port: number;
  let raw: Server;
  let rawPort: number;
  const sessions: Session[] = [];
  /** What the raw peer does with an association request. */
  type Answer = Buffer | 'hang' | 'close';
  let answer: Answer = 'close';

  beforeAll(async () => {
    const access = createAccess({
      aeTitles: ['NODE'],
      unknownCallers: 'refuse',
      calledAeTitle: 'check',
      remotes: [
        { name: 'cli', aeTitle: 'ISOCENTER', hosts: ['127.0.0.0/8'], allow: ['echo'], unknownSyntaxes: true },
        { name: 'mute', aeTitle: 'MUTE', hosts: ['127.0.0.0/8'], allow: [], unknownSyntaxes: true },
      ],
      file: 'f.yaml',
    });
    listener = new Listener({
      host: '127.0.0.1',
      port: 0,
      limits: () => ({ associations: 10, associationsPerRemote: 10 }),
      timeouts: () => ({ association: 5000, idle: 5000, writeStall: 5000, release: 5000, abortGrace: 100 }),
      policy: () => ({
        decideAccess: (request) => access.decide(request),
        negotiateContexts,
        negotiateRoles: () => [],
        negotiateExtended: () => [],
      }),
      implementation: { classUID: '2.25.1', versionName: 'TEST_PEER' },
      maximumLength: 16384,
      unavailable: () => undefined,
      onRejected: () => undefined,
      onProtocolError: () => undefined,
      onFault: (error) => {
        throw error;
      },
      onAssociation: (association) => sessions.push(new Session(association, { services: [echo] })),
    });
    ({ port } = await listener.listen());
    raw = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        if (answer === 'hang') return;
        if (answer === 'close') socket.destroy();
        else socket.end(answer);
      });
    });
    await new Promise<void>((resolve) => raw.listen(0, '127.0.0.1', resolve));
    rawPort = (raw.address() as AddressInfo).port;
  });
  afterAll(async () => {
    raw.close();
    await listener.close();
  });

  const fileFor = (host: string, peerPort: number): string =>
    config(
      `version: 1\nremotes:\n  pacs: {aeTitle: NODE, host: ${host}, port: ${peerPort}}\n  any: {aeTitle: "*", host: ${host}}\n` +
        'timeouts: {association: 300ms, response: 2s}\n',
      'echo.yaml',
    );

  it('says that a peer is alive, and how fast', async () => {
    const file = fileFor('127.0.0.1', port);
    const result = await isocenter(['echo', 'pacs', '-c', file]);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toMatch(
      /^NODE at 127\.0\.0\.1:\d+ is alive \(TEST_PEER\): association [\d.]+ ms, 1 echo [\d.]+ ms\n$/,
    );
    const json = await isocenter(['echo', `NODE@127.0.0.1:${port}`, '--count', '3', '--json', '-c', file]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      aeTitle: 'NODE',
      implementation: 'TEST_PEER',
      pduLength: 16384,
      echoMilliseconds: [expect.any(Number), expect.any(Number), expect.any(Number)],
    });
  });

  it.each<[string, string[], number, RegExp]>([
    [
      'a called title that is not known',
      ['echo', 'WRONG@HOST'],
      4,
      /^isocenter: WRONG at .* rejected 1\/1\/7 .*called AE title not recognized\n {2}.*another AE title/,
    ],
    [
      'a calling title that is not known',
      ['echo', 'NODE@HOST', '--aet', 'STRANGER'],
      4,
      /rejected 1\/1\/3 .*calling AE title not recognized\n {2}enter our AE title/,
    ],
    [
      'a right that is not given',
      ['echo', 'NODE@HOST', '--aet', 'MUTE'],
      1,
      /^isocenter: NODE at .* answered C-ECHO with .*0124/i,
    ],
    [
      'a remote without a port',
      ['echo', 'any'],
      2,
      /^isocenter: the remote "any" can't be called: it needs an aeTitle without \* and \?\n {2}add it to remotes\.any/,
    ],
    [
      'a remote that is not there',
      ['echo', 'pasc'],
      2,
      /^isocenter: there is no remote "pasc" in .*echo\.yaml - did you mean "pacs"\?\n/,
    ],
  ])('explains %s', async (_what, args, code, message) => {
    const file = fileFor('127.0.0.1', port);
    const words = args.map((word) => word.replace('HOST', `127.0.0.1:${port}`));
    const result = await isocenter([...words, '-c', file]);
    expect(result.stderr).toMatch(message);
    expect(result).toMatchObject({ code, stdout: '' });
  });

  it.each<[string, Answer, number, RegExp]>([
    ['is congested', Buffer.from([3, 0, 0, 0, 0, 4, 0, 2, 3, 1]), 4, /rejected 2\/3\/1/],
    ['aborts', Buffer.from([7, 0, 0, 0, 0, 4, 0, 0, 0, 0]), 4, /abort/],
    ['hangs up', 'close', 5, /closed the connection/],
    ['says nothing', 'hang', 5, /./],
    ['is a web server', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 4, /./],
  ])('explains a peer that %s', async (_what, what, code, message) => {
    answer = what;
    const result = await isocenter(['echo', `X@127.0.0.1:${rawPort}`, '-c', fileFor('127.0.0.1', rawPort)]);
    expect(result).toMatchObject({ code, stdout: '' });
    expect(result.stderr).toMatch(message);
    expect(result.stderr.split('\n').length).toBeLessThanOrEqual(3);
  });

  it('explains that nobody listens', async () => {
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
    const { port: freed } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const result = await isocenter(['echo', `X@127.0.0.1:${freed}`, '-c', fileFor('127.0.0.1', freed)]);
    expect(result.code).toBe(5);
    expect(result.stderr).toMatch(/ECONNREFUSED\n {2}nothing listens/);
  });
});
