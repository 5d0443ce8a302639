#!/usr/bin/env -S node --disable-warning=MODULE_TYPELESS_PACKAGE_JSON
/**
 * How fast what is stored goes out again, with the peers beside the node in the same run: C-GET by DCMTK's getscu, and C-MOVE by its movescu to its
 * storescp, which receive in PDUs of 131072 bytes and keep nothing. Every server is filled once and then asked in turn, for a study each time.
 *
 *   node scripts/bench/retrieve.ts [--rounds 5] [--only ct,mr] [--targets Isocenter,Orthanc,dcmqrscp] [--dir FOLDER] [--json]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type * as GenSeries from '../gen-series';
import type * as Report from './report';
import type * as Storescu from './storescu';
import type * as Targets from './targets';

const load = createRequire(process.argv[1]!);
const { generateSeries, writeSeries } = load('../gen-series.ts') as typeof GenSeries;
const { describeMachine, fixed, machineLine, median, table } = load('./report.ts') as typeof Report;
const { sendFolders } = load('./storescu.ts') as typeof Storescu;
const { emptyFiles, freePort, launch, PEER_ENVIRONMENT, TARGETS } = load('./targets.ts') as typeof Targets;

const WORKLOADS = [
  { name: 'ct', title: 'CT of 512 KB', instances: 250 },
  { name: 'mr', title: 'MR of 128 KB', instances: 200 },
] as const;
const OPERATIONS = ['C-GET', 'C-MOVE'] as const;
const SERVERS = ['Isocenter', 'Orthanc', 'dcmqrscp'];
const PDU = 131_072;
const LIMIT = 120_000;

type Operation = (typeof OPERATIONS)[number];

interface Cell {
  readonly workload: string;
  readonly operation: Operation;
  readonly target: string;
  readonly rates: number[];
  readonly failures: string[];
}

/** Runs one of DCMTK's programs; what it says at the end is what counts, not how it exits. */
async function run(program: string, words: readonly string[]): Promise<{ seconds: number; text: string }> {
  const started = performance.now();
  const child = spawn(program, words, { env: PEER_ENVIRONMENT, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  const late = setTimeout(() => child.kill('SIGKILL'), LIMIT);
  await once(child, 'close');
  clearTimeout(late);
  return { seconds: (performance.now() - started) / 1000, text };
}

function ask(
  operation: Operation,
  server: Targets.RunningTarget,
  study: string,
): Promise<{ seconds: number; text: string }> {
  const common = [
    '-d',
    '-S',
    '-aec',
    server.calledAETitle,
    '-k',
    'QueryRetrieveLevel=STUDY',
    '-k',
    `StudyInstanceUID=${study}`,
  ];
  const address = ['127.0.0.1', String(server.port)];
  return operation === 'C-GET'
    ? run('getscu', [...common, '--ignore', '-pdu', String(PDU), ...address])
    : run('movescu', [...common, '-aem', 'DEST', ...address]);
}

/** Whether the final response counts them all as completed. */
function completed(text: string): number {
  const counts = [...text.matchAll(/Completed Suboperations\s*: (\d+)/g)].map(([, count]) => Number(count));
  return counts.at(-1) ?? 0;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      only: { type: 'string', default: 'ct,mr' },
      targets: { type: 'string', default: SERVERS.join(',') },
      dir: { type: 'string', default: tmpdir() },
      json: { type: 'boolean', default: false },
    },
  });
  const wanted = values.targets.split(',');
  const targets = TARGETS.filter(({ name }) => SERVERS.includes(name) && wanted.includes(name)).filter(
    (target) => target.available(),
  );
  const workloads = WORKLOADS.filter(({ name }) => values.only.split(',').includes(name));
  const scratch = mkdtempSync(path.join(values.dir, 'isocenter-bench-'));
  process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
  const sinkDirectory = path.join(scratch, 'sink');
  mkdirSync(sinkDirectory);
  const port = await freePort();
  const sink = await launch({
    program: 'storescp',
    words: ['--ignore', '--max-pdu', String(PDU), '--fork', String(port)],
    directory: sinkDirectory,
    port,
    calledAETitle: 'DEST',
    count: () => 0,
  });

  const cells: Cell[] = [];
  const running: { name: string; server: Targets.RunningTarget; directory: string }[] = [];
  try {
    for (const target of targets) {
      const directory = path.join(scratch, target.name.replaceAll(/\W/g, ''));
      mkdirSync(directory);
      const server = await target.start(directory, 1, PDU, { aeTitle: 'DEST', port });
      running.push({ name: target.name, server, directory });
    }
    for (const { name, title, instances } of workloads) {
      const source = path.join(scratch, name);
      const series = { kind: name, instances, studies: 1 };
      await writeSeries(source, series);
      const study = generateSeries(series).next().value!.StudyInstanceUID;
      for (const { name: server, server: target } of running) {
        const { complaints } = await sendFolders([source], target.port, target.calledAETitle);
        if (complaints.length > 0) process.stderr.write(`${server} did not take all: ${complaints[0]!}\n`);
      }
      for (const operation of OPERATIONS) {
        const row = running.map((one): Cell => ({
          workload: title,
          operation,
          target: one.name,
          rates: [],
          failures: [],
        }));
        cells.push(...row);
        for (let round = 0; round < Number(values.rounds); round++) {
          for (let turn = 0; turn < running.length; turn++) {
            const index = (turn + round) % running.length;
            const { seconds, text } = await ask(operation, running[index]!.server, study);
            const count = completed(text);
            const cell = row[index]!;
            if (count === instances) cell.rates.push(instances / seconds);
            else cell.failures.push(`${count} of ${instances}`);
            process.stderr.write(
              `${name} ${operation} round ${round + 1} ${cell.target}: ${cell.failures.at(-1) ?? `${fixed(cell.rates.at(-1) ?? NaN)}/s`}\n`,
            );
          }
        }
      }
    }
  } finally {
    for (const { server, directory } of running) {
      await server.stop();
      emptyFiles(directory);
    }
    await sink.stop();
  }

  const centre = (cell: Cell): number => median(cell.rates);
  const machine = describeMachine(scratch);
  if (values.json) {
    process.stdout.write(
      `${JSON.stringify({ machine, results: cells.map((cell) => ({ ...cell, median: centre(cell) })) }, null, 2)}\n`,
    );
    return 0;
  }
  process.stdout.write(`${machineLine(machine)}\n${values.rounds} rounds, instances a second\n\n`);
  for (const { title } of workloads) {
    for (const operation of OPERATIONS) {
      const row = cells.filter((cell) => cell.workload === title && cell.operation === operation);
      const best = Math.max(...row.filter(({ target }) => target !== 'Isocenter').map(centre), 0);
      process.stdout.write(
        `${title}, ${operation}\n${table(
          ['server', 'median', 'min', 'max', 'x the faster peer', 'failed'],
          row.map((cell) => [
            cell.target,
            fixed(centre(cell)),
            fixed(Math.min(...cell.rates)),
            fixed(Math.max(...cell.rates)),
            cell.target === 'Isocenter' ? fixed(centre(cell) / best, 2) : '',
            cell.failures.length === 0 ? '0' : `${cell.failures.length}: ${cell.failures[0]!}`,
          ]),
        )}\n\n`,
      );
    }
  }
  return 0;
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = 1;
  },
);
