import { isAbsolute, join, relative } from 'node:path';
import type { Command } from 'commander';
import { EXIT } from '../errors';

/** What main.ts hands to each command. */
export interface CommandContext {
  /** `--config`, else ISOCENTER_CONFIG, else the file that is shipped; for messages as much as for reading. */
  configFile(): string;
  /** Aborted by the first Ctrl-C; a second one ends the process at once (exit 130). Asking for it takes Ctrl-C over. */
  interrupted(): AbortSignal;
}

/** A file of this folder that is one command (or one group of them). */
export interface CommandModule {
  register(program: Command, context: CommandContext): void;
}

/** Real command lines at the end of a command's help. */
export function examples(command: Command, text: string): Command {
  const lines = text
    .trim()
    .split('\n')
    .map((line) => `  ${line.trim()}`);
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

/** config/isocenter.yaml of this package, as short as it can be written from here. */
function shippedConfig(): string {
  const shipped = join(__dirname, '..', '..', 'config', 'isocenter.yaml');
  const short = relative(process.cwd(), shipped);
  return short.startsWith('..') || isAbsolute(short) ? shipped : short;
}

/** The context of one run. */
export function createContext(program: Command): CommandContext {
  let controller: AbortController | undefined;
  return {
    configFile() {
      const given = program.opts<{ config?: string }>().config ?? process.env['ISOCENTER_CONFIG'];
      return given === undefined || given === '' ? shippedConfig() : given;
    },
    interrupted() {
      controller ??= abortOnInterrupt();
      return controller.signal;
    },
  };
}

function abortOnInterrupt(): AbortController {
  const controller = new AbortController();
  process.on('SIGINT', () => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    controller.abort();
  });
  return controller;
}
