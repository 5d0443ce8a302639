/** Catalogs of any size, filled through the catalog's own contract: rows without files, their segments settled. */
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Arrival, Catalog } from '../../src/catalog/types';
import type { InstanceHeader } from '../../src/dicom/types';

const load = createRequire(process.argv[1]!);

/** As the store closes a segment. */
const FILES_A_SEGMENT = 10_000;
/** Records on their way at a time: the writer turns 256 into a transaction, 1024 may wait. */
const WINDOW = 512;

export const digits = (value: number, width: number): string => String(value).padStart(width, '0');

/** A UID that depends on what it is called alone, so that a catalog can be filled in steps. */
export function uidOf(name: string, index: number): string {
  return `2.25.${BigInt(`0x${createHash('md5').update(`${name} ${index}`).digest('hex')}`).toString()}`;
}

/** The arrival of an instance, number `index`, in a segment that follows from it. */
export function arrivalOf(index: number, header: InstanceHeader, firstSegment: number): Arrival {
  const segment = firstSegment + Math.floor(index / FILES_A_SEGMENT);
  const sha256 = createHash('sha256').update(`instance ${index}`).digest('hex');
  return {
    arrivalId: `${digits(segment, 8)}-${digits((index % FILES_A_SEGMENT) + 1, 6)}-${sha256.slice(0, 16)}`,
    segment,
    arrivedAt: 1_700_000_000_000 + index * 100,
    TransferSyntaxUID: '1.2.840.10008.1.2.1',
    dataSetOffset: 512,
    dataSetLength: 525_000,
    sha256,
    sourceAETitle: 'CT_ROOM1',
    header,
  };
}

/** Adds the arrivals and settles their segments. Seconds it took. */
export async function fill(catalog: Catalog, arrivals: Iterable<Arrival>): Promise<number> {
  const started = performance.now();
  const pending = new Set<Promise<void>>();
  let segment = -1;
  let failure: unknown;
  for (const arrival of arrivals) {
    if (arrival.segment !== segment) {
      await Promise.all(pending);
      if (segment >= 0) await catalog.settle(segment);
      segment = arrival.segment;
      await catalog.openSegment(segment);
    }
    const recorded: Promise<void> = catalog
      .record(arrival)
      .then(
        ({ kind }) => {
          if (kind !== 'recorded')
            failure = new Error(`a row of the filling is there already: ${arrival.arrivalId}`);
        },
        (error: unknown) => {
          failure = error;
        },
      )
      .finally(() => pending.delete(recorded));
    pending.add(recorded);
    if (pending.size >= WINDOW) await Promise.race(pending);
    if (failure !== undefined) throw failure as Error;
  }
  await Promise.all(pending);
  if (failure !== undefined) throw failure as Error;
  if (segment >= 0) await catalog.settle(segment);
  return (performance.now() - started) / 1000;
}

/** Opens the catalog of a data directory as the node does. */
export async function withCatalog<T>(data: string, use: (catalog: Catalog) => Promise<T>): Promise<T> {
  const { SqliteCatalog } = load('../../dist/catalog/sqlite/catalog.js') as {
    SqliteCatalog: new (options: { path: string }) => Catalog;
  };
  const catalog = new SqliteCatalog({ path: path.join(data, 'catalog.sqlite') });
  await catalog.open();
  try {
    return await use(catalog);
  } finally {
    await catalog.close();
  }
}

/** Number of the first segment that a store as the node left it has free. */
export async function nextSegment(catalog: Catalog): Promise<number> {
  return 1 + (await catalog.segments()).reduce((highest, { segment }) => Math.max(highest, segment), 0);
}
