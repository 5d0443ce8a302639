import type { Command } from 'commander';
import { loadConfig } from '../config/load';
import { problemLines } from '../config/problems';
import { errorCode, errorMessage, EXIT, type ExitCode } from '../errors';
import { createLogger } from '../log';
import { createNode } from '../node';
import { type CommandContext, examples } from './command';
import { withErrors } from './errors';

/** `isocenter serve` */
export function register(program: Command, context: CommandContext): void {
  const command = program
    .command('serve')
    .description('run the node until SIGTERM or Ctrl-C; its log goes to stdout')
    .action(withErrors(() => serve(context)));
  examples(
    command,
    `isocenter serve
     isocenter serve --config /etc/isocenter.yaml
     ISOCENTER_CONFIG=/etc/isocenter.yaml isocenter serve`,
  );
}

async function serve(context: CommandContext): Promise<ExitCode> {
  const loaded = loadConfig(context.configFile(), process.env);
  const logger = createLogger(loaded.config.log);
  for (const line of problemLines(loaded.file, loaded.warnings)) logger.log('warn', line);
  const node = createNode(loaded.config, logger);
  const ended = new Promise<ExitCode>((resolve) => {
    let stopping = false;
    const stop = (signal: NodeJS.Signals): void => {
      // Whoever asks twice doesn't want to wait.
      if (stopping) process.exit(EXIT.failed);
      stopping = true;
      logger.log('info', 'stopping: running operations may end within 30 s, a second signal ends at once', {
        signal,
      });
      node.stop().then(
        () => resolve(EXIT.ok),
        (error: unknown) => {
          logger.log('error', 'the node could not stop cleanly', { error: errorMessage(error) });
          resolve(EXIT.failed);
        },
      );
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
    node.failed.catch((error: unknown) => {
      logger.log('error', 'the node can not go on', { error: errorMessage(error) });
      resolve(EXIT.failed);
    });
  });
  process.on('SIGUSR2', () => logger.reopen());
  process.on('SIGHUP', () =>
    logger.log('warn', 'the configuration is read at start only: restart the node to apply a change'),
  );
  process.on('unhandledRejection', (error) => {
    // A defect of ours; its one association suffers, not all of them.
    logger.log('error', 'unhandled rejection', {
      error: errorMessage(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
  });
  try {
    await node.start().catch((error: unknown) => {
      // Asked to stop before it was ready: that is no failure.
      if (errorCode(error) !== 'NODE_STOPPED') throw error;
    });
    return await ended;
  } finally {
    await logger.close();
    // A worker or a socket that outlives the stop must not keep a stopped node from ending.
    setTimeout(() => process.exit(), 1000).unref();
  }
}
