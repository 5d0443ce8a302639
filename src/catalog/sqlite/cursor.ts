import { EXIT, IsocenterError } from '../../errors';

/** Row id behind which a page resumes. @throws IsocenterError `CATALOG_CURSOR`. */
export function readCursor(after: string | undefined): number {
  if (after === undefined) return 0;
  if (!/^\d{1,15}$/.test(after)) {
    throw new IsocenterError('CATALOG_CURSOR', 'This is not the "next" of a page', { exitCode: EXIT.usage });
  }
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
