import type Database from 'better-sqlite3';
import { errorMessage } from '../../errors';
import { isCorrupt } from './failure';

/** Lines of a report: a broken file can say a thousand times the same. */
const MOST_PROBLEMS = 20;

/** What is said where the sums of the tables don't agree. */
const SUMS: readonly (readonly [string, string])[] = [
  [
    `SELECT count(*) FROM series WHERE NumberOfSeriesRelatedInstances IS NOT
       (SELECT count(*) FROM instances WHERE instances.series = series.id AND version = 0)`,
    'series with a wrong number of instances',
  ],
  [
    `SELECT count(*) FROM studies WHERE NumberOfStudyRelatedInstances IS NOT
       (SELECT coalesce(sum(NumberOfSeriesRelatedInstances), 0) FROM series WHERE series.study = studies.id)`,
    'studies with a wrong number of instances',
  ],
  [
    `SELECT count(*) FROM patients WHERE NumberOfPatientRelatedInstances IS NOT
       (SELECT coalesce(sum(NumberOfStudyRelatedInstances), 0) FROM studies WHERE studies.patient = patients.id)`,
    'patients with a wrong number of instances',
  ],
  [
    `SELECT instances <> (SELECT count(*) FROM instances WHERE version = 0)
       OR bytes <> (SELECT coalesce(sum(dataSetLength), 0) FROM instances) FROM totals`,
    'total that disagrees with the instances',
  ],
];

/** Reads the whole database. @returns one sentence for each problem; none is good. */
export function quickCheck(database: Database.Database): string[] {
  try {
    const problems = database
      .prepare<[], string>(`PRAGMA quick_check(${MOST_PROBLEMS})`)
      .pluck()
      .all()
      .filter((line) => line !== 'ok');
    if (problems.length > 0) return problems;
    return database.transaction(() =>
      SUMS.flatMap(([text, what]) => {
        const wrong = Number(database.prepare(text).pluck().get());
        return wrong === 0 ? [] : [`${wrong} ${what}`];
      }),
    )();
  } catch (error) {
    if (!isCorrupt(error)) throw error;
    return [errorMessage(error)];
  }
}
