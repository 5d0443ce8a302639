/** Combining marks after a base for which they are an accent. Kana keep theirs: a voicing mark makes another sound. */
const ACCENTS = /([\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}])\p{M}+/gu;

/**
 * Text with what a search must not mind taken away: compatibility forms such as half and full width (NFKC), case, and accents on
 * Latin, Greek and Cyrillic letters. Folding twice changes nothing.
 */
export function foldText(text: string): string {
  let folded = text;
  // Lower case can bring forth what NFKC or the accents' rule then changes again; two rounds settle all but a few letters.
  for (let round = 0; round < 4; round++) {
    const next = foldOnce(folded);
    if (next === folded) break;
    folded = next;
  }
  return folded;
}

function foldOnce(text: string): string {
  // Upper case first: it takes ß apart, as full case folding does. A final sigma depends on its place and mustn't.
  return text
    .normalize('NFKC')
    .toUpperCase()
    .toLowerCase()
    .normalize('NFD')
    .replace(ACCENTS, '$1')
    .replaceAll('ς', 'σ')
    .normalize('NFKC');
}

/**
 * A person name for matching: alphabetic, ideographic and phonetic group, each folded, its components trimmed and empty ones at the
 * end dropped; '' for a group that isn't there (PS3.5 6.2.1).
 */
export function foldPersonName(value: string): [string, string, string] {
  const groups = value.split('=');
  return [foldGroup(groups[0]), foldGroup(groups[1]), foldGroup(groups[2])];
}

function foldGroup(group: string | undefined): string {
  if (group === undefined) return '';
  const components = group.split('^').map((component) => foldText(component).trim());
  while (components.at(-1) === '') components.pop();
  return components.join('^');
}
