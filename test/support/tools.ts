import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

/** Other people's programs, as peers and as judges. */
export type Tool = 'dcmtk' | 'orthanc' | 'pydicom' | 'strace' | 'mount' | 'ext4';

const PYTHON = '/usr/bin/python3';
const ORTHANC = '/usr/sbin/Orthanc';
const ORACLE = path.join(__dirname, 'oracle.py');
export const PYDICOM_DATA = '/usr/lib/python3/dist-packages/pydicom/data';

const found = new Map<Tool, boolean>();

export function hasTool(tool: Tool): boolean {
  let present = found.get(tool);
  if (present === undefined) {
    present = look(tool);
    found.set(tool, present);
  }
  return present;
}

function look(tool: Tool): boolean {
  switch (tool) {
    case 'dcmtk':
      return ['echoscu', 'storescu', 'dcmsend', 'dcmconv', 'dcmcjpeg', 'dcmftest'].every((name) =>
        onPath(name),
      );
    case 'orthanc':
      return fs.existsSync(ORTHANC);
    case 'pydicom':
      return succeeds(PYTHON, ['-c', 'import pydicom, numpy']);
    case 'strace':
      return succeeds('strace', ['-qq', '-o', '/dev/null', '-e', 'trace=fdatasync', 'true']);
    case 'mount':
      return canMount((folder) => execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]));
    case 'ext4':
      return canMount((folder, image) => {
        execFileSync('truncate', ['-s', '8M', image]);
        execFileSync('/usr/sbin/mkfs.ext4', ['-qF', image], { stdio: 'ignore' });
        execFileSync('mount', ['-o', 'loop', image, folder], { stdio: 'ignore' });
      });
  }
}

function onPath(name: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(':').concat('/usr/bin');
  return folders.some((folder) => fs.existsSync(path.join(folder, name)));
}

function succeeds(program: string, args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore', timeout: 20_000 });
    return true;
  } catch {
    return false;
  }
}

/** Mounts need root, and a machine that lets root mount: only a trial tells. */
function canMount(mount: (folder: string, image: string) => void): boolean {
  if (process.getuid?.() !== 0) return false;
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'isocenter-mount-'));
  const folder = path.join(scratch, 'mounted');
  fs.mkdirSync(folder);
  try {
    mount(folder, path.join(scratch, 'image'));
    execFileSync('umount', [folder]);
    return true;
  } catch {
    return false;
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

const ABSENT: Record<Tool, string> = {
  dcmtk: 'DCMTK is not installed',
  orthanc: 'Orthanc is not installed',
  pydicom: 'pydicom and numpy are not installed',
  strace: 'strace is not installed, or may not trace here',
  mount: 'mounting needs root',
  ext4: 'loop-mounting ext4 needs root and e2fsprogs',
};

/**
 * A suite that needs other people's programs. Where one is missing its tests are skipped, by name and with the reason;
 * with ISOCENTER_REQUIRE_INTEROP=1, as in continuous integration, they fail instead.
 */
export function describeInterop(tools: readonly Tool[], title: string, body: () => void): void {
  const absent = tools.filter((tool) => !hasTool(tool));
  if (absent.length === 0) {
    describe(title, body);
    return;
  }
  const reason = absent.map((tool) => ABSENT[tool]).join(', ');
  if (process.env['ISOCENTER_REQUIRE_INTEROP'] === '1') {
    describe(title, () => {
      it('has what it needs', () => {
        throw new Error(`must not be skipped here: ${reason}`);
      });
    });
    return;
  }
  describe.skip(`${title} (skipped: ${reason})`, body);
}

export interface RunResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, in the order in which they came. */
  readonly output: string;
}

export interface RunOptions {
  /** Milliseconds; the program is killed then, and the promise rejects. */
  readonly timeout?: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program to its end. Its exit code is for the caller to judge. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const limit = options.timeout ?? 30_000;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, TCP_NODELAY: '1', ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const output: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => {
      stdout.push(chunk);
      output.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr.push(chunk);
      output.push(chunk);
    });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, limit);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      const all = Buffer.concat(output).toString('utf8');
      if (late) {
        reject(new Error(`${program} ${args.join(' ')} did not end within ${limit} ms:\n${all}`));
        return;
      }
      resolve({
        code,
        signal,
        stdout: Buffer.concat(stdout).toString('utf8'),
        stderr: Buffer.concat(stderr).toString('utf8'),
        output: all,
      });
    });
  });
}

/** Runs a program that has to succeed. */
export async function must(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const result = await run(program, args, options);
  if (result.code !== 0) {
    throw new Error(`${program} ${args.join(' ')} exited with ${String(result.code)}:\n${result.output}`);
  }
  return result;
}

/**
 * Statuses in the order of the responses, from the output of a DCMTK program run with `-d`. Of an echo it tells in words
 * whether it was a success: 0000, else FFFF here.
 */
export function statusesOf(output: string): number[] {
  return [...output.matchAll(/DIMSE Status\s+: 0x([0-9a-fA-F]{4})|Received Echo Response \((\w+)/g)].map(
    (match) =>
      match[1] === undefined ? (match[2] === 'Success' ? 0 : 0xffff) : Number.parseInt(match[1], 16),
  );
}

/** DCMTK against a node on this machine: title TESTER calls NODE unless `args` say otherwise. */
export const dcmtk = {
  echoscu: (port: number, args: readonly string[] = [], options?: RunOptions) =>
    run('echoscu', ['-d', ...titles(args), ...args, '127.0.0.1', String(port)], options),
  storescu: (port: number, files: readonly string[], args: readonly string[] = [], options?: RunOptions) =>
    run('storescu', ['-d', ...titles(args), ...args, '127.0.0.1', String(port), ...files], options),
  dcmsend: (port: number, files: readonly string[], args: readonly string[] = [], options?: RunOptions) =>
    run('dcmsend', ['-d', ...titles(args), ...args, '127.0.0.1', String(port), ...files], options),
};

function titles(args: readonly string[]): string[] {
  return [
    ...(args.includes('-aet') ? [] : ['-aet', 'TESTER']),
    ...(args.includes('-aec') ? [] : ['-aec', 'NODE']),
  ];
}

export interface OracleHeader {
  readonly SOPClassUID?: string;
  readonly SOPInstanceUID?: string;
  readonly StudyInstanceUID?: string;
  readonly SeriesInstanceUID?: string;
  readonly PatientID?: string;
  readonly PatientName?: string;
  readonly StudyDate?: string;
  readonly StudyDescription?: string;
  readonly Modality?: string;
  readonly SpecificCharacterSet?: string;
  readonly implicit: boolean;
  readonly littleEndian: boolean;
  readonly transferSyntax: string | null;
}

/** pydicom's view of files, one answer a file. */
export const pydicom = {
  headers: (files: readonly string[]) => oracle<OracleHeader>('header', files),
  offsets: (files: readonly string[]) => oracle<number>('offset', files),
  /** SHA-256 of Pixel Data as it stands in each file; null where there is none. */
  pixels: (files: readonly string[]) => oracle<string | null>('pixels', files),
  /** Whether the two uncompressed files of each pair hold the same data set. */
  same: (pairs: readonly (readonly [string, string])[]) =>
    oracle<boolean>(
      'same',
      pairs.map((pair) => pair.join('|')),
    ),
};

async function oracle<T>(command: string, files: readonly string[]): Promise<T[]> {
  const { stdout } = await must(PYTHON, [ORACLE, command, ...files], { timeout: 60_000 });
  return JSON.parse(stdout) as T[];
}

/** All .dcm files of python3-pydicom, those in folders too. */
export async function pydicomFiles(): Promise<string[]> {
  const files: string[] = [];
  for (const folder of ['test_files', 'charset_files']) {
    for (const name of await fsp.readdir(path.join(PYDICOM_DATA, folder), { recursive: true })) {
      if (name.endsWith('.dcm')) files.push(path.join(PYDICOM_DATA, folder, name));
    }
  }
  return files.sort();
}

/** A port that was free a moment ago, for programs that can't be told to choose one themselves. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

export interface OrthancPeer {
  readonly dicomPort: number;
  /** A request to its REST API; rejects on any status but 2xx. */
  rest(method: string, path: string, body?: Buffer | string): Promise<string>;
  /** An instance as the file that it keeps. */
  file(id: string): Promise<Buffer>;
  stop(): Promise<void>;
}

/** Starts Orthanc as a peer that knows the node under the name `node`. */
export async function startOrthanc(nodePort: number): Promise<OrthancPeer> {
  const folder = await fsp.mkdtemp(path.join(os.tmpdir(), 'isocenter-orthanc-'));
  const [dicomPort, httpPort] = [await freePort(), await freePort()];
  const configuration = path.join(folder, 'orthanc.json');
  await fsp.writeFile(
    configuration,
    JSON.stringify({
      StorageDirectory: folder,
      IndexDirectory: folder,
      DicomAet: 'ORTHANC',
      DicomPort: dicomPort,
      HttpPort: httpPort,
      RemoteAccessAllowed: false,
      AuthenticationEnabled: false,
      DicomModalities: { node: ['NODE', '127.0.0.1', nodePort] },
      Plugins: [],
    }),
  );
  const child = spawn(ORTHANC, [configuration], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TCP_NODELAY: '1' },
  });
  let log = '';
  const collect = (chunk: Buffer): void => {
    log += chunk.toString('utf8');
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const rest = async (method: string, where: string, body?: Buffer | string): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${httpPort}${where}`, {
      method,
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : new Uint8Array(body) }),
      signal: AbortSignal.timeout(30_000),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`Orthanc: ${method} ${where}: ${answer.status} ${text}`);
    return text;
  };
  const file = async (id: string): Promise<Buffer> => {
    const answer = await fetch(`http://127.0.0.1:${httpPort}/instances/${id}/file`, {
      signal: AbortSignal.timeout(30_000),
    });
    if (!answer.ok) throw new Error(`Orthanc: the file of ${id}: ${answer.status}`);
    return Buffer.from(await answer.arrayBuffer());
  };
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await exited;
    await fsp.rm(folder, { recursive: true, force: true });
  };
  const until = Date.now() + 15_000;
  while (!log.includes('Orthanc has started')) {
    if (Date.now() > until || child.exitCode !== null) {
      await stop();
      throw new Error(`Orthanc does not start:\n${log}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { dicomPort, rest, file, stop };
}
