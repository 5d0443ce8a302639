#!/usr/bin/env -S node --disable-warning=MODULE_TYPELESS_PACKAGE_JSON
/**
 * Many associations at once from one process, each storing a series of its own that is made while it is sent. Prints one JSON object:
 * { instances, seconds, failures }.
 *
 *   node scripts/bench/send.ts --port 11112 --called ISOCENTER --kind ct --associations 64 --each 20 [--seed 1] [--bytes N]
 */
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import type * as GenSeries from '../gen-series';
import type * as ScuModule from './scu';

const load = createRequire(process.argv[1]!);
const { generateSeries, KINDS } = load('../gen-series.ts') as typeof GenSeries;
const { Scu } = load('./scu.ts') as typeof ScuModule;

export interface SendResult {
  readonly instances: number;
  readonly seconds: number;
  readonly failures: readonly string[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string' },
      called: { type: 'string', default: 'ISOCENTER' },
      kind: { type: 'string', default: 'ct' },
      associations: { type: 'string', default: '64' },
      each: { type: 'string', default: '20' },
      seed: { type: 'string', default: '1' },
      bytes: { type: 'string', default: '16777216' },
    },
  });
  const kind = KINDS.find((name) => name === values.kind) ?? 'ct';
  const port = Number(values.port);
  const each = Number(values.each);
  const failures: string[] = [];
  let instances = 0;
  const series = Array.from({ length: Number(values.associations) }, (_, index) => {
    const made = generateSeries({
      kind,
      instances: each,
      seed: Number(values.seed) + index,
      bytes: Number(values.bytes),
    });
    return { first: made.next().value, rest: made };
  });
  // The phantoms are made, the clock may start.
  const started = performance.now();
  await Promise.all(
    series.map(async ({ first, rest }) => {
      try {
        const scu = await Scu.open({
          port,
          calledAETitle: values.called,
          SOPClassUIDs: [first!.SOPClassUID],
        });
        for (let next = first; next !== undefined; next = rest.next().value) {
          const { SOPClassUID, SOPInstanceUID, dataSetLength } = next;
          const status = await scu.store(SOPClassUID, SOPInstanceUID, next.dataSet(), dataSetLength);
          if (status === 0) instances++;
          else failures.push(`status ${status.toString(16)}`);
        }
        await scu.release();
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }),
  );
  const result: SendResult = { instances, seconds: (performance.now() - started) / 1000, failures };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
});
