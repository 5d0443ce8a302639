import { distance } from 'fastest-levenshtein';

const plain = (word: string): string => word.toLowerCase().replace(/[^a-z0-9]/g, '');

/** The candidate that was probably meant, or undefined: `ae_title` for `aeTitle`, `stroe` for `store`. */
export function closest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = plain(word.slice(0, 64));
  let best: string | undefined;
  let least = Infinity;
  for (const candidate of candidates) {
    const steps = distance(wanted, plain(candidate));
    if (steps < least) {
      best = candidate;
      least = steps;
    }
  }
  return least <= Math.min(3, Math.floor(wanted.length / 2)) ? best : undefined;
}

/** ` - did you mean "store"?`, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const found = closest(word, candidates);
  return found === undefined ? '' : ` - did you mean "${found}"?`;
}
