import type { Command } from 'commander';
import type { Config } from '../config/config';
import { loadConfig } from '../config/load';
import { Session } from '../dimse/session';
import { statusText } from '../dimse/status';
import { EXIT, IsocenterError } from '../errors';
import type { Association } from '../net/types';
import { caller } from './calling';
import { type CommandContext, examples } from './command';
import { withErrors } from './errors';
import { printJson, writeData } from './output';
import { type PeerAddress, resolvePeer } from './peers';

const VERIFICATION = '1.2.840.10008.1.1';
const IMPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2';
const EXPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';

interface EchoOptions {
  readonly count: number;
  readonly aet?: string;
  readonly json?: true;
}

/** `isocenter echo PEER` */
export function register(program: Command, context: CommandContext): void {
  const command = program
    .command('echo')
    .description('ask a peer for a sign of life (C-ECHO) and say what its answer means')
    .argument('<peer>', "a remote's name, or AET@HOST:PORT")
    .option('-n, --count <number>', 'how many times', parseCount, 1)
    .option('--aet <title>', 'our AE title, instead of the first of aeTitles')
    .option('--json', 'print JSON')
    .action(
      withErrors(async (text: string, options: EchoOptions) => {
        const { config } = loadConfig(context.configFile(), process.env);
        await echo(config, resolvePeer(config, text), options, context.interrupted());
      }),
    );
  examples(
    command,
    `isocenter echo pacs
     isocenter echo ARCHIVE@10.0.4.30:104 --aet CT_ROOM1
     isocenter echo ARCHIVE@[2001:db8::30]:104 --count 5`,
  );
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new IsocenterError('USAGE', `--count is a number from 1 to 999999, not ${text}`, {
    exitCode: EXIT.usage,
  });
}

async function echo(
  config: Config,
  peer: PeerAddress,
  options: EchoOptions,
  signal: AbortSignal,
): Promise<void> {
  const who = `${peer.aeTitle} at ${peer.host}:${peer.port}`;
  const started = performance.now();
  const association = await caller(
    config,
    peer,
    options.aet,
    signal,
  )({
    contexts: [
      {
        id: 1,
        abstractSyntax: VERIFICATION,
        transferSyntaxes: [IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN],
      },
    ],
  });
  const session = new Session(association, { responseTimeout: config.timeouts.response });
  const associated = performance.now() - started;
  const times: number[] = [];
  try {
    while (times.length < options.count) {
      const sent = performance.now();
      const status = await session.scu.echo({ signal });
      if (status !== 0)
        throw new IsocenterError('ECHO_FAILED', `${who} answered C-ECHO with ${statusText(status)}`, {
          hint: 'look into the log of the other side',
        });
      times.push(performance.now() - sent);
    }
  } finally {
    await association.release();
  }
  report(association, peer, associated, times, options.json === true);
}

const milliseconds = (time: number): number => Math.round(time * 10) / 10;

function report(
  association: Association,
  peer: PeerAddress,
  associated: number,
  times: readonly number[],
  json: boolean,
): void {
  const { implementationVersionName: implementation, implementationClassUID, sendLimit } = association;
  const average = times.reduce((sum, time) => sum + time, 0) / times.length;
  if (json) {
    printJson({
      ...peer,
      implementation,
      implementationClassUID,
      pduLength: sendLimit,
      associationMilliseconds: milliseconds(associated),
      echoMilliseconds: times.map(milliseconds),
    });
    return;
  }
  const by = implementation === '' ? '' : ` (${implementation})`;
  const echoes = times.length === 1 ? '1 echo' : `${times.length} echoes`;
  writeData(
    `${peer.aeTitle} at ${peer.host}:${peer.port} is alive${by}: association ${milliseconds(associated)} ms, ` +
      `${echoes} ${milliseconds(average)} ms${times.length === 1 ? '' : ' on average'}\n`,
  );
}
