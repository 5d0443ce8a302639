import { foldPersonName, foldText } from '../dicom/person-name';
import { ANY, either, patternOf, wildcards, type Pattern, type Token } from './pattern';
import { sharesWords } from './name-words';

/** Alphabetic, ideographic and phonetic group of one name, folded; '' for one that isn't there. */
export type NameGroups = readonly [string, string, string];

/** A key for person names (CS-07). */
export interface NameKey {
  /** It has `=`: each group is matched by its own pattern. Otherwise the first is tried against every group. */
  readonly grouped: boolean;
  /** Undefined: the group may be anything, and needn't be there. */
  readonly groups: readonly [Pattern | undefined, Pattern | undefined, Pattern | undefined];
}

/**
 * @param wild whether `*` and `?` are wildcards.
 * @returns undefined for a key that asks for nothing, such as `^` or `*=*`.
 */
export function nameKey(text: string, wild: boolean): NameKey | undefined {
  const grouped = text.includes('=');
  const folded = wild ? undefined : foldPersonName(text);
  const raw = text.split('=');
  const group = (index: 0 | 1 | 2): Pattern | undefined =>
    folded === undefined ? groupPattern(raw[index] ?? '') : exactly(folded[index]);
  const groups = [group(0), group(1), group(2)] as const;
  return groups.every((one) => one === undefined) ? undefined : { grouped, groups };
}

function exactly(folded: string): Pattern | undefined {
  return folded === '' ? undefined : patternOf(Array.from(folded));
}

/**
 * Folds what stands between the wildcards. Empty components at the end don't count (PS3.5 6.2.1), so that `DOE^*` is DOE without a
 * given name as well, and `DOE*^*` the same as `DOE*`.
 */
function groupPattern(group: string): Pattern | undefined {
  const components = group.split('^').map(foldComponent);
  let open = false;
  for (
    let last = components.at(-1);
    last?.every((token) => token === ANY) === true;
    last = components.at(-1)
  ) {
    open ||= last.length > 0;
    components.pop();
  }
  const tokens = components.flatMap((component, index): Token[] =>
    index > 0 ? ['^', ...component] : component,
  );
  if (tokens.length === 0) return undefined;
  if (!open || tokens.at(-1) === ANY) return patternOf(open ? [...tokens, ANY] : tokens);
  return either(patternOf(tokens), patternOf([...tokens, '^', ANY]));
}

function foldComponent(component: string): Token[] {
  const pieces = component.split(/([*?])/);
  return pieces.flatMap((piece, index): Token[] => {
    if (index % 2 === 1) return wildcards(piece);
    let folded = foldText(piece).replaceAll('\\', '＼');
    if (index === 0) folded = folded.trimStart();
    if (index === pieces.length - 1) folded = folded.trimEnd();
    return Array.from(folded);
  });
}

export function nameMatches({ grouped, groups: keys }: NameKey, groups: NameGroups): boolean {
  if (!grouped) {
    const [key] = keys;
    return groups.some((group) => group !== '' && key?.matches(group) === true);
  }
  return keys.every((key, index) => {
    const group = groups[index] ?? '';
    return key === undefined || (group !== '' && key.matches(group));
  });
}

/**
 * Fuzzy semantic matching (PS3.4 C.2.2.2.1.1, QR-17): whatever the key matches without it, and every name in which each word of the key
 * is found, in any order and group: a word that equals it, begins with it, or sounds like it.
 */
export function fuzzyName(text: string): ((groups: NameGroups) => boolean) | undefined {
  const key = nameKey(text, true);
  if (key === undefined) return undefined;
  const shares = sharesWords(foldPersonName(text).join(' '));
  return (groups) => nameMatches(key, groups) || shares(groups);
}

/** The names of an attribute from its three columns: groups of several names are joined by `\`, entry by entry. */
export function namesOf(...columns: readonly (string | null)[]): NameGroups[] {
  if (columns.every((column) => column === null)) return [];
  if (columns.every((column) => column?.includes('\\') !== true))
    return [[columns[0] ?? '', columns[1] ?? '', columns[2] ?? '']];
  const groups = columns.map((column) => column?.split('\\') ?? []);
  const count = Math.max(...groups.map((group) => group.length));
  return Array.from({ length: count }, (_, index): NameGroups => [
    groups[0]?.[index] ?? '',
    groups[1]?.[index] ?? '',
    groups[2]?.[index] ?? '',
  ]);
}
