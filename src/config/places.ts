import { accessSync, constants, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorCode } from '../errors';
import type { LoadedConfig } from './load';
import type { Path, Problem } from './problems';

/**
 * What a start would stumble over on this machine: folders that can't be made or written. Apart from `loadConfig`, because a
 * command that only calls a peer needs no folder, and another user may run it.
 */
export function checkPlaces({ config, document }: LoadedConfig): Problem[] {
  const problems: Problem[] = [];
  const check = (path: Path, directory: string): void => {
    const trouble = troubleWith(directory);
    if (trouble !== undefined) problems.push({ ...document.placeOf(path), path, message: trouble });
  };
  check(['storage', 'directory'], config.storage.directory);
  if (config.log.file !== undefined) check(['log', 'file'], dirname(config.log.file));
  return problems;
}

function troubleWith(directory: string): string | undefined {
  try {
    if (!statSync(directory).isDirectory()) return `${directory} is not a folder`;
    accessSync(directory, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    const code = errorCode(error);
    // It is made at the start: what counts is the nearest folder that exists.
    const parent = dirname(directory);
    if (code === 'ENOENT' && parent !== directory) return troubleWith(parent);
    return code === 'ENOTDIR'
      ? troubleWith(parent)
      : `this user cannot write in ${directory}: give it the right, or choose another folder`;
  }
}
