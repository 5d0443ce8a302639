#!/usr/bin/env -S node --disable-warning=MODULE_TYPELESS_PACKAGE_JSON
/**
 * Where a CPU profile (`node --cpu-prof`, see profile.ts) spent its time: self time by function and by file.
 *
 *   node scripts/bench/top.ts [--count 25] [--skip MILLISECONDS] [--json] FILE.cpuprofile…
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

const OUTSIDE = new Set(['(idle)', '(program)', '(garbage collector)', '(root)']);

function place(url: string): string {
  if (url === '') return 'native';
  if (!url.startsWith('file://') && !path.isAbsolute(url)) return url;
  const file = url.replace(/^file:\/\//, '');
  const dependency = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file);
  if (dependency !== null) return `node_modules/${dependency[1]!}`;
  return /(?:^|\/)((?:dist|src|scripts)\/.*)$/.exec(file)?.[1] ?? path.basename(file);
}

/** Self time in milliseconds by key, from `skip` milliseconds on. */
function selfTimes(
  profile: CpuProfile,
  skip: number,
): {
  functions: Map<string, number>;
  files: Map<string, number>;
  all: number;
} {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const functions = new Map<string, number>();
  const files = new Map<string, number>();
  let all = 0;
  let elapsed = 0;
  profile.samples.forEach((id, index) => {
    const node = byId.get(id);
    const time = Math.max(0, profile.timeDeltas[index] ?? 0) / 1000;
    elapsed += time;
    if (node === undefined || elapsed < skip) return;
    const { functionName, url, lineNumber } = node.callFrame;
    const outside = OUTSIDE.has(functionName);
    const file = outside ? functionName : place(url);
    const name = outside
      ? functionName
      : `${functionName || '(anonymous)'}  ${file}${url === '' ? '' : `:${lineNumber + 1}`}`;
    functions.set(name, (functions.get(name) ?? 0) + time);
    files.set(file, (files.get(file) ?? 0) + time);
    all += time;
  });
  return { functions, files, all };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '25' },
    skip: { type: 'string', default: '0' },
    json: { type: 'boolean', default: false },
  },
});
if (positionals.length === 0) {
  process.stderr.write(
    'Usage: node scripts/bench/top.ts [--count 25] [--skip MILLISECONDS] [--json] FILE.cpuprofile…\n',
  );
  process.exitCode = 2;
}
for (const file of positionals) {
  const { functions, files, all } = selfTimes(
    JSON.parse(readFileSync(file, 'utf8')) as CpuProfile,
    Number(values.skip),
  );
  const busy = all - (functions.get('(idle)') ?? 0);
  const top = (times: Map<string, number>): { name: string; ms: number; share: number }[] =>
    [...times]
      .filter(([name]) => name !== '(idle)')
      .sort((a, b) => b[1] - a[1])
      .slice(0, Number(values.count))
      .map(([name, ms]) => ({ name, ms, share: ms / busy }));
  const result = { file, milliseconds: all, busy, functions: top(functions), files: top(files) };
  if (values.json) {
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  } else {
    process.stdout.write(
      `${path.basename(file)}: ${all.toFixed(0)} ms, busy ${busy.toFixed(0)} ms (${((100 * busy) / all).toFixed(0)} %); shares are of the busy time\n`,
    );
    for (const [title, rows] of [
      ['by function', result.functions],
      ['by file', result.files],
    ] as const) {
      process.stdout.write(`\n${title}\n`);
      for (const { name, ms, share } of rows) {
        process.stdout.write(
          `${ms.toFixed(0).padStart(8)} ms ${(100 * share).toFixed(1).padStart(5)} %  ${name}\n`,
        );
      }
    }
  }
}
