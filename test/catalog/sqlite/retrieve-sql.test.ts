import type Database from 'better-sqlite3';
import { openConnection } from '../../../src/catalog/sqlite/connection';
import { retrievePage, surveyPage } from '../../../src/catalog/sqlite/retrieve-sql';
import type { Selection } from '../../../src/catalog/query-types';
import { arrival } from '../arrivals';
import { Direct } from './direct';

/** No page of a retrieve may read through a table: others wait on the same thread. */
it.each<[string, Selection]>([
  ['a patient', { PatientID: 'P1', IssuerOfPatientID: 'X' }],
  ['studies', { StudyInstanceUID: ['1', '2'] }],
  ['series of a study', { StudyInstanceUID: ['1'], SeriesInstanceUID: ['1.1'], PatientID: 'P1' }],
  ['images', { SOPInstanceUID: ['1', '2'] }],
  ['images of a series', { SOPInstanceUID: ['1', '2'], SeriesInstanceUID: ['1.1'], PatientID: 'P1' }],
])('finds %s by indexes alone', (_what, selection) => {
  const direct = new Direct();
  direct.put(
    Array.from({ length: 200 }, (_, index) => arrival({ number: index + 1, study: `1.${index % 7}` })),
  );
  const database = openConnection(direct.file, { readonly: true, cache: 1024 });
  const plans: string[] = [];
  const statement = (text: string): Database.Statement => {
    const prepared = database.prepare(text);
    const parameters = (text.match(/\?/g) ?? []).map(() => '[]');
    for (const row of database.prepare(`EXPLAIN QUERY PLAN ${text}`).all(...parameters))
      plans.push((row as { detail: string }).detail);
    return prepared;
  };
  retrievePage({ statement }, selection, { limit: 10, until: '100' });
  surveyPage({ statement }, selection, {});
  database.close();
  direct.remove();
  // The list is the caller's own, and the greatest row id (a bare SEARCH) takes no walk.
  const read = plans.filter((line) => !line.includes('json_each') && line !== 'SEARCH instances');
  expect(read.filter((line) => line.startsWith('SCAN'))).toEqual([]);
  // An instance is reached by its UID or through its series, never by a range of row ids.
  const instances = read.filter((line) => line.startsWith('SEARCH instances'));
  expect(instances.length).toBeGreaterThan(0);
  for (const line of instances) expect(line).toMatch(/instances_key|instances_series/);
});
