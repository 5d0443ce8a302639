import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { ControlClient } from '../admin/client';
import type { InstanceReference } from '../catalog/commitments';
import type { Config } from '../config/config';
import { duration, durationText } from '../config/values';
import { statusMeaning, statusText } from '../dimse/status';
import { EXIT, type ExitCode } from '../errors';
import { printable } from '../printable';
import { askCommitment, type CommitmentAnswer } from '../services/commitment-scu';
import { caller } from './calling';
import { reportError } from './errors';
import { printJson, say, writeData } from './output';
import type { PeerAddress } from './peers';

/** How long the association stays open beyond the wait, in milliseconds. */
const MARGIN = 10_000;
/** Instances that are told of one by one, where nobody asked for JSON. */
const MOST_LINES = 20;

export interface CommitOptions {
  readonly commit?: true;
  /** Milliseconds. */
  readonly commitWait?: number;
}

const DEFAULT_WAIT = 60_000;

/** Adds `--commit` and `--commit-wait`. */
export function commitOptions(command: Command): Command {
  return command
    .option('--commit', 'ask the peer afterwards whether it holds what was sent (storage commitment)')
    .option('--commit-wait <time>', 'how long to wait for its report: 30s, 5m (default 60s)', readWait)
    .addHelpText(
      'after',
      `
With --commit the command asks on an association of its own and keeps it open for the report. A peer that calls back
instead calls the title and address that it has for us: there the running node takes the report and hands it on, if the
peer is one of its remotes with allow: [commit]. Without a running node such a report reaches nobody.`,
    );
}

function readWait(text: string): number {
  const read = duration(text);
  if ('problem' in read) throw new InvalidArgumentError(read.problem);
  return read.value;
}

export interface CommitTerms {
  readonly config: Config;
  readonly peer: PeerAddress;
  readonly aeTitle: string | undefined;
  readonly signal: AbortSignal;
  readonly json: boolean;
}

/** Asks for what was sent, and says what the peer answered. @returns 3 where anything of it is not committed. */
export async function commitSent(
  sent: readonly InstanceReference[],
  { commitWait: wait = DEFAULT_WAIT }: CommitOptions,
  { config, peer, aeTitle, signal, json }: CommitTerms,
): Promise<ExitCode> {
  const timeouts = { ...config.timeouts, idle: Math.max(config.timeouts.idle, wait + MARGIN) };
  const client = new ControlClient(join(config.storage.directory, 'control.sock'));
  let answer: CommitmentAnswer;
  try {
    const running = await client.probe().catch(() => undefined);
    answer = await askCommitment(sent, {
      connect: caller({ ...config, timeouts }, peer, aeTitle, signal),
      responseTimeout: timeouts.response,
      wait,
      signal,
      ...(running === undefined
        ? {}
        : { elsewhere: (uids, end) => client.commitmentReports(peer.aeTitle, uids, end) }),
    });
  } catch (error) {
    if (signal.aborted) return EXIT.interrupted;
    return reportError(error);
  }
  const { committed, failed, unanswered } = answer;
  tell(answer, json);
  if (signal.aborted) return EXIT.interrupted;
  if (unanswered.length > 0 && !json) say(advice(answer, wait));
  return committed.length === sent.length && failed.length === 0 ? EXIT.ok : EXIT.warnings;
}

function tell({ committed, failed, unanswered, problem }: CommitmentAnswer, json: boolean): void {
  const counts = { committed: committed.length, failed: failed.length, unanswered: unanswered.length };
  if (json) {
    for (const { SOPInstanceUID, reason } of failed)
      writeData(`${JSON.stringify({ SOPInstanceUID, commitment: 'failed', reason: statusText(reason) })}\n`);
    for (const { SOPInstanceUID } of unanswered)
      writeData(`${JSON.stringify({ SOPInstanceUID, commitment: 'unanswered' })}\n`);
    printJson({ commitment: counts, ...(problem === undefined ? {} : { problem }) });
    return;
  }
  for (const { SOPInstanceUID, reason } of failed.slice(0, MOST_LINES))
    say(`${printable(SOPInstanceUID, 64)}: not committed: ${statusText(reason)} (${statusMeaning(reason)})`);
  if (failed.length > MOST_LINES) say(`and ${failed.length - MOST_LINES} more: --json tells all`);
  writeData(
    `${counts.committed} committed, ${counts.failed} not committed, ${counts.unanswered} without an answer\n`,
  );
}

function advice({ problem }: CommitmentAnswer, wait: number): string {
  const hint = `a peer that calls back needs the node to run, and allow: [commit] there; a slow one needs more than --commit-wait ${durationText(wait)}`;
  return `isocenter: ${printable(problem ?? 'no report came')}\n  ${hint}`;
}
