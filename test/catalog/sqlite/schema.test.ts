import Database from 'better-sqlite3';
import { closeSync, existsSync, openSync, readdirSync, truncateSync, writeSync } from 'node:fs';
import path from 'node:path';
import { SqliteCatalog } from '../../../src/catalog/sqlite/catalog';
import { MIGRATIONS, migrate, type Migration } from '../../../src/catalog/sqlite/schema';
import { setCatalogAside } from '../../../src/catalog/sqlite/set-aside';
import { arrival, scratch } from '../arrivals';
import { layout } from './direct';

describe('the schema', () => {
  let place: ReturnType<typeof scratch>;
  let file: string;

  beforeEach(() => {
    place = scratch();
    file = path.join(place.folder, 'catalog.sqlite');
  });

  afterEach(() => {
    place.remove();
  });

  async function filled(count = 1): Promise<void> {
    const catalog = new SqliteCatalog({ path: file });
    await catalog.open();
    await Promise.all(
      Array.from({ length: count }, (_, index) => catalog.record(arrival({ number: index + 1 }))),
    );
    await catalog.close();
  }

  const grow: Migration = (database) => {
    database.exec('ALTER TABLE studies ADD COLUMN grown TEXT');
  };

  it('is copied before the first step, and each step is whole or not there', async () => {
    await filled();
    const database = new Database(file);
    const breaks: Migration = (inside) => {
      inside.exec('ALTER TABLE series ADD COLUMN half TEXT');
      throw new Error('no more');
    };
    expect(() => migrate(database, layout, [...MIGRATIONS, grow, breaks])).toThrow('no more');
    expect(database.pragma('user_version', { simple: true })).toBe(MIGRATIONS.length + 1);
    const columns = (table: string): unknown[] =>
      database.prepare('SELECT name FROM pragma_table_info(?)').pluck().all(table);
    expect(columns('studies')).toContain('grown');
    expect(columns('series')).not.toContain('half');
    database.close();
    const copy = new Database(`${file}.v${MIGRATIONS.length}`, { readonly: true });
    expect(copy.pragma('user_version', { simple: true })).toBe(MIGRATIONS.length);
    expect(copy.prepare('SELECT count(*) FROM instances').pluck().get()).toBe(1);
    copy.close();
  });

  it('of a newer version is refused and left alone', async () => {
    await filled();
    const database = new Database(file);
    migrate(database, layout, [...MIGRATIONS, grow]);
    database.close();
    await expect(new SqliteCatalog({ path: file }).open()).rejects.toMatchObject({
      code: 'CATALOG_NEWER',
      exitCode: 78,
    });
    const after = new Database(file, { readonly: true });
    expect(after.pragma('user_version', { simple: true })).toBe(MIGRATIONS.length + 1);
    after.close();
  });

  it('of another program, or no database at all, is refused with the command that mends it', async () => {
    const mends = { code: 'CATALOG_CORRUPT', hint: 'isocenter reindex' };
    const foreign = new Database(file);
    foreign.exec('CREATE TABLE other (a)');
    foreign.close();
    await expect(new SqliteCatalog({ path: file }).open()).rejects.toMatchObject(mends);

    const text = path.join(place.folder, 'text.sqlite');
    const descriptor = openSync(text, 'w');
    writeSync(descriptor, 'this is not a database'.repeat(500));
    closeSync(descriptor);
    await expect(new SqliteCatalog({ path: text }).open()).rejects.toMatchObject(mends);
  });

  it('cut short is found, at the latest by the quick check', async () => {
    await filled(300);
    truncateSync(file, 40 * 4096);
    const catalog = new SqliteCatalog({ path: file });
    const problems = await catalog.open().then(
      async () => {
        const found = await catalog.quickCheck();
        await catalog.close().catch(() => undefined);
        return found;
      },
      (error: unknown) => [(error as { code: string }).code],
    );
    expect(problems).not.toEqual([]);
  });

  it('is set aside whole, so that a new one starts from nothing', async () => {
    await filled();
    const aside = setCatalogAside(file, new Date('2024-01-17T10:00:00Z'));
    expect(aside).toBe(`${file}.2024-01-17T10-00-00-000Z`);
    expect(existsSync(aside!)).toBe(true);
    expect(readdirSync(place.folder).sort()).toEqual([path.basename(aside!), 'catalog.sqlite.previous']);
    expect(setCatalogAside(file)).toBeUndefined();
    const catalog = new SqliteCatalog({ path: file });
    await catalog.open();
    expect((await catalog.counts()).instances).toBe(0);
    await catalog.close();
    expect(existsSync(`${file}.previous`)).toBe(false);
  });
});
