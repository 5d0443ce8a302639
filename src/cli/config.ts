import type { Command } from 'commander';
import { loadConfig } from '../config/load';
import type { LoadedConfig } from '../config/load';
import { checkPlaces } from '../config/places';
import { ConfigInvalid, type Problem, pathText, problemLines } from '../config/problems';
import { effective, effectiveYaml, origins } from '../config/show';
import { EXIT } from '../errors';
import type { ExitCode } from '../errors';
import { type CommandContext, examples } from './command';
import { withErrors } from './errors';
import { printJson, say, writeData } from './output';

/** `isocenter config check|show` */
export function register(program: Command, context: CommandContext): void {
  const group = program.command('config').description('check or show the configuration');
  const read = (): LoadedConfig => loadConfig(context.configFile(), process.env);

  examples(
    group,
    `isocenter config check
     isocenter config show --origin
     isocenter config show --config /etc/isocenter.yaml`,
  );

  const check = group
    .command('check')
    .description(
      'read the configuration and name everything that is wrong with it (exit 78) or has no effect (exit 3)',
    )
    .option('--json', 'print JSON')
    .action(
      withErrors((options: { json?: true }) => runCheck(read, context.configFile(), options.json === true)),
    );
  examples(
    check,
    `isocenter config check
     isocenter config check --config new.yaml && mv new.yaml /etc/isocenter.yaml
     isocenter config check --json`,
  );

  const show = group
    .command('show')
    .description('print the effective configuration, defaults filled in, as YAML')
    .option('--json', 'print JSON')
    .option('--origin', 'say of each value whether it is a default, from the file or from the environment')
    .action(
      withErrors((options: { json?: true; origin?: true }) => {
        const loaded = read();
        if (options.json === true)
          printJson(options.origin === true ? origins(loaded) : effective(loaded.config));
        else writeData(effectiveYaml(loaded, options.origin === true));
        return undefined;
      }),
    );
  examples(
    show,
    `isocenter config show
     isocenter config show --origin
     isocenter config show --json | jq .listen.port`,
  );
}

function runCheck(read: () => LoadedConfig, file: string, json: boolean): ExitCode {
  let loaded: LoadedConfig;
  try {
    loaded = read();
  } catch (error) {
    if (!json || !(error instanceof ConfigInvalid)) throw error;
    printJson({ file, valid: false, problems: error.problems.map(asJson), warnings: [] });
    return EXIT.configuration;
  }
  const warnings = [...loaded.warnings, ...checkPlaces(loaded)];
  const { config } = loaded;
  if (json) printJson({ file, valid: true, problems: [], warnings: warnings.map(asJson) });
  else {
    for (const line of problemLines(file, warnings)) say(line);
    const remotes = config.remotes.length === 1 ? '1 remote' : `${config.remotes.length} remotes`;
    writeData(
      `${file} is valid: ${config.aeTitles.join(', ')} on ${config.listen.host} port ${config.listen.port}, ${remotes}\n`,
    );
  }
  return warnings.length === 0 ? EXIT.ok : EXIT.warnings;
}

function asJson(problem: Problem): Record<string, unknown> {
  return { ...problem, path: pathText(problem.path) };
}
