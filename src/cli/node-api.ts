import { join } from 'node:path';
import type { NodeApi } from '../admin/api';
import { ControlClient } from '../admin/client';
import { Archive, type ArchiveUse } from '../archive';
import type { Config } from '../config/config';
import { loadConfig } from '../config/load';
import { NodeEventBus } from '../events';
import type { CommandContext } from './command';
import { say } from './output';
import { Progress } from './progress';

/**
 * Runs a command on the running node, or on the store itself where none runs: then under its lock and, for commands that
 * write, after what an unclean stop left behind was looked through.
 */
export async function withNode<T>(
  context: CommandContext,
  use: 'read' | 'write',
  command: (api: NodeApi) => Promise<T>,
): Promise<T> {
  const { config } = loadConfig(context.configFile(), process.env);
  const client = new ControlClient(join(config.storage.directory, 'control.sock'));
  const running = await client.probe();
  if (running !== undefined) {
    if (use === 'read' && running.unavailable !== undefined)
      say(`isocenter: ${running.unavailable}; what it will find may be missing here`);
    return command(client);
  }
  return withArchive(config, use === 'read' ? { readOnly: true } : {}, async (archive) => {
    if (use === 'write') await recoverAloud(archive);
    else if (await archive.needsRecovery()) {
      say('isocenter: the node was not stopped cleanly; what its next start will find may be missing here');
    }
    return command(archive.api({ unavailable: () => undefined, associations: () => 0 }));
  });
}

/** Opens the store under its lock, and closes it whatever happens. Alerts go to stderr. */
export async function withArchive<T>(
  config: Config,
  how: ArchiveUse,
  work: (archive: Archive) => Promise<T>,
): Promise<T> {
  const events = new NodeEventBus((error) => say(`isocenter: ${String(error)}`));
  events.on('alert', ({ message, details }) =>
    say(`isocenter: ${message}${details === undefined ? '' : ` ${JSON.stringify(details)}`}`),
  );
  const archive = await Archive.open(
    {
      config,
      events,
      log: (level, message) => {
        if (level === 'error' || level === 'warn') say(`isocenter: ${message}`);
      },
      onFatal: (error) => {
        say(`isocenter: the catalog failed: ${error.message}`);
        process.exit(1);
      },
    },
    how,
  );
  try {
    return await work(archive);
  } finally {
    await archive.close();
  }
}

/** The recovery walk with a progress line; says what it found where there was something. */
export async function recoverAloud(archive: Archive, label = 'recovery'): ReturnType<Archive['recover']> {
  const progress = new Progress({ label, unit: 'segments' });
  const report = await archive.recover(({ segments, adopted }, left) =>
    progress.update(segments, `${left} left, ${adopted} files`),
  );
  progress.clear();
  return report;
}
