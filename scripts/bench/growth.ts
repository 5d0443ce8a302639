#!/usr/bin/env -S node --disable-warning=MODULE_TYPELESS_PACKAGE_JSON
/**
 * Whether the node gets slower as it fills: catalogs of growing size are made through the catalog's own contract (rows without files, their
 * segments settled), then small instances come over the wire. Every round visits every size once, on a fresh copy. Start to the first
 * C-ECHO is measured on the way.
 *
 *   node scripts/bench/growth.ts [--sizes 0,100000,300000,1000000] [--instances 20000] [--associations 4] [--rounds 3] [--dir FOLDER] [--json]
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { Arrival } from '../../src/catalog/types';
import type * as GenSeries from '../gen-series';
import type * as Fill from './fill';
import type * as ProbeModule from './probe';
import type * as Report from './report';
import type * as Storescu from './storescu';
import type * as Targets from './targets';

const load = createRequire(process.argv[1]!);
const { arrivalOf, digits, fill, nextSegment, uidOf, withCatalog } = load('./fill.ts') as typeof Fill;
const { writeSeries } = load('../gen-series.ts') as typeof GenSeries;
const { memoryOf, processorSeconds } = load('./probe.ts') as typeof ProbeModule;
const { describeMachine, fixed, machineLine, median, table } = load('./report.ts') as typeof Report;
const { sendFolders } = load('./storescu.ts') as typeof Storescu;
const { emptyFiles, startNode } = load('./targets.ts') as typeof Targets;

const SERIES_A_STUDY = 4;
const INSTANCES_A_SERIES = 100;

/** Arrivals as a CT would have sent them: a patient a study, four series of 100. */
function* arrivals(from: number, to: number, firstSegment: number): Generator<Arrival> {
  for (let index = from; index < to; index++) {
    const series = Math.floor(index / INSTANCES_A_SERIES);
    const study = Math.floor(series / SERIES_A_STUDY);
    const date = `20${digits(10 + (study % 15), 2)}${digits(1 + (study % 12), 2)}${digits(1 + (study % 28), 2)}`;
    const SOPInstanceUID = uidOf('instance', index);
    const StudyInstanceUID = uidOf('study', study);
    const SeriesInstanceUID = uidOf('series', series);
    const SOPClassUID = '1.2.840.10008.5.1.4.1.1.2';
    yield arrivalOf(
      index,
      {
        SOPClassUID,
        SOPInstanceUID,
        StudyInstanceUID,
        SeriesInstanceUID,
        values: {
          PatientID: `FILL-${digits(study, 8)}`,
          PatientName: `Family${study % 5000}^Given${study % 300}`,
          PatientBirthDate: `19${digits(30 + (study % 70), 2)}0101`,
          PatientSex: study % 2 === 0 ? 'F' : 'M',
          StudyInstanceUID,
          StudyDate: date,
          StudyTime: '101500',
          AccessionNumber: `F${digits(study, 9)}`,
          StudyID: String(study),
          StudyDescription: 'CT THORAX',
          ReferringPhysicianName: `Referrer^Pat${study % 100}`,
          InstitutionName: 'Phantom Hospital',
          SeriesInstanceUID,
          Modality: 'CT',
          SeriesNumber: (series % SERIES_A_STUDY) + 1,
          SeriesDescription: 'THORAX 1.0 B31f',
          SeriesDate: date,
          SeriesTime: '101600',
          BodyPartExamined: 'CHEST',
          ProtocolName: 'THORAX 1.0',
          SOPInstanceUID,
          SOPClassUID,
          InstanceNumber: (index % INSTANCES_A_SERIES) + 1,
          Rows: 512,
          Columns: 512,
          ContentDate: date,
          ContentTime: '101700',
          AcquisitionNumber: 1,
          ImageType: 'ORIGINAL\\PRIMARY\\AXIAL',
        },
      },
      firstSegment,
    );
  }
}

interface Size {
  readonly instances: number;
  readonly catalogBytes: number;
  readonly fillRate: number;
  readonly rates: number[];
  readonly starts: number[];
  readonly peaks: number[];
  /** Processor milliseconds an instance. */
  readonly efforts: number[];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      sizes: { type: 'string', default: '0,100000,300000,1000000' },
      instances: { type: 'string', default: '20000' },
      associations: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '3' },
      dir: { type: 'string', default: tmpdir() },
      json: { type: 'boolean', default: false },
    },
  });
  const sizes = values.sizes.split(',').map(Number);
  const instances = Number(values.instances);
  const associations = Number(values.associations);
  const rounds = Number(values.rounds);
  const scratch = mkdtempSync(path.join(values.dir, 'isocenter-bench-'));
  process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

  const source = path.join(scratch, 'source');
  await writeSeries(source, { kind: 'small', instances, studies: instances / 100 });
  // One folder an association: storescu walks the studies below it.
  const folders = Array.from({ length: associations }, (_, index) => path.join(scratch, `sender-${index}`));
  for (const folder of folders) mkdirSync(folder);
  readdirSync(source).forEach((study, index) =>
    execFileSync('mv', [path.join(source, study), folders[index % associations]!]),
  );

  // An empty store as the node leaves it, then grown in steps.
  const growing = path.join(scratch, 'growing');
  mkdirSync(growing);
  await (await startNode(growing)).stop();
  const data = path.join(growing, 'data');
  const firstSegment = await withCatalog(data, nextSegment);
  const points: (Size & { readonly place: string })[] = [];
  let filled = 0;
  for (const size of sizes) {
    const seconds = await withCatalog(data, (catalog) => fill(catalog, arrivals(filled, size, firstSegment)));
    const place = path.join(scratch, `filled-${size}`);
    execFileSync('cp', ['-a', growing, place]);
    const catalogBytes = statSync(path.join(data, 'catalog.sqlite')).size;
    const fillRate = (size - filled) / seconds;
    points.push({
      instances: size,
      catalogBytes,
      fillRate,
      rates: [],
      starts: [],
      peaks: [],
      efforts: [],
      place,
    });
    process.stderr.write(
      `catalog of ${size}: ${fixed(catalogBytes / 2 ** 20)} MiB, filled at ${fixed(fillRate)}/s\n`,
    );
    filled = size;
  }
  rmSync(growing, { recursive: true });

  let failed = false;
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < points.length; turn++) {
      const point = points[(turn + round) % points.length]!;
      const directory = path.join(scratch, `store-${round}-${turn}`);
      execFileSync('cp', ['-a', point.place, directory]);
      execFileSync('sync');
      const node = await startNode(directory);
      try {
        const before = processorSeconds(node.pid);
        const { seconds, complaints } = await sendFolders(folders, node.port, node.calledAETitle, 300);
        point.efforts.push((1000 * (processorSeconds(node.pid) - before)) / instances);
        point.starts.push(node.startTime);
        point.rates.push(instances / seconds);
        point.peaks.push(memoryOf(node.pid, 'VmHWM'));
        failed ||= complaints.length > 0;
        process.stderr.write(
          `round ${round + 1}, ${point.instances}: start ${fixed(node.startTime)} ms, ${fixed(instances / seconds)}/s ${complaints[0] ?? ''}\n`,
        );
      } finally {
        await node.stop();
      }
      const { instances: held } = await withCatalog(path.join(directory, 'data'), (catalog) =>
        catalog.counts(),
      );
      if (held !== point.instances + instances) {
        failed = true;
        process.stderr.write(`holds ${held} of ${point.instances + instances}\n`);
      }
      emptyFiles(directory);
    }
  }

  const machine = describeMachine(scratch);
  if (values.json) {
    process.stdout.write(
      `${JSON.stringify({ machine, rounds, instances, associations, points }, null, 2)}\n`,
    );
  } else {
    const base = median(points[0]!.rates);
    process.stdout.write(
      `${machineLine(machine)}\n${instances} small instances on ${associations} associations, ${rounds} rounds\n\n${table(
        [
          'in the catalog',
          'instances/s',
          'min',
          'max',
          'of the first',
          'CPU ms each',
          'start to C-ECHO, ms',
          'peak, MiB',
          'catalog, MiB',
        ],
        points.map((p) => [
          String(p.instances),
          fixed(median(p.rates)),
          fixed(Math.min(...p.rates)),
          fixed(Math.max(...p.rates)),
          `${fixed((100 * median(p.rates)) / base)} %`,
          fixed(median(p.efforts), 3),
          fixed(median(p.starts)),
          fixed(Math.max(...p.peaks)),
          fixed(p.catalogBytes / 2 ** 20),
        ]),
      )}\n`,
    );
  }
  return failed ? 1 : 0;
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = 1;
  },
);
