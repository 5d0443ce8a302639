#!/usr/bin/env -S node --disable-warning=MODULE_TYPELESS_PACKAGE_JSON
/**
 * The catalog alone, through its contract: records a second with many on their way, and the time of a lone one, in catalogs of
 * growing size. The longest gap between two outcomes tells of checkpoints. Runs the build (`npm run build`).
 *
 *   node scripts/bench/catalog.ts [--sizes 0,100000,1000000] [--records 20000] [--lone 2000] [--uids series|random] [--dir FOLDER] [--json]
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { SqliteCatalog } from '../../src/catalog/sqlite/catalog';
import type { Arrival } from '../../src/catalog/types';

const load = createRequire(process.argv[1]!);
const { SqliteCatalog: Catalog } = load('../../dist/catalog/sqlite/catalog.js') as {
  SqliteCatalog: new (options: { path: string }) => SqliteCatalog;
};

/** Records on their way at a time; 1024 may wait. */
const WINDOW = 512;
const FILES_A_SEGMENT = 10_000;

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '0,100000,1000000' },
    records: { type: 'string', default: '20000' },
    lone: { type: 'string', default: '2000' },
    uids: { type: 'string', default: 'series' },
    dir: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const digits = (value: number, width: number): string => String(value).padStart(width, '0');
/** `random`: no two neighbours share a page of the index, the worst a peer can do. */
const randomUid = (): string => `2.25.${BigInt(`0x${randomBytes(16).toString('hex')}`)}`;

/** As CTs send them: a patient a study, four series of 100 images; eight associations at once. */
function arrival(number: number): Arrival {
  const lane = number % 8;
  const position = Math.floor(number / 8);
  const study = Math.floor(position / 400) * 8 + lane;
  const series = Math.floor((position % 400) / 100);
  const segment = 1 + Math.floor(number / FILES_A_SEGMENT);
  const studyUid = `1.2.840.99999.1.20240117.${digits(study, 8)}`;
  const seriesUid = `${studyUid}.${series + 1}`;
  return {
    arrivalId: `${digits(segment, 8)}-${digits((number % FILES_A_SEGMENT) + 1, 6)}-${randomBytes(8).toString('hex')}`,
    segment,
    arrivedAt: 1_700_000_000_000 + number,
    header: {
      SOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
      SOPInstanceUID: options.uids === 'random' ? randomUid() : `${seriesUid}.${(position % 100) + 1}`,
      StudyInstanceUID: studyUid,
      SeriesInstanceUID: seriesUid,
      values: {
        PatientID: `PID${digits(study, 8)}`,
        PatientName: `Family${study}^Given^Middle`,
        IssuerOfPatientID: 'HOSPITAL',
        PatientBirthDate: '19600403',
        PatientSex: 'F',
        StudyDate: `2024${digits(1 + (study % 12), 2)}${digits(1 + (study % 28), 2)}`,
        StudyTime: '101500.000000',
        AccessionNumber: `A${digits(study, 9)}`,
        StudyID: String(study),
        StudyDescription: 'CT Thorax with contrast',
        ReferringPhysicianName: 'Referrer^Rita',
        InstitutionName: 'General Hospital',
        Modality: 'CT',
        SeriesNumber: String(series + 1),
        SeriesDescription: 'Thorax 1.0 B70f',
        SeriesDate: '20240117',
        SeriesTime: '101700.000000',
        BodyPartExamined: 'CHEST',
        ProtocolName: 'ThoraxRoutine',
        StationName: 'CT1',
        PerformedProcedureStepStartDate: '20240117',
        PerformedProcedureStepStartTime: '101500',
        InstanceNumber: String((position % 100) + 1),
        Rows: 512,
        Columns: 512,
        ContentDate: '20240117',
        ContentTime: `1017${digits(position % 60, 2)}.000000`,
        AcquisitionNumber: '1',
        ImageType: 'ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI',
      },
    },
    TransferSyntaxUID: '1.2.840.10008.1.2.1',
    dataSetOffset: 542,
    dataSetLength: 526_336,
    sha256: randomBytes(32).toString('hex'),
    sourceAETitle: 'CT_ROOM1',
  };
}

interface Pipelined {
  readonly recordsPerSecond: number;
  /** Longest time without any outcome, in milliseconds. */
  readonly longestGap: number;
}

async function pipelined(catalog: SqliteCatalog, from: number, count: number): Promise<Pipelined> {
  let next = from;
  let last = performance.now();
  let longestGap = 0;
  const started = last;
  const lane = async (): Promise<void> => {
    while (next < from + count) {
      await catalog.record(arrival(next++));
      const now = performance.now();
      longestGap = Math.max(longestGap, now - last);
      last = now;
    }
  };
  await Promise.all(Array.from({ length: WINDOW }, lane));
  return { recordsPerSecond: (count / (performance.now() - started)) * 1000, longestGap };
}

async function lone(
  catalog: SqliteCatalog,
  from: number,
  count: number,
): Promise<{ median: number; p99: number }> {
  const times: number[] = [];
  for (let number = from; number < from + count; number++) {
    const record = arrival(number);
    const started = performance.now();
    await catalog.record(record);
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  return { median: times[Math.floor(count / 2)]!, p99: times[Math.floor(count * 0.99)]! };
}

async function main(): Promise<void> {
  const folder = mkdtempSync(path.join(options.dir ?? tmpdir(), 'bench-catalog-'));
  const file = path.join(folder, 'catalog.sqlite');
  const catalog = new Catalog({ path: file });
  const results: Record<string, number>[] = [];
  try {
    await catalog.open();
    let number = 0;
    for (const size of options.sizes.split(',').map(Number)) {
      const fill = size - number;
      if (fill > 0) await pipelined(catalog, number, fill);
      number = Math.max(number, size);
      const many = await pipelined(catalog, number, Number(options.records));
      number += Number(options.records);
      const one = await lone(catalog, number, Number(options.lone));
      number += Number(options.lone);
      const started = performance.now();
      await catalog.find({ level: 'STUDY', keys: { PatientName: `family${size % 97}^*` } }, { limit: 100 });
      results.push({
        size,
        recordsPerSecond: Math.round(many.recordsPerSecond),
        longestGapMilliseconds: Math.round(many.longestGap),
        loneMedianMicroseconds: Math.round(one.median * 1000),
        loneP99Microseconds: Math.round(one.p99 * 1000),
        findMilliseconds: Math.round((performance.now() - started) * 10) / 10,
        residentMegabytes: Math.round(process.memoryUsage.rss() / 1e6),
        databaseMegabytes: Math.round(statSync(file).size / 1e6),
        logMegabytes: Math.round(statSync(`${file}-wal`).size / 1e6),
      });
    }
    await catalog.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
  if (options.json) console.log(JSON.stringify(results));
  else {
    console.log(
      `${cpus().length} × ${cpus()[0]?.model ?? '?'}, Node ${process.version}, UIDs: ${options.uids}`,
    );
    console.table(results);
  }
}

void main();
