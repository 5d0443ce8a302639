import { statSync } from 'node:fs';
import path from 'node:path';
import { SqliteCatalog } from '../../../src/catalog/sqlite/catalog';
import type { Maintenance } from '../../../src/catalog/sqlite/maintenance';
import type { ThreadHost } from '../../../src/catalog/sqlite/thread-host';
import { arrival, scratch } from '../arrivals';

/** The threads themselves, to end them as a failure would. */
interface Inside {
  readonly writer: ThreadHost;
  readonly reader: ThreadHost;
  readonly maintenance: Maintenance;
}

function kill(host: ThreadHost): Promise<number> {
  return (host as unknown as { worker: { terminate(): Promise<number> } }).worker.terminate();
}

describe('threads', () => {
  let place: ReturnType<typeof scratch>;
  let file: string;
  let catalog: SqliteCatalog;
  let inside: Inside;
  let fatal: { code: string }[];

  beforeEach(async () => {
    place = scratch();
    file = path.join(place.folder, 'catalog.sqlite');
    catalog = new SqliteCatalog({ path: file });
    await catalog.open();
    inside = catalog as unknown as Inside;
    fatal = [];
    catalog.onFatal((error) => fatal.push(error as unknown as { code: string }));
  });

  afterEach(async () => {
    await catalog.close();
    place.remove();
  });

  it('that write: what was under way is unknown, what waited was not written, the node must stop', async () => {
    const calls = Array.from({ length: 600 }, (_, index) =>
      catalog.record(arrival({ number: index + 1 })).then(
        () => 'done',
        (error: unknown) => (error as { code: string }).code,
      ),
    );
    await Promise.resolve();
    await kill(inside.writer);
    const outcomes = await Promise.all(calls);
    const of = (code: string): number => outcomes.filter((outcome) => outcome === code).length;
    expect(of('CATALOG_UNKNOWN')).toBeGreaterThan(0);
    expect(of('CATALOG_ROLLED_BACK')).toBeGreaterThan(0);
    expect(of('done') + of('CATALOG_UNKNOWN') + of('CATALOG_ROLLED_BACK')).toBe(600);
    expect(fatal).toMatchObject([{ code: 'CATALOG_THREAD' }]);
    await expect(catalog.record(arrival())).rejects.toMatchObject({ code: 'CATALOG_ROLLED_BACK' });
    // Reads go on.
    const { instances } = await catalog.counts();
    expect(instances).toBeGreaterThanOrEqual(of('done'));
    expect(instances).toBeLessThanOrEqual(of('done') + of('CATALOG_UNKNOWN'));
    const late: Error[] = [];
    catalog.onFatal((error) => late.push(error));
    expect(late).toHaveLength(1);
  });

  it('that read: waiting questions are refused, the node must stop', async () => {
    const asked = Array.from({ length: 5000 }, () =>
      catalog.counts().then(
        () => 'done',
        (error: unknown) => (error as { code: string }).code,
      ),
    );
    await kill(inside.reader);
    expect(new Set(await Promise.all(asked))).toContain('CATALOG_THREAD');
    expect(fatal).toMatchObject([{ code: 'CATALOG_THREAD' }]);
    await expect(catalog.counts()).rejects.toMatchObject({ code: 'CATALOG_THREAD' });
  });

  it('copy the log beside the commits, and leave none behind', async () => {
    await Promise.all(
      Array.from({ length: 1000 }, (_, index) => catalog.record(arrival({ number: index + 1 }))),
    );
    expect(statSync(file).size).toBe(4096);
    await inside.maintenance.checkpoint();
    expect(statSync(file).size).toBeGreaterThan(100_000);
    expect(await catalog.quickCheck()).toEqual([]);
    await catalog.close();
    expect(() => statSync(`${file}-wal`)).toThrow('ENOENT');
  });

  it('that could not open say why and are ended', async () => {
    const nowhere = new SqliteCatalog({ path: path.join(place.folder, 'missing', 'catalog.sqlite') });
    await expect(nowhere.open()).rejects.toThrow(/directory/);
    await expect(nowhere.counts()).rejects.toMatchObject({ code: 'CATALOG_CLOSED' });
    await expect(nowhere.record(arrival())).rejects.toMatchObject({ code: 'CATALOG_ROLLED_BACK' });
    await nowhere.close();
  });
});
