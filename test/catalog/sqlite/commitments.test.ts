import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { CommitmentRequest } from '../../../src/catalog/commitments';
import type { JobNews } from '../../../src/catalog/jobs';
import { setCatalogAside } from '../../../src/catalog/sqlite/set-aside';
import { DirectCatalog } from '../../services/direct-catalog';

const CT = '1.2.840.10008.5.1.4.1.1.2';

function request(more: Partial<CommitmentRequest> = {}): CommitmentRequest {
  return {
    remote: 'ct1',
    callingAETitle: 'CT_ROOM1',
    calledAETitle: 'NODE',
    TransactionUID: '2.25.1',
    references: [
      { SOPClassUID: CT, SOPInstanceUID: '2.25.7701.1' },
      { SOPClassUID: CT, SOPInstanceUID: '2.25.7701.2' },
    ],
    ...more,
  };
}

let folder: string;
let file: string;
let catalog: DirectCatalog;

beforeEach(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isocenter-commitments-'));
  file = path.join(folder, 'catalog.sqlite');
  catalog = new DirectCatalog(file);
  await catalog.open();
});

afterEach(async () => {
  await catalog.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

async function jobs(): Promise<{ id: number; kind: string; destination: string; payload: unknown }[]> {
  return (await catalog.jobs.list({}, { limit: 100 })).rows.map(({ id, kind, destination, payload }) => ({
    id,
    kind,
    destination,
    payload,
  }));
}

it('adds a request with its job, and tells of it', async () => {
  const news: JobNews[] = [];
  catalog.jobs.onNews((one) => news.push(one));
  const before = Date.now();
  const added = await catalog.commitments.add(request(), 10);
  expect(added.kind).toBe('added');
  const { id } = added as { id: number };
  expect(await jobs()).toEqual([
    {
      id,
      kind: 'commitment',
      destination: 'ct1',
      payload: { callingAETitle: 'CT_ROOM1', TransactionUID: '2.25.1', instances: 2 },
    },
  ]);
  const kept = await catalog.commitments.get(id);
  expect(kept).toEqual({ ...request(), id, addedAt: expect.any(Number) });
  expect(kept!.addedAt).toBeGreaterThanOrEqual(before);
  expect(news).toMatchObject([{ destination: 'ct1', kind: 'commitment', retried: false }]);
});

it('knows the same request again, in whatever order its list is', async () => {
  const { id } = (await catalog.commitments.add(request(), 10)) as { id: number };
  const turned = request({ references: [...request().references].reverse() });
  expect(await catalog.commitments.add(turned, 10)).toEqual({ kind: 'known', id });
  expect(await jobs()).toHaveLength(1);
});

it('tells another list under the same Transaction UID, and other askers from each other', async () => {
  await catalog.commitments.add(request(), 10);
  const other = { references: request().references.slice(1) };
  expect(await catalog.commitments.add(request(other), 10)).toEqual({ kind: 'differs' });
  expect(await catalog.commitments.add(request({ ...other, remote: 'ct2' }), 10)).toMatchObject({
    kind: 'added',
  });
  expect(await catalog.commitments.add(request({ ...other, callingAETitle: 'CT_2' }), 10)).toMatchObject({
    kind: 'added',
  });
  expect(await jobs()).toHaveLength(3);
});

it('takes no more than it may of one remote', async () => {
  await catalog.commitments.add(request(), 2);
  await catalog.commitments.add(request({ TransactionUID: '2.25.2' }), 2);
  expect(await catalog.commitments.add(request({ TransactionUID: '2.25.3' }), 2)).toEqual({ kind: 'full' });
  expect(await catalog.commitments.add(request(), 2)).toMatchObject({ kind: 'known' });
  expect(await catalog.commitments.add(request({ remote: 'ct2' }), 2)).toMatchObject({ kind: 'added' });
  expect(await jobs()).toHaveLength(3);
});

it('forgets a request with its job, done or cancelled', async () => {
  const ids: number[] = [];
  for (const TransactionUID of ['2.25.1', '2.25.2'])
    ids.push(((await catalog.commitments.add(request({ TransactionUID }), 10)) as { id: number }).id);
  expect(await catalog.commitments.under('ct1', 'CT_ROOM1')).toEqual(ids);
  await catalog.jobs.claim({ destination: 'ct1', kind: 'commitment' }, { now: Date.now() + 1000, limit: 1 });
  await catalog.jobs.end([{ id: ids[0]!, end: 'done' }]);
  expect(await catalog.commitments.get(ids[0]!)).toBeUndefined();
  expect(await catalog.commitments.under('ct1', 'CT_ROOM1')).toEqual([ids[1]]);
  await catalog.jobs.cancel({ ids: [ids[1]!] });
  expect(await catalog.commitments.get(ids[1]!)).toBeUndefined();
  // The UID is free again.
  expect(
    await catalog.commitments.add(request({ references: request().references.slice(1) }), 10),
  ).toMatchObject({
    kind: 'added',
  });
});

it('is there after a restart, and in the catalog that takes the place of one that was set aside', async () => {
  const { id } = (await catalog.commitments.add(request(), 10)) as { id: number };
  await catalog.close();
  catalog = new DirectCatalog(file);
  await catalog.open();
  expect(await catalog.commitments.get(id)).toMatchObject(request());
  await catalog.close();
  setCatalogAside(file);
  catalog = new DirectCatalog(file);
  await catalog.open();
  expect(await catalog.commitments.get(id)).toMatchObject(request());
  expect(await catalog.commitments.add(request(), 10)).toEqual({ kind: 'known', id });
});

it('holds a list of twenty thousand', async () => {
  const references = Array.from({ length: 20_000 }, (_, index) => ({
    SOPClassUID: CT,
    SOPInstanceUID: `1.2.840.113619.2.55.3.604688119.868.1400000000.${index}`,
  }));
  const { id } = (await catalog.commitments.add(request({ references }), 10)) as { id: number };
  expect((await catalog.commitments.get(id))!.references).toEqual(references);
});
