import { EXIT, IsocenterError } from '../../errors';

export function badCursor(): IsocenterError {
  return new IsocenterError('CATALOG_CURSOR', 'This is not the "next" of a page', { exitCode: EXIT.usage });
}

/** In an index: behind a key and all that have it, behind one row of a key, or, where there is no key, behind a row id. */
export type Position = readonly [key: string] | readonly [key: string, id: number] | readonly [id: number];

/** Where a query goes on. */
export interface Place {
  /** Number of the index among those that serve the query, -1 for none. */
  readonly access: number;
  readonly segment: number;
  /** One position for each table on the way down: all but the last are those of rows whose lower ones aren't all read. */
  readonly path: readonly Position[];
}

export function writePlace({ access, segment, path }: Place): string {
  return Buffer.from(JSON.stringify([access, segment, ...path])).toString('base64url');
}

/** @throws IsocenterError `CATALOG_CURSOR`. Whether it fits the query is seen when it is followed. */
export function readPlace(after: string): Place {
  const [access, segment, ...path] = decoded(after);
  if (!isWhole(access, -1) || !isWhole(segment, 0) || path.length > MOST_STEPS || !path.every(isPosition))
    throw badCursor();
  return { access, segment, path };
}

/** Four levels. */
const MOST_STEPS = 4;

function decoded(after: string): unknown[] {
  if (!/^[\w-]+$/.test(after)) throw badCursor();
  try {
    const parsed: unknown = JSON.parse(Buffer.from(after, 'base64url').toString());
    return Array.isArray(parsed) ? (parsed as unknown[]) : [];
  } catch {
    throw badCursor();
  }
}

function isWhole(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least;
}

function isPosition(value: unknown): value is Position {
  if (!Array.isArray(value)) return false;
  const [first, second, ...rest] = value as unknown[];
  if (rest.length > 0) return false;
  if (typeof first === 'string') return second === undefined || isWhole(second, 0);
  return second === undefined && isWhole(first, 0);
}

/** Row id behind which a page resumes. @throws IsocenterError `CATALOG_CURSOR`. */
export function readCursor(after: string | undefined): number {
  if (after === undefined) return 0;
  if (!/^\d{1,15}$/.test(after)) throw badCursor();
  return Number(after);
}

/** The page and where the next one begins; `rows` was read with a limit of one more. */
export function toPage<T extends { readonly id: number }>(
  found: T[],
  limit: number,
): { rows: Omit<T, 'id'>[]; next: string | undefined } {
  const more = found.length > limit;
  const kept = more ? found.slice(0, limit) : found;
  const next = more ? String(kept.at(-1)?.id ?? 0) : undefined;
  return { rows: kept.map(withoutId), next };
}

export function withoutId<T extends { readonly id: number }>(row: T): Omit<T, 'id'> {
  const copy: Omit<T, 'id'> & { id?: number } = { ...row };
  delete copy.id;
  return copy;
}
