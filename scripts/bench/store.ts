#!/usr/bin/env -S node --disable-warning=MODULE_TYPELESS_PACKAGE_JSON
/**
 * How fast the node takes in what a scanner sends, with its peers beside it in the same run. DCMTK's storescu sends a folder on one
 * association, or a quarter of it on each of four. Every round visits every server once, in turn, with an empty store each; what a
 * server then holds is counted by its own means. Each is as it ships; `--peer-pdu 131072` gives the peers, whose default is 16384, PDUs as
 * long as the node's.
 *
 *   node scripts/bench/store.ts [--rounds 5] [--quick] [--only ct,mr] [--targets Isocenter,Orthanc,…] [--associations 1,4] [--peer-pdu 16384]
 *                               [--dir FOLDER] [--json]
 */
import { execFileSync } from 'node:child_process';
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
const { writeSeries } = load('../gen-series.ts') as typeof GenSeries;
const { describeMachine, fixed, machineLine, median, table } = load('./report.ts') as typeof Report;
const { sendFolders } = load('./storescu.ts') as typeof Storescu;
const { emptyFiles, TARGETS } = load('./targets.ts') as typeof Targets;

const WORKLOADS = [
  { name: 'ct', title: 'CT of 512 KB', kind: 'ct', instances: 500 },
  { name: 'mr', title: 'MR of 128 KB', kind: 'mr', instances: 2000 },
] as const;

/** Each of this many studies is sent by one association where there are four. */
const STUDIES = 4;

interface Cell {
  readonly workload: string;
  readonly associations: number;
  readonly target: string;
  readonly rates: number[];
  /** Rounds that lost or refused something, with the first reason. */
  readonly failures: string[];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      'peer-pdu': { type: 'string', default: '16384' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: 'ct,mr' },
      targets: { type: 'string' },
      associations: { type: 'string', default: '1,4' },
      dir: { type: 'string', default: tmpdir() },
      json: { type: 'boolean', default: false },
    },
  });
  const peerPdu = Number(values['peer-pdu']);
  const rounds = values.quick ? 1 : Number(values.rounds);
  const workloads = WORKLOADS.filter(({ name }) => values.only.split(',').includes(name));
  const wanted = values.targets?.split(',');
  const targets = TARGETS.filter((target) => wanted?.includes(target.name) ?? true).filter((target) => {
    if (target.available()) return true;
    process.stderr.write(`${target.name} is not there and is left out\n`);
    return false;
  });
  const associationCounts = values.associations.split(',').map(Number);
  const scratch = mkdtempSync(path.join(values.dir, 'isocenter-bench-'));
  process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

  const cells: Cell[] = [];
  let stores = 0;
  for (const workload of workloads) {
    const instances = values.quick ? workload.instances / 5 : workload.instances;
    const source = path.join(scratch, workload.name);
    await writeSeries(source, { kind: workload.kind, instances, studies: STUDIES });
    for (const associations of associationCounts) {
      const folders =
        associations === 1
          ? [source]
          : Array.from({ length: STUDIES }, (_, i) => path.join(source, `study-000${i + 1}`));
      const row = targets.map((target): Cell => ({
        workload: workload.name,
        associations,
        target: target.name,
        rates: [],
        failures: [],
      }));
      cells.push(...row);
      for (let round = 0; round < rounds; round++) {
        for (let turn = 0; turn < targets.length; turn++) {
          // Each round begins with another server, so that none always follows the same one.
          const index = (turn + round) % targets.length;
          const target = targets[index]!;
          const cell = row[index]!;
          const directory = path.join(scratch, `store-${++stores}`);
          mkdirSync(directory);
          const running = await target.start(directory, associations, peerPdu);
          try {
            // What another server left in the page cache is not this one's to write.
            execFileSync('sync');
            const { seconds, complaints } = await sendFolders(folders, running.port, running.calledAETitle);
            const held = target.name === 'sink' ? instances : await running.count();
            if (complaints.length > 0 || held !== instances) {
              cell.failures.push(`holds ${held} of ${instances}; ${complaints[0] ?? 'no complaint'}`);
            } else {
              cell.rates.push(instances / seconds);
            }
            const result = cell.rates.length + cell.failures.length > round ? cell.rates.at(-1) : undefined;
            process.stderr.write(
              `${workload.name} ${associations} round ${round + 1} ${target.name}: ${
                cell.failures.at(-1) ?? `${fixed(result ?? NaN)}/s`
              }\n`,
            );
          } finally {
            await running.stop();
            emptyFiles(directory);
          }
        }
      }
    }
  }

  const machine = describeMachine(scratch);
  const centre = (cell: Cell): number => median(cell.rates);
  const beside = (cell: Cell, target: string): string => {
    const other = cells.find(
      (c) => c.target === target && c.workload === cell.workload && c.associations === cell.associations,
    );
    return other === undefined || other === cell ? '' : fixed(centre(cell) / centre(other), 2);
  };
  if (values.json) {
    process.stdout.write(
      `${JSON.stringify({ machine, rounds, peerPdu, results: cells.map((c) => ({ ...c, median: centre(c) })) }, null, 2)}\n`,
    );
  } else {
    process.stdout.write(
      `${machineLine(machine)}\n${rounds} rounds, instances a second, peers take PDUs of ${peerPdu} bytes\n\n`,
    );
    const head = ['server', 'median', 'min', 'max', 'x Orthanc', 'x storescp +B', 'failed rounds'];
    for (const workload of workloads) {
      for (const associations of associationCounts) {
        const rows = cells
          .filter((c) => c.workload === workload.name && c.associations === associations)
          .map((c) => [
            c.target,
            fixed(centre(c)),
            fixed(Math.min(...c.rates)),
            fixed(Math.max(...c.rates)),
            beside(c, 'Orthanc'),
            beside(c, 'storescp +B'),
            c.failures.length === 0 ? '0' : `${c.failures.length}: ${c.failures[0]!}`,
          ]);
        process.stdout.write(
          `${workload.title}, ${associations} association${associations > 1 ? 's' : ''}\n${table(head, rows)}\n\n`,
        );
      }
    }
  }
  return cells.some((cell) => cell.target === 'Isocenter' && cell.failures.length > 0) ? 1 : 0;
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = 1;
  },
);
