import type { EntityQuery, Match } from '../query-types';
import type { FindFilter } from '../types';
import type { Layout } from './layout';
import { allKeywords, columnOf } from './query-columns';

/**
 * What the keys of `find` ask for, with every column of the level and those above.
 * @throws IsocenterError `CATALOG_FILTER` for a keyword that has no column there.
 */
export function queryOf(layout: Layout, { level, keys }: FindFilter): EntityQuery {
  const conditions = Object.entries(keys).flatMap(([keyword, key]) => {
    const { vr } = columnOf(layout, level, keyword);
    return /^\**$/.test(key) ? [] : [{ keyword, match: matchOf(vr, key) }];
  });
  return { level, conditions, columns: allKeywords(layout, level) };
}

function matchOf(vr: string, key: string): Match {
  const range = vr === 'DA' ? /^(\d{0,8})-(\d{0,8})$/.exec(key) : null;
  if (range !== null) {
    const [, from = '', to = ''] = range;
    return {
      kind: 'range',
      ...(from === '' ? {} : { from: from.padEnd(8, '0') }),
      ...(to === '' ? {} : { to: to.padEnd(8, '9') }),
    };
  }
  return /[*?]/.test(key) ? { kind: 'wildcard', patterns: [key] } : { kind: 'values', values: [key] };
}
