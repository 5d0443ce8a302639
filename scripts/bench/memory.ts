#!/usr/bin/env -S node --disable-warning=MODULE_TYPELESS_PACKAGE_JSON
/**
 * Memory and promptness of the node: idle, while one object of 2 GiB is stored, while 64 associations store at once, and under the
 * loads of store.ts. Peak memory is the kernel's (`VmHWM`). Promptness is measured from within (delay of the event loop, by a preload) and
 * from without (a C-ECHO every 20 ms on an association of its own), beside a process that does nothing on the same machine.
 *
 *   node scripts/bench/memory.ts [--only idle,2gib,64,ct4,mr4] [--bytes 2147483648] [--associations 64] [--each 20] [--dir FOLDER] [--json]
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import type * as GenSeries from '../gen-series';
import type { LoopDelay } from './loop-delay';
import type * as ProbeModule from './probe';
import type { Answers } from './probe';
import type * as Report from './report';
import type { SendResult } from './send';
import type * as Storescu from './storescu';
import type * as Targets from './targets';
import type { RunningTarget } from './targets';

const load = createRequire(process.argv[1]!);
const { writeSeries } = load('../gen-series.ts') as typeof GenSeries;
const probes = load('./probe.ts') as typeof ProbeModule;
const { describeMachine, fixed, machineLine, median, table } = load('./report.ts') as typeof Report;
const { sendFolders } = load('./storescu.ts') as typeof Storescu;
const { emptyFiles, startNode } = load('./targets.ts') as typeof Targets;

interface Load {
  readonly instances: number;
  readonly seconds: number;
  readonly failures: readonly string[];
}

interface Scenario {
  readonly name: string;
  readonly title: string;
  /** Makes what is sent, then tells how to send it. */
  prepare(scratch: string): Promise<(node: RunningTarget) => Promise<Load>>;
}

interface Result extends Load {
  readonly name: string;
  readonly title: string;
  readonly held: number;
  /** MiB. */
  readonly peak: number;
  readonly after: number;
  readonly loop: LoopDelay;
  readonly idleLoop: LoopDelay;
  readonly echo: Answers;
  readonly idleEcho: Answers;
  readonly machineEcho: Answers;
}

function storescuScenario(name: string, title: string, options: GenSeries.SeriesOptions): Scenario {
  return {
    name,
    title,
    prepare: async (scratch) => {
      const source = path.join(scratch, `source-${name}`);
      const instances = await writeSeries(source, options);
      const folders = readdirSync(source).map((study) => path.join(source, study));
      return async (node) => {
        const { seconds, complaints } = await sendFolders(folders, node.port, node.calledAETitle, 300);
        return { instances, seconds, failures: complaints };
      };
    },
  };
}

/** 64 processes of DCMTK would fight the node for the processors; one sender of our own plays them all. */
function manyScenario(associations: number, each: number): Scenario {
  return {
    name: '64',
    title: `${associations} associations, ${each} CT each`,
    prepare: () =>
      Promise.resolve(async (node) => {
        const script = path.join(path.dirname(process.argv[1]!), 'send.ts');
        const words = [
          '--port',
          node.port,
          '--called',
          node.calledAETitle,
          '--associations',
          associations,
          '--each',
          each,
        ];
        const { stdout } = await promisify(execFile)(process.execPath, [script, ...words.map(String)], {
          timeout: 300_000,
        });
        return JSON.parse(stdout) as SendResult;
      }),
  };
}

async function measure(scenario: Scenario, scratch: string): Promise<Result> {
  const run = await scenario.prepare(scratch);
  const directory = path.join(scratch, `store-${scenario.name}`);
  mkdirSync(directory);
  const idle = await probes.startIdleProcess();
  const node = await startNode(directory, {
    nodeWords: probes.LOOP_DELAY_WORDS,
    ipc: true,
    settings: 'limits: { associations: 200, associationsPerRemote: 100 }\n',
  });
  try {
    execFileSync('sync');
    await delay(1000);
    const before = await probes.echoProbe(node.port, node.calledAETitle);
    await delay(2000);
    const idleEcho = await before.stop();

    probes.resetLoopDelay(node.process);
    probes.resetLoopDelay(idle.child);
    const echoes = await probes.echoProbe(node.port, node.calledAETitle);
    const machine = idle.probe();
    const done = await run(node);
    const echo = await echoes.stop();
    const machineEcho = await machine.stop();
    const loop = await probes.readLoopDelay(node.process);
    const idleLoop = await probes.readLoopDelay(idle.child);
    const peak = probes.memoryOf(node.pid, 'VmHWM');
    const after = probes.memoryOf(node.pid, 'VmRSS');
    const held = await node.count();
    const { name, title } = scenario;
    return { ...done, name, title, held, peak, after, loop, idleLoop, echo, idleEcho, machineEcho };
  } finally {
    idle.stop();
    await node.stop();
    emptyFiles(directory);
  }
}

/** Five starts on an empty store: milliseconds to the first C-ECHO, and MiB two seconds later. */
async function measureIdle(scratch: string): Promise<{ start: number[]; idle: number[] }> {
  const start: number[] = [];
  const idle: number[] = [];
  for (let round = 0; round < 5; round++) {
    const directory = path.join(scratch, 'store');
    mkdirSync(directory);
    const node = await startNode(directory);
    try {
      start.push(node.startTime);
      await delay(2000);
      idle.push(probes.memoryOf(node.pid, 'VmRSS'));
    } finally {
      await node.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  }
  return { start, idle };
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: 'idle,2gib,64,ct4,mr4' },
      bytes: { type: 'string', default: String(2 ** 31) },
      associations: { type: 'string', default: '64' },
      each: { type: 'string', default: '20' },
      dir: { type: 'string', default: tmpdir() },
      json: { type: 'boolean', default: false },
    },
  });
  const bytes = Number(values.bytes);
  const wanted = values.only.split(',');
  const scratch = mkdtempSync(path.join(values.dir, 'isocenter-bench-'));
  process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
  const scenarios = [
    storescuScenario('2gib', `one object of ${fixed(bytes / 2 ** 30, 2)} GiB`, { kind: 'multiframe', bytes }),
    manyScenario(Number(values.associations), Number(values.each)),
    storescuScenario('ct4', '500 CT on 4 associations', { kind: 'ct', instances: 500, studies: 4 }),
    storescuScenario('mr4', '2000 MR on 4 associations', { kind: 'mr', instances: 2000, studies: 4 }),
  ].filter(({ name }) => wanted.includes(name));

  const idle = wanted.includes('idle') ? await measureIdle(scratch) : undefined;
  const results: Result[] = [];
  for (const scenario of scenarios) {
    process.stderr.write(`${scenario.title}\n`);
    results.push(await measure(scenario, scratch));
    // Not before the probes have ended: giving 2 GiB back holds this process up.
    if (scenario.name !== '64') emptyFiles(path.join(scratch, `source-${scenario.name}`));
  }

  const machine = describeMachine(scratch);
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ machine, idle, results }, null, 2)}\n`);
  } else {
    process.stdout.write(`${machineLine(machine)}\n\n`);
    if (idle !== undefined) {
      const { start } = idle;
      process.stdout.write(
        `start to first C-ECHO: median ${fixed(median(start))} ms [${fixed(Math.min(...start))}..${fixed(Math.max(...start))}]\n` +
          `idle: ${fixed(median(idle.idle))} MiB\n\n`,
      );
    }
    const three = ({ p50, p999, max }: { p50: number; p999: number; max: number }): string =>
      `${fixed(p50, 1)} / ${fixed(p999, 1)} / ${fixed(max, 1)}`;
    if (results.length > 0)
      process.stdout.write(
        `${table(
          ['', ...results.map((r) => r.title)],
          [
            ['peak memory, MiB', ...results.map((r) => fixed(r.peak))],
            ['memory afterwards, MiB', ...results.map((r) => fixed(r.after))],
            ['seconds', ...results.map((r) => fixed(r.seconds, 1))],
            ['instances held', ...results.map((r) => `${r.held} of ${r.instances}`)],
            ['event-loop delay, ms p50 / p99.9 / max', ...results.map((r) => three(r.loop))],
            ['the same, an idle process', ...results.map((r) => three(r.idleLoop))],
            ['C-ECHO under load, ms p50 / p99.9 / max', ...results.map((r) => three(r.echo))],
            ['C-ECHO before the load', ...results.map((r) => three(r.idleEcho))],
            ['an idle process under the load', ...results.map((r) => three(r.machineEcho))],
          ],
        )}\n`,
      );
    for (const { title, failures } of results) {
      if (failures.length > 0)
        process.stdout.write(`${title}: ${failures.length} failures, first: ${failures[0]!}\n`);
    }
  }
  return results.every((r) => r.failures.length === 0 && r.held === r.instances) ? 0 : 1;
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = 1;
  },
);
