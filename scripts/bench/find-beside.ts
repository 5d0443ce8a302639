/** Long answers and what goes on beside them: memory, C-CANCEL, a caller that reads slowly, others' questions, ingest. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type * as GenSeries from '../gen-series';
import type * as FindClientModule from './find-client';
import type { Asked, Keys } from './find-client';
import type * as Questions from './find-questions';
import type { Population } from './population';
import type * as ProbeModule from './probe';
import type * as Report from './report';
import type * as Storescu from './storescu';
import type { RunningTarget } from './targets';

const load = createRequire(process.argv[1]!);
const { writeSeries } = load('../gen-series.ts') as typeof GenSeries;
const { FindClient } = load('./find-client.ts') as typeof FindClientModule;
const { EVERYTHING, questionsOf, SCAN } = load('./find-questions.ts') as typeof Questions;
const { memoryOf, processorSeconds } = load('./probe.ts') as typeof ProbeModule;
const { fixed, median, quantile, table } = load('./report.ts') as typeof Report;
const { sendFolders } = load('./storescu.ts') as typeof Storescu;

const CANCELS = 20;
/** Responses before each C-CANCEL. */
const BEFORE_CANCEL = 1000;
/** Rows that the slow caller takes before it rests. */
const SLOWLY = 2000;
const ASIDE = 200;

const ASSOCIATIONS = 2;
/** Many short rounds, so that what else the machine does falls on both sides. */
const INSTANCES = 3000;
const ROUNDS = 20;
/** Milliseconds between two questions of the client beside ingest. */
const PACE = 250;

/** The most that a process holds while something runs, in MiB, sampled each 20 ms. */
async function peakWhile<T>(pid: number, work: () => Promise<T>): Promise<{ result: T; peak: number }> {
  let peak = memoryOf(pid, 'VmRSS');
  const timer = setInterval(() => (peak = Math.max(peak, memoryOf(pid, 'VmRSS'))), 20);
  try {
    const result = await work();
    return { result, peak: Math.max(peak, memoryOf(pid, 'VmRSS')) };
  } finally {
    clearInterval(timer);
  }
}

/** Asks from a thread of its own; resolves when the question is out, with a promise of the answer. */
async function askElsewhere(
  { port, calledAETitle }: RunningTarget,
  keys: Keys,
): Promise<{ answer: Promise<Asked> }> {
  const worker = new Worker(path.join(path.dirname(process.argv[1]!), 'find-reader.ts'), {
    workerData: { port, calledAETitle, keys },
  });
  const failed = once(worker, 'exit').then(() => {
    throw new Error('the other caller ended without an answer');
  });
  await Promise.race([once(worker, 'message'), failed]);
  const answer = Promise.race([once(worker, 'message').then(([asked]) => asked as Asked), failed]);
  return { answer };
}

/** Answers with every study, read fast, read slowly and cancelled, and a question asked beside a scan. */
export async function streams(node: RunningTarget, population: Population): Promise<unknown> {
  const { pid, port, calledAETitle } = node;
  const client = await FindClient.open(port, calledAETitle, { relational: true });
  const other = await FindClient.open(port, calledAETitle);
  const [byPatient] = questionsOf(population);
  const before = memoryOf(pid, 'VmRSS');

  const all = await peakWhile(pid, () => client.ask(EVERYTHING));
  const again = await peakWhile(pid, () => client.ask(EVERYTHING));
  if (all.result.rows !== population.studies)
    throw new Error(`${all.result.rows} of ${population.studies} studies`);

  // A caller that stops reading holds itself: the others are answered as ever.
  const cancels: number[] = [];
  const late: number[] = [];
  for (let time = 0; time < CANCELS; time++) {
    const { cancelled, status, rows } = await client.ask(EVERYTHING, { cancelAfter: BEFORE_CANCEL });
    // A small answer may have been on its way whole.
    if (status === 0) continue;
    if (status !== 0xfe00) throw new Error(`C-CANCEL was answered ${status.toString(16)}`);
    cancels.push(cancelled!);
    late.push(rows - BEFORE_CANCEL);
  }

  const asideOf = async (work: Promise<unknown>): Promise<number[]> => {
    const stop = new AbortController();
    const ended = work.finally(() => stop.abort());
    const times: number[] = [];
    for (let turn = 0; turn < ASIDE && !stop.signal.aborted; turn++) {
      times.push((await other.ask(byPatient!.keys(turn))).final);
      await delay(2);
    }
    await ended;
    return times;
  };
  const alone = await asideOf(delay(1000));
  const besideScan: number[] = [];
  for (let time = 0; time < 3; time++) besideScan.push(...(await asideOf(client.ask(SCAN))));
  const scan = await client.ask(SCAN);
  const besideList: number[] = [];
  for (let time = 0; time < 3; time++) {
    const { answer } = await askElsewhere(node, EVERYTHING);
    besideList.push(...(await asideOf(answer)));
  }
  const slow = await peakWhile(pid, () => {
    let resume: (() => void) | undefined;
    const rest = new Promise<void>((resolve) => (resume = resolve));
    const reading = client.ask(EVERYTHING, {
      cancelAfter: SLOWLY + 1,
      onRow: (count) => (count === SLOWLY ? rest : undefined),
    });
    return asideOf(delay(2000).then(() => resume?.())).then(async (times) => {
      await reading;
      return times;
    });
  });
  await client.release();
  await other.release();

  const line = (name: string, times: readonly number[]): string[] => [
    name,
    String(times.length),
    fixed(median(times), 1),
    fixed(quantile(times, 0.95), 1),
    fixed(Math.max(...times), 1),
  ];
  process.stdout.write(
    `${table(
      ['every study at once', 'rows', 'first, ms', 'final, ms', 'memory before, MiB', 'at its peak'],
      [all, again].map(({ result, peak }, index) => [
        index === 0 ? 'the first time' : 'again',
        String(result.rows),
        fixed(result.first, 1),
        fixed(result.final),
        fixed(before),
        fixed(peak),
      ]),
    )}\n\n${table(
      ['milliseconds', 'times', 'median', 'p95', 'longest'],
      [
        line(
          `from C-CANCEL to the final response (${fixed(median(late))} responses came meanwhile)`,
          cancels,
        ),
        line('exact PatientID, alone', alone),
        line(`beside a scan of every instance (${fixed(scan.final)} ms, ${scan.rows} matches)`, besideScan),
        line('beside an answer with every study', besideList),
        line(`beside one that isn't read (peak ${fixed(slow.peak)} MiB)`, slow.result),
      ],
    )}\n\n`,
  );
  return { all, again, before, cancels, late, alone, besideScan, besideList, slow };
}

interface Rate {
  readonly rate: number;
  /** Processor milliseconds of the node for each instance. */
  readonly effort: number;
  readonly asked: number;
  readonly longest: number;
}

/** Small instances on two associations, with and without a client that asks all the questions in turn; the rounds take turns too. */
export async function besideIngest(
  node: RunningTarget,
  population: Population,
  scratch: string,
): Promise<unknown> {
  const questions = questionsOf(population);
  const client = await FindClient.open(node.port, node.calledAETitle);
  const rates: Record<'alone' | 'beside', Rate[]> = { alone: [], beside: [] };
  let seed = 100;
  let turn = 0;
  const run = async (asking: boolean): Promise<Rate> => {
    const folders = await sourceFolders(scratch, ++seed);
    const times: number[] = [];
    let over = false;
    const ask = async (): Promise<void> => {
      for (; asking && !over; turn++) {
        const next = delay(PACE);
        times.push((await client.ask(questions[turn % questions.length]!.keys(turn))).final);
        await next;
      }
    };
    const asked = ask();
    const before = processorSeconds(node.pid);
    const { seconds, complaints } = await sendFolders(folders, node.port, node.calledAETitle, 300);
    const effort = (1000 * (processorSeconds(node.pid) - before)) / INSTANCES;
    over = true;
    await asked;
    if (complaints.length > 0) throw new Error(complaints[0]);
    return { rate: INSTANCES / seconds, effort, asked: times.length, longest: Math.max(0, ...times) };
  };
  for (let round = 0; round < ROUNDS; round++) {
    const order = round % 2 === 0 ? (['alone', 'beside'] as const) : (['beside', 'alone'] as const);
    for (const how of order) rates[how].push(await run(how === 'beside'));
  }
  await client.release();
  const shares = rates.beside.map(({ rate }, round) => rate / rates.alone[round]!.rate);
  const row = (name: string, list: readonly Rate[]): string[] => [
    name,
    fixed(median(list.map(({ rate }) => rate))),
    fixed(Math.min(...list.map(({ rate }) => rate))),
    fixed(Math.max(...list.map(({ rate }) => rate))),
    fixed(median(list.map(({ effort }) => effort)), 3),
    String(list.reduce((sum, { asked }) => sum + asked, 0)),
    fixed(Math.max(...list.map(({ longest }) => longest))),
  ];
  process.stdout.write(
    `${table(
      [
        `${INSTANCES} small instances on ${ASSOCIATIONS} associations, instances/s`,
        'median',
        'min',
        'max',
        'CPU ms each',
        'questions',
        'longest, ms',
      ],
      [row('alone', rates.alone), row(`beside a question each ${PACE} ms`, rates.beside)],
    )}\n\nof the rate alone, round by round: ${shares.map((share) => `${fixed(100 * share)} %`).join(', ')}; median ${fixed(100 * median(shares))} %\n\n`,
  );
  return rates;
}

/** A folder an association, of instances that weren't sent before. */
async function sourceFolders(scratch: string, seed: number): Promise<string[]> {
  const source = path.join(scratch, `source-${seed}`);
  await writeSeries(source, { kind: 'small', instances: INSTANCES, studies: INSTANCES / 100, seed });
  const folders = Array.from({ length: ASSOCIATIONS }, (_, index) =>
    path.join(scratch, `sender-${seed}-${index}`),
  );
  for (const folder of folders) mkdirSync(folder);
  readdirSync(source).forEach((study, index) =>
    execFileSync('mv', [path.join(source, study), folders[index % ASSOCIATIONS]!]),
  );
  return folders;
}
