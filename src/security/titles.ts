/** An AE title holds at most 16 characters (PS3.5 6.2, VR AE). */
export const MAX_TITLE = 16;

const WILDCARD = /[*?]/;

/**
 * What is wrong with an AE title as a value of VR AE (PS3.5 6.2): Default Character Repertoire without control characters and backslash;
 * leading and trailing spaces are not significant, so they can't be meant. Undefined where nothing is.
 */
export function titleProblem(title: string): string | undefined {
  if (title.trim() === '') return 'an AE title needs at least one character that is not a space';
  if (title !== title.trim())
    return 'an AE title has no leading or trailing spaces, they are not significant';
  if (/[^\x20-\x7e]/.test(title)) return 'an AE title holds ASCII letters, digits and punctuation only';
  if (title.includes('\\')) return 'an AE title cannot hold a backslash';
  const length = title.replaceAll('*', '').length;
  if (length > MAX_TITLE)
    return `an AE title has at most ${MAX_TITLE} characters, and this one has ${String(length)}`;
  return undefined;
}

/** Whether `*` or `?` stands in the title. */
export function isPattern(title: string): boolean {
  return WILDCARD.test(title);
}

/** A title of a remote: `*` stands for any characters, `?` for one. */
export interface TitlePattern {
  readonly exact: boolean;
  /** Characters before the first wildcard. */
  readonly prefix: number;
  matches(title: string): boolean;
}

/** Titles are compared case-sensitively (PS3.8 9.3.2). */
export function compileTitle(pattern: string): TitlePattern {
  const wildcard = pattern.search(WILDCARD);
  if (wildcard < 0) return { exact: true, prefix: pattern.length, matches: (title) => title === pattern };
  return { exact: false, prefix: wildcard, matches: (title) => matchWildcards(pattern, title) };
}

/** Greedy with one point of return: linear for the pattern's part after each `*`, without a regular expression's worst case. */
function matchWildcards(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}
