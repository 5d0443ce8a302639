/** What someone else on the node, or on the machine, notices while it works: memory, event-loop delay, and answers to a regular question. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LoopDelay } from './loop-delay';
import type * as Report from './report';
import type * as ScuModule from './scu';

const load = createRequire(process.argv[1]!);
const { quantile } = load('./report.ts') as typeof Report;
const { Scu } = load('./scu.ts') as typeof ScuModule;

/** Words that make node report its event-loop delay over IPC. */
export const LOOP_DELAY_WORDS = ['--require', path.join(path.dirname(process.argv[1]!), 'loop-delay.ts')];

/** MiB of a process now (`VmRSS`) or at its peak (`VmHWM`). */
export function memoryOf(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const line = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(line?.[1]) / 1024;
}

/** Processor seconds of a process and its threads so far: what a busy machine beside it changes least. */
export function processorSeconds(pid: number): number {
  // Behind the name in parentheses, which may hold blanks: field 14 is user time, 15 system time, in hundredths.
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

export function resetLoopDelay(child: ChildProcess): void {
  child.send('reset');
}

export async function readLoopDelay(child: ChildProcess): Promise<LoopDelay> {
  const answer = once(child, 'message', { signal: AbortSignal.timeout(10_000) });
  child.send('report');
  const [report] = (await answer) as [LoopDelay];
  return report;
}

/** Milliseconds from when a question was due to when it was answered. */
export interface Answers {
  readonly count: number;
  readonly p50: number;
  readonly p999: number;
  readonly max: number;
}

/**
 * Asks every 20 ms until stopped. Each answer counts from when its question was due: a stall is counted for every question that it held up,
 * not once.
 */
export class Probe {
  private readonly times: number[] = [];
  private readonly running: Promise<void>;
  private stopped = false;

  constructor(ask: () => Promise<unknown>) {
    this.running = this.run(ask);
    this.running.catch(() => undefined);
  }

  async stop(): Promise<Answers> {
    this.stopped = true;
    await this.running;
    const at = (share: number): number => quantile(this.times, share);
    return { count: this.times.length, p50: at(0.5), p999: at(0.999), max: at(1) };
  }

  private async run(ask: () => Promise<unknown>): Promise<void> {
    const started = performance.now();
    for (let turn = 1; !this.stopped; turn++) {
      const due = started + turn * 20;
      const wait = due - performance.now();
      if (wait > 0) await delay(wait);
      // The timer's own lateness is this process's, not the other's.
      const asked = wait > 0 ? performance.now() : due;
      await ask();
      this.times.push(performance.now() - asked);
    }
  }
}

/** A C-ECHO probe on an association of its own. */
export async function echoProbe(port: number, calledAETitle: string): Promise<{ stop(): Promise<Answers> }> {
  const scu = await Scu.open({ port, calledAETitle, callingAETitle: 'PROBE' });
  const probe = new Probe(() => scu.echo());
  return {
    stop: async () => {
      const answers = await probe.stop();
      await scu.release();
      return answers;
    },
  };
}

/** A node process that does nothing but return what it is sent: what the machine itself adds to any answer. */
export interface IdleProcess {
  readonly child: ChildProcess;
  probe(): { stop(): Promise<Answers> };
  stop(): void;
}

export async function startIdleProcess(): Promise<IdleProcess> {
  const code = `require('net').createServer((s) => s.pipe(s)).listen(0, '127.0.0.1', function () { process.send(this.address().port); })`;
  const child = spawn(process.execPath, [...LOOP_DELAY_WORDS, '-e', code], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const [port] = (await once(child, 'message')) as [number];
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  await once(socket, 'connect');
  const question = Buffer.alloc(74);
  return {
    child,
    probe: () =>
      new Probe(async () => {
        const answer = once(socket, 'data');
        socket.write(question);
        await answer;
      }),
    stop: () => {
      process.off('exit', kill);
      socket.destroy();
      kill();
    },
  };
}
