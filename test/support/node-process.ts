import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { run } from './tools';
import type { RunResult } from './tools';

/** The real node as a process of its own, as a sysadmin would start it. */
export interface NodeProcess {
  readonly pid: number;
  readonly port: number;
  /** Holds `isocenter.yaml` and `data/`. */
  readonly folder: string;
  readonly dataDirectory: string;
  readonly configFile: string;
  /** Everything printed so far, stdout and stderr. */
  logs(): string;
  /** Resolves when `pattern` has been printed; rejects after `timeout` ms or when the node has ended. */
  logged(pattern: RegExp, timeout?: number): Promise<string>;
  /** Kibibytes resident now, and the highest so far. */
  rss(): { readonly now: number; readonly peak: number };
  /** Open file descriptors. */
  fds(): number;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, and waits for the end. */
  stop(timeout?: number): Promise<NodeExit>;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<NodeExit>;
  readonly exited: Promise<NodeExit>;
  readonly running: boolean;
  /** `isocenter ARGS` with the node's configuration. */
  cli(args: readonly string[], timeout?: number): Promise<RunResult>;
}

export interface NodeExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Keys of the configuration file (interface.md); each given one replaces the whole default. */
export type NodeConfig = Readonly<Record<string, unknown>>;

export interface StartOptions {
  /** A folder of an earlier start, to start on its data again. */
  readonly folder?: string;
  /** Where the bytes go, when not to `data/` in the folder. */
  readonly dataDirectory?: string;
  readonly config?: NodeConfig;
  /** Words before the node's own command, such as strace and its options. */
  readonly wrapper?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds until it has to be ready. */
  readonly timeout?: number;
}

const ROOT = path.join(__dirname, '..', '..');
const COMMAND = path.join(ROOT, 'scripts', 'isocenter');

/** Every folder that was made and isn't removed yet: a failed test leaves none behind. */
const folders = new Set<string>();
const children = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true });
});

export async function makeFolder(): Promise<string> {
  const folder = await fsp.mkdtemp(path.join(os.tmpdir(), 'isocenter-test-'));
  folders.add(folder);
  return folder;
}

export async function removeFolder(folder: string): Promise<void> {
  await fsp.rm(folder, { recursive: true, force: true });
  folders.delete(folder);
}

/** Short timers and room for everything; TESTER and the ledger's associations may store. */
export function defaultConfig(dataDirectory: string): NodeConfig {
  return {
    version: 1,
    aeTitles: ['NODE'],
    listen: { host: '127.0.0.1', port: 0 },
    storage: { directory: dataDirectory, reserve: '1%', duplicates: 'refuse' },
    access: { unknownCallers: 'refuse', calledAeTitle: 'check' },
    remotes: {
      tester: { aeTitle: 'TESTER', host: '127.0.0.0/8', allow: ['echo', 'store'] },
      ledgers: { aeTitle: 'LEDGER*', host: '127.0.0.0/8', allow: ['echo', 'store'] },
      orthanc: { aeTitle: 'ORTHANC', host: '127.0.0.0/8', allow: ['echo', 'store'] },
      strict: { aeTitle: 'STRICT', host: '127.0.0.0/8', allow: ['echo', 'store'], unknownSyntaxes: false },
      replacing: {
        aeTitle: 'REPLACING',
        host: '127.0.0.0/8',
        allow: ['echo', 'store'],
        duplicates: 'replace',
      },
      echoer: { aeTitle: 'ECHOER', host: '127.0.0.0/8', allow: ['echo'] },
    },
    limits: { associations: 200, associationsPerRemote: 100, pduLength: 131072 },
    timeouts: { association: '2s', idle: '30s', response: '30s', writeStall: '10s' },
    log: { level: 'info', format: 'text' },
  };
}

export async function writeConfig(folder: string, options: StartOptions = {}): Promise<string> {
  const file = path.join(folder, 'isocenter.yaml');
  const dataDirectory = options.dataDirectory ?? path.join(folder, 'data');
  // JSON is YAML 1.2.
  await fsp.writeFile(
    file,
    JSON.stringify({ ...defaultConfig(dataDirectory), ...options.config }, undefined, 2),
  );
  return file;
}

/** Runs one command of `isocenter` to its end. */
export function isocenter(args: readonly string[], timeout = 30_000): Promise<RunResult> {
  return run(process.execPath, [COMMAND, ...args], { timeout });
}

/** Starts a node on a port of its own and waits until it is ready. */
export async function startNode(options: StartOptions = {}): Promise<NodeProcess> {
  const folder = options.folder ?? (await makeFolder());
  const dataDirectory = options.dataDirectory ?? path.join(folder, 'data');
  const configFile = await writeConfig(folder, options);
  const words = [...(options.wrapper ?? []), process.execPath, COMMAND, 'serve', '--config', configFile];
  const child = spawn(words[0]!, words.slice(1), {
    cwd: folder,
    env: { ...process.env, UV_THREADPOOL_SIZE: '16', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);

  let log = '';
  let ended: NodeExit | undefined;
  const watchers = new Set<() => void>();
  const collect = (chunk: Buffer): void => {
    log += chunk.toString('utf8');
    for (const watcher of watchers) watcher();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const exited = new Promise<NodeExit>((resolve) => {
    // `close`: after the last line was read.
    child.once('close', (code, signal) => {
      ended = { code, signal };
      children.delete(child);
      resolve(ended);
      for (const watcher of watchers) watcher();
    });
  });

  const logged = (pattern: RegExp, timeout = 15_000): Promise<string> =>
    new Promise((resolve, reject) => {
      const finish = (): void => {
        clearTimeout(timer);
        watchers.delete(watcher);
      };
      const watcher = (): void => {
        const match = pattern.exec(log);
        if (match !== null) {
          finish();
          resolve(match[0]);
        } else if (ended !== undefined) {
          finish();
          reject(
            new Error(
              `the node ended (${String(ended.code ?? ended.signal)}) before printing ${String(pattern)}:\n${log}`,
            ),
          );
        }
      };
      const timer = setTimeout(() => {
        watchers.delete(watcher);
        reject(new Error(`the node did not print ${String(pattern)} within ${timeout} ms:\n${log}`));
      }, timeout);
      watchers.add(watcher);
      watcher();
    });

  let port: number;
  try {
    const line = await logged(/^.*\blistening\b.*$/m, options.timeout ?? 20_000);
    port = portOf(line);
    // Until the store has been looked through every caller is refused.
    await logged(/\bready\b/, options.timeout ?? 20_000);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  // Under a wrapper the node is its child.
  const pid = options.wrapper === undefined ? child.pid! : childOf(child.pid!);

  return {
    pid,
    port,
    folder,
    dataDirectory,
    configFile,
    logs: () => log,
    logged,
    rss: () => {
      const status = fs.readFileSync(`/proc/${pid}/status`, 'latin1');
      const field = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]);
      return { now: field('VmRSS'), peak: field('VmHWM') };
    },
    fds: () => fs.readdirSync(`/proc/${pid}/fd`).length,
    signal: (signal) => {
      process.kill(pid, signal);
    },
    stop: async (timeout = 35_000) => {
      if (ended !== undefined) return ended;
      process.kill(pid, 'SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
      const end = await exited;
      clearTimeout(timer);
      return end;
    },
    kill: async () => {
      if (ended !== undefined) return ended;
      process.kill(pid, 'SIGKILL');
      return exited;
    },
    exited,
    get running() {
      return ended === undefined;
    },
    cli: (args, timeout) => isocenter([...args, '--config', configFile], timeout),
  };
}

/** The port that a line says it listens on: the number after the last colon, or after the word port. */
function portOf(line: string): number {
  const match = /"port":\s*"?(\d+)/.exec(line) ?? /\bport[ =](\d+)/.exec(line) ?? /.*:(\d+)/.exec(line);
  if (match === null) throw new Error(`no port in the line: ${line}`);
  return Number(match[1]);
}

function childOf(pid: number): number {
  const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ');
  if (children[0] === undefined || children[0] === '') throw new Error(`process ${pid} has no child`);
  return Number(children[0]);
}
