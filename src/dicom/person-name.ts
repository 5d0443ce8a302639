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
 * end dropped; '' for a group that isn't there (PS3.5 6.2.1). Of several names joined by `\` each group holds one entry for each
 * name, joined in the same way; '' where no name has the group.
 */
export function foldPersonName(value: string): [string, string, string] {
  if (!value.includes('\\')) return foldName(value);
  const names = value.split('\\').map(foldName);
  const joined = (index: 0 | 1 | 2): string =>
    names.every((name) => name[index] === '') ? '' : names.map((name) => name[index]).join('\\');
  return [joined(0), joined(1), joined(2)];
}

function foldName(name: string): [string, string, string] {
  const groups = name.split('=');
  return [foldGroup(groups[0]), foldGroup(groups[1]), foldGroup(groups[2])];
}

function foldGroup(group: string | undefined): string {
  if (group === undefined) return '';
  // A full-width backslash separates no names, and mustn't after folding either.
  const components = group.split('^').map((component) => foldText(component).trim().replaceAll('\\', '＼'));
  while (components.at(-1) === '') components.pop();
  return components.join('^');
}
