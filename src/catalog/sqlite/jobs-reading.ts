import type Database from 'better-sqlite3';
import { JOB_STATES, type Job, type JobCount, type JobFilter, type JobPage } from '../jobs';
import { badCursor } from './cursor';
import { readJob, type JobRow } from './jobs-rows';

type Statement = (text: string) => Database.Statement;

/** Bytes of payloads in a page: behind them it ends early. */
const PAGE_BYTES = 1024 * 1024;

/** Their order in the index, and so in a list. */
const STATES = [...JOB_STATES].sort();

type Place = readonly [state: string, destination: string, kind: string, dueAt: number, id: number];

/** One page of the jobs, in the order of the index: one that changes its state between two pages may be met twice, or not. */
export function listJobs(
  statement: Statement,
  filter: JobFilter,
  page: { readonly limit: number; readonly after?: string },
): JobPage {
  const from = page.after === undefined ? undefined : readPlace(page.after);
  const rows: Job[] = [];
  let bytes = 0;
  let last: Place | undefined;
  for (const state of STATES) {
    if ((filter.state !== undefined && filter.state !== state) || (from !== undefined && state < from[0]))
      continue;
    const [, ...behind] = from?.[0] === state ? from : (['', '', '', 0, 0] as const);
    const one = filter.destination === undefined ? '' : 'AND destination = ?';
    const found = statement(
      `SELECT * FROM jobs WHERE state = ? ${one} AND (destination, kind, dueAt, id) > (?, ?, ?, ?)
       ORDER BY destination, kind, dueAt, id LIMIT ?`,
    ).iterate(
      state,
      ...(filter.destination === undefined ? [] : [filter.destination]),
      ...behind,
      page.limit + 1 - rows.length,
    ) as IterableIterator<JobRow>;
    for (const row of found) {
      if (rows.length === page.limit || bytes > PAGE_BYTES) return { rows, next: last && writePlace(last) };
      rows.push(readJob(row));
      bytes += row.payload.length;
      last = [state, row.destination, row.kind, row.dueAt, row.id];
    }
  }
  return { rows, next: undefined };
}

export function countJobs(statement: Statement): JobCount[] {
  return statement(
    `SELECT state, destination, kind, count, (
       SELECT min(addedAt) FROM jobs WHERE jobs.state = job_counts.state
         AND jobs.destination = job_counts.destination AND jobs.kind = job_counts.kind) AS oldest
     FROM job_counts WHERE count > 0 ORDER BY destination, kind, state`,
  ).all() as JobCount[];
}

function writePlace(place: Place): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

function readPlace(after: string): Place {
  let place: unknown;
  try {
    place = JSON.parse(Buffer.from(after, 'base64url').toString());
  } catch {
    throw badCursor();
  }
  const types = ['string', 'string', 'string', 'number', 'number'];
  if (
    Array.isArray(place) &&
    place.length === 5 &&
    types.every((type, i) => typeof (place as unknown[])[i] === type)
  )
    return place as unknown as Place;
  throw badCursor();
}
