import path from 'node:path';
import { SqliteCatalog } from '../../../src/catalog/sqlite/catalog';
import { scratch } from '../arrivals';
import { catalogContract } from '../contract';

describe('the SQLite catalog', () => {
  catalogContract(async () => {
    const place = scratch();
    let catalog = new SqliteCatalog({ path: path.join(place.folder, 'catalog.sqlite') });
    await catalog.open();
    return {
      catalog,
      reopen: async () => {
        await catalog.close();
        catalog = new SqliteCatalog({ path: path.join(place.folder, 'catalog.sqlite') });
        await catalog.open();
        return catalog;
      },
      remove: async () => {
        expect(await catalog.quickCheck()).toEqual([]);
        await catalog.close();
        place.remove();
      },
    };
  });
});
