#!/usr/bin/env -S node --disable-warning=MODULE_TYPELESS_PACKAGE_JSON
/**
 * CPU profiles of the node under a load of store.ts, a file for each of its threads, and what top.ts says of them. The start of the node
 * is left out of the sums, and stands in the files (open them in any .cpuprofile viewer).
 *
 *   node scripts/bench/profile.ts [--kind ct] [--instances 2000] [--associations 1] [--out FOLDER] [--count 25]
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type * as GenSeries from '../gen-series';
import type * as Report from './report';
import type * as Storescu from './storescu';
import type * as Targets from './targets';

const load = createRequire(process.argv[1]!);
const { writeSeries, KINDS } = load('../gen-series.ts') as typeof GenSeries;
const { describeMachine, fixed, machineLine } = load('./report.ts') as typeof Report;
const { sendFolders } = load('./storescu.ts') as typeof Storescu;
const { startNode } = load('./targets.ts') as typeof Targets;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      kind: { type: 'string', default: 'ct' },
      instances: { type: 'string', default: '2000' },
      associations: { type: 'string', default: '1' },
      out: { type: 'string' },
      count: { type: 'string', default: '25' },
    },
  });
  const kind = KINDS.find((name) => name === values.kind) ?? 'ct';
  const instances = Number(values.instances);
  const associations = Number(values.associations);
  const scratch = mkdtempSync(path.join(tmpdir(), 'isocenter-bench-'));
  process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
  const profiles = path.resolve(values.out ?? path.join(scratch, 'profiles'));
  const before = new Set<string>();
  mkdirSync(profiles, { recursive: true });
  for (const name of readdirSync(profiles)) before.add(name);

  const source = path.join(scratch, 'source');
  await writeSeries(source, { kind, instances, studies: associations });
  const folders = readdirSync(source).map((study) => path.join(source, study));
  const directory = path.join(scratch, 'store');
  mkdirSync(directory);
  const started = performance.now();
  const node = await startNode(directory, {
    nodeWords: ['--cpu-prof', `--cpu-prof-dir=${profiles}`, '--cpu-prof-interval', '500'],
  });
  let skip = 0;
  try {
    execFileSync('sync');
    skip = performance.now() - started;
    const { seconds, complaints } = await sendFolders(folders, node.port, node.calledAETitle);
    process.stdout.write(
      `${machineLine(describeMachine(scratch))}\n${instances} ${kind} on ${associations}: ${fixed(instances / seconds)}/s while profiled` +
        `${complaints.length > 0 ? `, ${complaints[0]!}` : ''}\n\n`,
    );
  } finally {
    await node.stop();
  }
  const made = readdirSync(profiles).filter((name) => name.endsWith('.cpuprofile') && !before.has(name));
  const top = path.join(path.dirname(process.argv[1]!), 'top.ts');
  const words = [
    '--count',
    values.count,
    '--skip',
    fixed(skip),
    ...made.map((name) => path.join(profiles, name)),
  ];
  execFileSync(process.execPath, [top, ...words], { stdio: ['ignore', 'inherit', 'inherit'] });
  if (values.out !== undefined) process.stdout.write(`profiles are in ${profiles}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
});
