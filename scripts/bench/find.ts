#!/usr/bin/env -S node --disable-warning=MODULE_TYPELESS_PACKAGE_JSON
/**
 * C-FIND in growing archives: the node, filled through its catalog's contract, beside Orthanc and dcmqrscp that hold the same as tiny
 * objects, as far as they go. One open association a server, the same client for all; every round asks every question of every server in
 * turn. Then, on the largest: what an answer with every study costs in memory, how soon C-CANCEL ends it, how long others wait beside a scan
 * that nothing serves, and what is left of the ingest rate beside a client that asks.
 *
 *   node scripts/bench/find.ts [--sizes 5000,10000,100000,1000000] [--rounds 20] [--orthanc 100000] [--dcmqrscp 5000]
 *                              [--only questions,stream,ingest] [--dir FOLDER] [--json]
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type * as Fill from './fill';
import type * as Beside from './find-beside';
import type * as FindClientModule from './find-client';
import type { FindClient } from './find-client';
import type * as Questions from './find-questions';
import type { Question } from './find-questions';
import type * as PopulationModule from './population';
import type { Population } from './population';
import type * as Report from './report';
import type * as Targets from './targets';
import type { RunningTarget } from './targets';

const load = createRequire(process.argv[1]!);
const { fill, nextSegment, withCatalog } = load('./fill.ts') as typeof Fill;
const { besideIngest, streams } = load('./find-beside.ts') as typeof Beside;
const { FindClient: Client } = load('./find-client.ts') as typeof FindClientModule;
const { questionsOf } = load('./find-questions.ts') as typeof Questions;
const { CT_IMAGE_STORAGE, Population: People } = load('./population.ts') as typeof PopulationModule;
const { describeMachine, fixed, machineLine, median, table } = load('./report.ts') as typeof Report;
const { emptyFiles, startNode, TARGETS } = load('./targets.ts') as typeof Targets;

/** Orthanc stores faster so; dcmqrscp fails with more than one. */
const STORING_ASSOCIATIONS: Readonly<Record<string, number>> = { Orthanc: 4, dcmqrscp: 1 };
const WARM_UPS = 3;

interface Server {
  readonly name: string;
  readonly running: RunningTarget;
  readonly client: FindClient;
}

interface Measured {
  readonly question: Question;
  readonly server: string;
  readonly first: number[];
  readonly final: number[];
}

const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** The node on a catalog of the population. */
async function startFilledNode(directory: string, population: Population): Promise<RunningTarget> {
  mkdirSync(directory);
  await (await startNode(directory)).stop();
  const data = path.join(directory, 'data');
  const seconds = await withCatalog(data, async (catalog) =>
    fill(catalog, population.arrivals(await nextSegment(catalog))),
  );
  say(`catalog of ${population.instances}: filled in ${fixed(seconds)} s`);
  return startNode(directory);
}

/** Another server, filled by C-STORE. */
async function startFilledPeer(
  name: string,
  directory: string,
  population: Population,
): Promise<RunningTarget> {
  mkdirSync(directory);
  const running = await TARGETS.find((target) => target.name === name)!.start(directory, 1, 16384);
  const started = performance.now();
  let next = 0;
  const store = async (): Promise<void> => {
    const client = await Client.open(running.port, running.calledAETitle, {
      SOPClassUIDs: [CT_IMAGE_STORAGE],
    });
    while (next < population.instances) {
      const index = next++;
      const { SOPInstanceUID } = population.header(index);
      await client.store(CT_IMAGE_STORAGE, SOPInstanceUID, population.dataSet(index));
    }
    await client.release();
  };
  await Promise.all(Array.from({ length: STORING_ASSOCIATIONS[name] ?? 1 }, store));
  const held = await running.count();
  if (held !== population.instances) throw new Error(`${name} holds ${held} of ${population.instances}`);
  say(`${name} with ${population.instances}: filled in ${fixed((performance.now() - started) / 1000)} s`);
  return running;
}

async function askAll(
  servers: readonly Server[],
  questions: readonly Question[],
  rounds: number,
): Promise<Measured[]> {
  const measured = questions.flatMap((question) =>
    servers.map(({ name }): Measured => ({ question, server: name, first: [], final: [] })),
  );
  const wrong = new Set<string>();
  for (let round = -WARM_UPS; round < rounds; round++) {
    for (const question of questions) {
      for (let turn = 0; turn < servers.length; turn++) {
        // Each goes first in its turn.
        const { name, client } = servers[(turn + round + WARM_UPS) % servers.length]!;
        const time = round + WARM_UPS;
        const { first, final, rows, status } = await client.ask(question.keys(time));
        if (status !== 0 || rows !== question.matches(time))
          wrong.add(
            `${name}, ${question.name}: ${rows} of ${question.matches(time)}, ${status.toString(16)}`,
          );
        if (round < 0) continue;
        const into = measured.find((row) => row.question === question && row.server === name)!;
        into.first.push(first);
        into.final.push(final);
      }
    }
  }
  for (const line of wrong) say(`WRONG: ${line}`);
  if (wrong.size > 0) process.exitCode = 1;
  return measured;
}

function printAnswers(size: number, measured: readonly Measured[], servers: readonly Server[]): void {
  const names = servers.map(({ name }) => name);
  const others = names.slice(1);
  const times = ({ first, final }: Measured): string[] => [
    fixed(median(first), 1),
    fixed(Math.max(...first), 1),
    fixed(median(final), 1),
    fixed(Math.max(...final), 1),
  ];
  const rows = [...new Set(measured.map(({ question }) => question))].map((question) => {
    const of = (name: string): Measured =>
      measured.find((row) => row.question === question && row.server === name)!;
    const [ours] = names;
    return [
      question.name,
      String(question.matches(0)),
      question.target === undefined ? '' : String(question.target),
      ...names.flatMap((name) => times(of(name))),
      ...others.map((name) => fixed(median(of(name).final) / median(of(ours!).final), 1)),
    ];
  });
  const head = [
    `${size} instances`,
    'matches',
    'target',
    ...names.flatMap((name) => [`${name}: first`, 'at most', 'final', 'at most']),
    ...others.map((name) => `${name} / ours`),
  ];
  process.stdout.write(`${table(head, rows)}\n\n`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sizes: { type: 'string', default: '5000,10000,100000,1000000' },
      rounds: { type: 'string', default: '20' },
      orthanc: { type: 'string', default: '100000' },
      dcmqrscp: { type: 'string', default: '5000' },
      only: { type: 'string', default: 'questions,stream,ingest' },
      dir: { type: 'string', default: tmpdir() },
      json: { type: 'boolean', default: false },
    },
  });
  const parts = new Set(values.only.split(','));
  const sizes = values.sizes.split(',').map(Number);
  const limits: Readonly<Record<string, number>> = {
    Orthanc: Number(values.orthanc),
    dcmqrscp: Number(values.dcmqrscp),
  };
  const scratch = mkdtempSync(path.join(values.dir, 'isocenter-bench-'));
  process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
  const machine = describeMachine(scratch);
  const results: unknown[] = [];
  process.stdout.write(`${machineLine(machine)}\n${values.rounds} times each, milliseconds, medians\n\n`);

  for (const size of sizes) {
    const population = new People(size);
    const place = path.join(scratch, String(size));
    mkdirSync(place);
    const node = await startFilledNode(path.join(place, 'node'), population);
    const running = [{ name: 'Isocenter', running: node }];
    try {
      if (parts.has('questions')) {
        for (const target of TARGETS) {
          const { name } = target;
          if (size <= (limits[name] ?? 0) && target.available())
            running.push({ name, running: await startFilledPeer(name, path.join(place, name), population) });
        }
        const servers = await Promise.all(
          running.map(async (server): Promise<Server> => {
            const { port, calledAETitle } = server.running;
            return { ...server, client: await Client.open(port, calledAETitle) };
          }),
        );
        const measured = await askAll(servers, questionsOf(population), Number(values.rounds));
        for (const { client } of servers) await client.release();
        printAnswers(size, measured, servers);
        results.push({
          size,
          measured: measured.map(({ question, ...row }) => ({ ...row, question: question.name })),
        });
      }
      if (size === sizes.at(-1)) {
        if (parts.has('stream')) results.push(await streams(node, population));
        if (parts.has('ingest')) results.push(await besideIngest(node, population, scratch));
      }
    } finally {
      for (const server of running) await server.running.stop();
    }
    emptyFiles(place);
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ machine, results }, null, 2)}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
});
