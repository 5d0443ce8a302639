/**
 * The servers that are measured: the node, and its peers as Debian packages them. Each starts on a free port with an empty folder of
 * its own and says by its own means how many instances it holds.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type * as ScuModule from './scu';

// Node takes this file as an ES module and wants `./scu.ts`; the compiler takes it as CommonJS and wants `./scu`. Loading at run time from
// beside the entry script, with the types imported, suits both.
const { Scu } = createRequire(process.argv[1]!)('./scu.ts') as typeof ScuModule;

export const ROOT = path.join(path.dirname(process.argv[1]!), '../..');

/** Without it DCMTK leaves Nagle's algorithm on, and each message waits up to 40 ms for an acknowledgement. */
export const PEER_ENVIRONMENT = { ...process.env, TCP_NODELAY: '1' };

export interface RunningTarget {
  readonly port: number;
  readonly calledAETitle: string;
  readonly pid: number;
  readonly process: ChildProcess;
  /** Milliseconds from the start to the first C-ECHO answered. */
  readonly startTime: number;
  /** Instances that it holds, by its own account. */
  count(): number | Promise<number>;
  /** What it printed so far. */
  output(): string;
  /** Ends it: SIGTERM, and SIGKILL after 35 s. Resolves when it has ended. */
  stop(): Promise<void>;
}

/** A C-STORE SCP on this machine that a server knows by its title. */
export interface Destination {
  readonly aeTitle: string;
  readonly port: number;
}

export interface Target {
  readonly name: string;
  /** Whether its programs are there. */
  available(): boolean;
  /**
   * Starts it in `directory`, which exists and is empty. `associations` is what it has to serve at a time, `pdu` the longest PDU that a
   * peer of ours takes, in bytes, `destination` where it may send to.
   */
  start(
    directory: string,
    associations: number,
    pdu: number,
    destination?: Destination,
  ): Promise<RunningTarget>;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export function installed(program: string): boolean {
  return (process.env['PATH'] ?? '')
    .split(':')
    .concat('/usr/sbin')
    .some((folder) => {
      try {
        return readdirSync(folder).includes(program);
      } catch {
        return false;
      }
    });
}

const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

export interface Launch {
  readonly program: string;
  readonly words: readonly string[];
  readonly directory: string;
  readonly port: number;
  readonly calledAETitle: string;
  readonly environment?: NodeJS.ProcessEnv;
  /** Opens an IPC channel. */
  readonly ipc?: boolean;
  count(): number | Promise<number>;
}

/** Starts a server and waits, at most 60 s, until it answers a C-ECHO. */
export async function launch(options: Launch): Promise<RunningTarget> {
  const { program, words, directory, port, calledAETitle } = options;
  const log = path.join(directory, 'output.log');
  const fd = openSync(log, 'a');
  const started = performance.now();
  const child = spawn(program, words, {
    cwd: directory,
    env: options.environment ?? PEER_ENVIRONMENT,
    stdio: options.ipc === true ? ['ignore', fd, fd, 'ipc'] : ['ignore', fd, fd],
  });
  closeSync(fd);
  alive.add(child);
  const ended = once(child, 'exit').finally(() => alive.delete(child));
  const output = (): string => readFileSync(log, 'utf8');
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 35_000);
      await ended;
      clearTimeout(late);
    }
  };
  const deadline = started + 60_000;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${program} ended at once:\n${output()}`);
    try {
      const scu = await Scu.open({ port, calledAETitle });
      await scu.echo();
      const startTime = performance.now() - started;
      await scu.release();
      return {
        port,
        calledAETitle,
        pid: child.pid!,
        process: child,
        startTime,
        count: () => options.count(),
        output,
        stop,
      };
    } catch (error) {
      if (performance.now() > deadline) {
        await stop();
        throw new Error(`${program} answered no C-ECHO within 60 s: ${String(error)}\n${output()}`);
      }
      await delay(5);
    }
  }
}

/**
 * Gives back the space of a measured store and leaves the names: ext4 passes over inodes that were freed in the last seconds, one by one
 * (`recently_deleted`), so that removing a store would slow down every file that the next server creates, by as much as a sync costs.
 */
export function emptyFiles(directory: string): void {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) truncateSync(path.join(entry.parentPath, entry.name));
  }
}

const files = (folder: string, accept: (name: string) => boolean): number =>
  readdirSync(folder).filter(accept).length;

function storescp(name: string, ...extra: string[]): Target {
  return {
    name,
    available: () => installed('storescp'),
    start: async (directory, associations, pdu) => {
      const received = path.join(directory, 'received');
      mkdirSync(received);
      const port = await freePort();
      const mode = associations > 1 ? ['--fork'] : [];
      return launch({
        program: 'storescp',
        words: ['+B', '-od', received, '--max-pdu', String(pdu), ...mode, ...extra, String(port)],
        directory,
        port,
        calledAETitle: 'STORESCP',
        count: () => files(received, (file) => !file.startsWith('.')),
      });
    },
  };
}

const dcmqrscp: Target = {
  name: 'dcmqrscp',
  available: () => installed('dcmqrscp'),
  start: async (directory, _associations, pdu, destination) => {
    const received = path.join(directory, 'received');
    mkdirSync(received);
    const port = await freePort();
    const config = path.join(directory, 'dcmqrscp.cfg');
    writeFileSync(
      config,
      `NetworkTCPPort = ${port}
MaxPDUSize = ${pdu}
MaxAssociations = 16
HostTable BEGIN
${destination === undefined ? '' : `destination = (${destination.aeTitle}, localhost, ${destination.port})`}
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
QRSCP ${received} RW (500, 1024mb) ANY
AETable END
`,
    );
    return launch({
      program: 'dcmqrscp',
      words: ['--config', config],
      directory,
      port,
      calledAETitle: 'QRSCP',
      count: () => files(received, (file) => file.endsWith('.dcm')),
    });
  },
};

const orthanc: Target = {
  name: 'Orthanc',
  available: () => installed('Orthanc'),
  start: async (directory, _associations, pdu, destination) => {
    const port = await freePort();
    const httpPort = await freePort();
    const config = path.join(directory, 'orthanc.json');
    const settings = {
      StorageDirectory: path.join(directory, 'storage'),
      IndexDirectory: path.join(directory, 'storage'),
      DicomPort: port,
      DicomAet: 'ORTHANC',
      MaximumPduLength: pdu,
      HttpPort: httpPort,
      RemoteAccessAllowed: false,
      AuthenticationEnabled: false,
      DicomAlwaysAllowFind: true,
      DicomAlwaysAllowGet: true,
      DicomAlwaysAllowMove: true,
      ...(destination === undefined
        ? {}
        : { DicomModalities: { destination: [destination.aeTitle, '127.0.0.1', destination.port] } }),
      Plugins: [],
    };
    writeFileSync(config, JSON.stringify(settings));
    return launch({
      program: 'Orthanc',
      words: [config],
      directory,
      port,
      calledAETitle: 'ORTHANC',
      count: async () => {
        const answer = await fetch(`http://127.0.0.1:${httpPort}/statistics`);
        return ((await answer.json()) as { CountInstances: number }).CountInstances;
      },
    });
  },
};

export interface NodeOptions {
  /** Words for node itself, before the script. */
  readonly nodeWords?: readonly string[];
  readonly ipc?: boolean;
  /** Further lines of the configuration. */
  readonly settings?: string;
}

/** Writes a configuration that differs from the shipped one in port and directory alone, but for `settings`. */
export async function writeNodeConfig(
  directory: string,
  settings = '',
): Promise<{ config: string; port: number }> {
  const port = await freePort();
  const config = path.join(directory, 'isocenter.yaml');
  writeFileSync(
    config,
    `version: 1
aeTitles: [ISOCENTER]
listen: { host: 127.0.0.1, port: ${port} }
storage: { directory: ${JSON.stringify(path.join(directory, 'data'))} }
remotes:
  local: { aeTitle: '*', host: 127.0.0.0/8, allow: [echo, store, find, get, move, commit] }
${settings}`,
  );
  return { config, port };
}

/** Further words for node itself in every run, to try a setting: BENCH_NODE_FLAGS="--trace-gc" node scripts/bench/store.ts */
const TRIED_FLAGS = (process.env['BENCH_NODE_FLAGS'] ?? '').split(' ').filter((word) => word !== '');

/** Starts the node of this checkout, as built. A `directory` with a store in it is opened as it is. */
export async function startNode(directory: string, options: NodeOptions = {}): Promise<RunningTarget> {
  const { config, port } = await writeNodeConfig(directory, options.settings);
  const script = path.join(ROOT, 'scripts/isocenter');
  return launch({
    program: process.execPath,
    words: [...TRIED_FLAGS, ...(options.nodeWords ?? []), script, 'serve', '--config', config],
    directory,
    port,
    calledAETitle: 'ISOCENTER',
    environment: process.env,
    ...(options.ipc === undefined ? {} : { ipc: options.ipc }),
    count: () => {
      const found = execFileSync(
        process.execPath,
        [script, 'find', 'instances', '--json', '--limit', '0', '--config', config],
        {
          encoding: 'utf8',
          maxBuffer: 2 ** 30,
        },
      );
      return found.split('\n').filter((line) => line.includes('SOPInstanceUID')).length;
    },
  });
}

const isocenter: Target = {
  name: 'Isocenter',
  available: () => {
    try {
      return readdirSync(path.join(ROOT, 'dist/cli')).includes('main.js');
    } catch {
      return false;
    }
  },
  start: (directory, _associations, _pdu, destination) =>
    startNode(
      directory,
      destination === undefined
        ? {}
        : {
            settings: `  destination: { aeTitle: ${destination.aeTitle}, host: 127.0.0.1, port: ${destination.port}, allow: [] }\n`,
          },
    ),
};

/** Every server, in the order of the tables. `sink` is storescp as it receives and forgets. */
export const TARGETS: readonly Target[] = [
  isocenter,
  orthanc,
  storescp('storescp +B'),
  dcmqrscp,
  storescp('sink', '--ignore'),
];
