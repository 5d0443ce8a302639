/** Letters that are easily taken for each other have the same digit; vowels, h, w and y are heard too differently to count. */
const SOUNDS: ReadonlyMap<string, string> = new Map(
  ['bpfv', 'cgjkqsxzß', 'dtðþ', 'lł', 'mn', 'r'].flatMap((letters, index) =>
    Array.from(letters, (letter): [string, string] => [letter, String(index + 1)]),
  ),
);

/** Codes of words that were heard before: names are made of few words. */
const MOST_CODES = 20_000;
const codes = new Map<string, string>();

/**
 * Whether a name has every word of a key: one that equals it, begins with it, or, of two letters and more, sounds like it. Words are
 * runs of letters and digits.
 * @param key folded; without words nothing matches.
 */
export function sharesWords(key: string): (groups: readonly string[]) => boolean {
  const wanted = wordsOf(key).map((word) => ({ word, code: soundOf(word) }));
  if (wanted.length === 0) return () => false;
  return (groups) => {
    const words = groups.flatMap(wordsOf);
    return wanted.every(({ word, code }) =>
      words.some((one) => one.startsWith(word) || (code !== '' && code === soundOf(one))),
    );
  };
}

function wordsOf(text: string): string[] {
  return text.split(/[^\p{L}\p{N}\p{M}]+/u).filter((word) => word !== '');
}

/**
 * How a word of Latin letters sounds, roughly: the consonants in their classes, equal ones in a row once, and whether it begins with a
 * vowel. '' for a word of one letter, or of other scripts.
 */
export function soundOf(word: string): string {
  const known = codes.get(word);
  if (known !== undefined) return known;
  if (codes.size >= MOST_CODES) codes.clear();
  const code = /^\p{Script=Latin}{2,}$/u.test(word) ? hear(word) : '';
  codes.set(word, code);
  return code;
}

function hear(word: string): string {
  let code = '';
  let before = '';
  for (const letter of word.replace(/^(?:ps|x)/, 's').replaceAll('ph', 'f')) {
    const sound = SOUNDS.get(letter) ?? (letter === 'h' || letter === 'w' ? before : '');
    if (sound !== before) code += sound;
    before = sound;
  }
  return /^[aeiouy]/.test(word) ? `0${code}` : code;
}
