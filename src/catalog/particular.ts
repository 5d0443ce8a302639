import { hasSeveral } from './match';
import { nameKey } from './match-name';
import type { ItemCondition, Match } from './query-types';

/** Longest key in characters: far above any value, below what a pattern may be. */
export const LONGEST_KEY = 1024;
/** Values of one list that are looked up, such as UIDs. */
export const MOST_VALUES = 20_000;
/** Keys of one list that are tried one by one on every value: patterns, names, and what has to be there all together. */
export const MOST_TRIED = 64;
/** Conditions on one item, and sequences within each other: every row that is read is held against all of them. */
const MOST_IN_ITEM = 64;
const DEEPEST = 16;

/**
 * A match without what asks for nothing: values of zero length, `*` alone, names such as `^` (PS3.4 C.2.2.2.3). Several values in
 * one text become a list. Undefined: nothing is left, every value and none matches.
 * @param refuse called with what is too much about a key; doesn't return.
 */
export function particular(
  vr: string,
  match: Match,
  refuse: (why: string) => never,
  depth = 0,
): Match | undefined {
  switch (match.kind) {
    case 'values':
    case 'every': {
      const most = vr === 'PN' || match.kind === 'every' ? MOST_TRIED : MOST_VALUES;
      const values = texts(vr, match.values, most, refuse);
      const asking = vr === 'PN' ? values.filter((value) => nameKey(value, false) !== undefined) : values;
      const left = match.kind === 'every' || asking.length === values.length ? asking : [];
      return left.length === 0 ? undefined : { kind: match.kind, values: left };
    }
    case 'wildcard': {
      const patterns = texts(vr, match.patterns, MOST_TRIED, refuse);
      const universal = (pattern: string): boolean =>
        /^\*+$/.test(pattern) || (vr === 'PN' && nameKey(pattern, true) === undefined);
      return patterns.length === 0 || patterns.some(universal) ? undefined : { kind: 'wildcard', patterns };
    }
    case 'fuzzy': {
      const [name = ''] = texts('LT', [match.name], 1, refuse);
      return nameKey(name, true) === undefined ? undefined : { kind: 'fuzzy', name };
    }
    case 'item': {
      if (match.conditions.length > MOST_IN_ITEM) refuse(`has more than ${MOST_IN_ITEM} keys in its item`);
      if (depth >= DEEPEST) refuse(`has more than ${DEEPEST} sequences within each other`);
      const conditions = match.conditions.flatMap((condition): ItemCondition[] => {
        const inside = particular(condition.vr, condition.match, refuse, depth + 1);
        return inside === undefined ? [] : [{ ...condition, match: inside }];
      });
      return conditions.length === 0 ? undefined : { kind: 'item', conditions };
    }
    case 'range':
    case 'dateTime':
      for (const bound of [match.from, match.to]) checkLength(bound ?? '', refuse);
      return match;
    case 'empty':
      return match;
  }
}

function texts(vr: string, keys: readonly string[], most: number, refuse: (why: string) => never): string[] {
  const values = hasSeveral(vr) ? keys.flatMap((key) => key.split('\\')) : keys;
  if (values.length > most) refuse(`has more than ${most} values`);
  return values.flatMap((value) => {
    checkLength(value, refuse);
    // Stored text is well-formed, so that an ill-formed key is changed as the values were.
    return value === '' ? [] : [value.toWellFormed()];
  });
}

function checkLength(value: string, refuse: (why: string) => never): void {
  if (value.length > LONGEST_KEY) refuse(`is longer than ${LONGEST_KEY} characters`);
}
