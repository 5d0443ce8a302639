/* eslint-disable @typescript-eslint/no-require-imports --
   A command is loaded when it is asked for: yaml, zod, winston and the database would make `isocenter version` wait for them all. */
import { Command } from 'commander';
import { VERSION } from '../version';
import { type CommandModule, createContext, examples } from './command';
import { reportError } from './errors';

/** Every command and the file it is in, in the order of the help. */
const COMMANDS: Readonly<Record<string, () => CommandModule>> = {
  serve: () => require('./serve') as CommandModule,
  config: () => require('./config') as CommandModule,
  find: () => require('./find') as CommandModule,
  show: () => require('./show') as CommandModule,
  quarantine: () => require('./quarantine') as CommandModule,
  jobs: () => require('./jobs') as CommandModule,
  import: () => require('./import') as CommandModule,
  reindex: () => require('./reindex') as CommandModule,
  echo: () => require('./echo') as CommandModule,
  send: () => require('./send') as CommandModule,
  move: () => require('./move') as CommandModule,
  get: () => require('./get') as CommandModule,
  export: () => require('./export') as CommandModule,
  query: () => require('./query') as CommandModule,
  version: () => require('./version') as CommandModule,
};

/** The command that is asked for, if it can be told without its options; otherwise all are loaded. */
function wanted(args: readonly string[]): string | undefined {
  for (let i = 0; i < args.length; i++) {
    const word = args[i] ?? '';
    if (word === '--config' || word === '-c') i++;
    else if (!word.startsWith('-') && word !== 'help')
      return Object.hasOwn(COMMANDS, word) ? word : undefined;
  }
  return undefined;
}

function createProgram(args: readonly string[]): Command {
  const program = new Command('isocenter')
    .description('A DIMSE network node: receives, keeps and serves DICOM instances.')
    .version(VERSION, '-V, --version', 'print the version')
    .option('-c, --config <file>', 'configuration file (also ISOCENTER_CONFIG)')
    .helpOption('-h, --help', 'show this help')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'isocenter: ')),
    })
    .showHelpAfterError('  --help shows what can be written here')
    // commander would exit with 1; usage errors are 2.
    .exitOverride();
  examples(
    program,
    `isocenter config check
     isocenter echo ARCHIVE@10.0.4.30:104
     isocenter serve --config /etc/isocenter.yaml`,
  );
  const context = createContext(program);
  const name = wanted(args);
  for (const [command, load] of Object.entries(COMMANDS))
    if (name === undefined || name === command) load().register(program, context);
  return program;
}

async function main(): Promise<void> {
  // Nobody is left to tell.
  process.stderr.on('error', () => undefined);
  try {
    await createProgram(process.argv.slice(2)).parseAsync();
  } catch (error) {
    process.exitCode = reportError(error);
  }
}

void main();
