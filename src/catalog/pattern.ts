/** `*`: any run of characters. */
export const ANY = 1;
/** `?`: one character. */
export const ONE = 0;
/** A character that stands for itself, or one of the two. */
export type Token = string | typeof ANY | typeof ONE;

/** What a text must be (PS3.4 C.2.2.2.1, C.2.2.2.4). */
export interface Pattern {
  /** The text itself, where nothing in it is a wildcard. */
  readonly exact: string | undefined;
  /** Every match begins with it. */
  readonly fixed: string;
  /** For GLOB of SQLite; one of them matches what the pattern does. */
  readonly globs: readonly string[];
  /** Matches every text. */
  readonly universal: boolean;
  matches(text: string): boolean;
}

/** @param tokens runs of `ANY` are worth one. */
export function patternOf(tokens: readonly Token[]): Pattern {
  const short = tokens.filter((token, index) => token !== ANY || tokens[index - 1] !== ANY);
  const first = short.findIndex((token) => typeof token === 'number');
  const fixed = (first < 0 ? short : short.slice(0, first)).join('');
  return {
    exact: first < 0 ? fixed : undefined,
    fixed,
    globs: [short.map(globOf).join('')],
    universal: short.length === 1 && short[0] === ANY,
    matches: first < 0 ? (text) => text === fixed : (text) => text.startsWith(fixed) && fits(text, short),
  };
}

/** Matches what one of two does that begin alike. */
export function either(a: Pattern, b: Pattern): Pattern {
  return {
    exact: undefined,
    fixed: a.fixed.length < b.fixed.length ? a.fixed : b.fixed,
    globs: [...a.globs, ...b.globs],
    universal: a.universal || b.universal,
    matches: (text) => a.matches(text) || b.matches(text),
  };
}

/** A key in which `*` and `?` are wildcards. */
export function wildcards(key: string): Token[] {
  return Array.from(key, (one) => (one === '*' ? ANY : one === '?' ? ONE : one));
}

/** GLOB knows `*` and `?` as DICOM does, and sets in brackets, which must stand for themselves. */
function globOf(token: Token): string {
  if (token === ANY) return '*';
  if (token === ONE) return '?';
  return token === '*' || token === '?' || token === '[' ? `[${token}]` : token;
}

/** By characters, not by units of UTF-16. Takes at most the product of both lengths, whatever the pattern. */
function fits(text: string, tokens: readonly Token[]): boolean {
  const characters = Array.from(text);
  let at = 0;
  let place = 0;
  /** Behind the last `*`, and where its run ends so far. */
  let star: { readonly place: number; at: number } | undefined;
  while (at < characters.length) {
    const token = tokens[place];
    if (token === ANY) {
      star = { place: ++place, at };
    } else if (token !== undefined && (token === ONE || token === characters[at])) {
      place++;
      at++;
    } else if (star !== undefined) {
      place = star.place;
      at = ++star.at;
    } else {
      return false;
    }
  }
  return tokens.slice(place).every((token) => token === ANY);
}

/** The first text behind all those that begin with `fixed`, by code point, as SQLite orders UTF-8; undefined: there is none. */
export function behind(fixed: string): string | undefined {
  const characters = Array.from(fixed);
  while (characters.length > 0) {
    const last = characters.pop()?.codePointAt(0) ?? 0;
    if (last < 0x10ffff) {
      // Surrogates are no characters.
      return characters.join('') + String.fromCodePoint(last === 0xd7ff ? 0xe000 : last + 1);
    }
  }
  return undefined;
}
