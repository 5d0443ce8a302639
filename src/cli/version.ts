import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Command } from 'commander';
import { VERSION } from '../version';
import { examples } from './command';
import { withErrors } from './errors';
import { printJson, writeData } from './output';

/** `isocenter version` */
export function register(program: Command): void {
  const command = program
    .command('version')
    .description('print the versions of isocenter, Node.js and the database driver')
    .option('--json', 'print JSON')
    .action(
      withErrors((options: { json?: true }) => {
        const versions = {
          isocenter: VERSION,
          node: process.versions.node,
          'better-sqlite3': packageVersion('better-sqlite3'),
        };
        if (options.json === true) printJson(versions);
        else
          writeData(
            Object.entries(versions)
              .map(([name, version]) => `${name} ${version}\n`)
              .join(''),
          );
        return undefined;
      }),
    );
  examples(
    command,
    `isocenter version
     isocenter version --json`,
  );
}

/** From its package.json: loading the driver would take longer than all the rest. */
function packageVersion(name: string): string {
  try {
    const file = createRequire(__filename).resolve(`${name}/package.json`);
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
  } catch {
    return 'not installed';
  }
}
