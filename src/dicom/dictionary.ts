import { DICTIONARY } from './dictionary-data';
import type { Tag } from './types';

interface Tables {
  readonly vrs: ReadonlyMap<Tag, string>;
  readonly keywords: ReadonlyMap<Tag, string>;
  readonly tags: ReadonlyMap<string, Tag>;
}

let tables: Tables | undefined;

/** Built on first use: a start that only answers C-ECHO doesn't pay for it. */
function dictionary(): Tables {
  if (tables !== undefined) return tables;
  const vrs = new Map<Tag, string>();
  const keywords = new Map<Tag, string>();
  const tags = new Map<string, Tag>();
  const names = new Map<string, string>();
  for (const line of DICTIONARY.split('\n')) {
    const tag = Number.parseInt(line.slice(0, 8), 16);
    const keyword = line.slice(10);
    let vr = line.slice(8, 10);
    // One string object a VR, so that comparisons are of pointers.
    const known = names.get(vr);
    if (known === undefined) names.set(vr, vr);
    else vr = known;
    vrs.set(tag, vr);
    keywords.set(tag, keyword);
    tags.set(keyword, tag);
  }
  tables = { vrs, keywords, tags };
  return tables;
}

/** (50xx,eeee), (60xx,eeee) and (7Fxx,eeee) of even groups stand in the table under their first group (PS3.5 7.6). */
function firstOfRepeatingGroup(tag: Tag): Tag {
  const group = Math.floor(tag / 0x10000);
  if ((group & 1) !== 0) return tag;
  const family = group >>> 8;
  if (family !== 0x50 && family !== 0x60 && family !== 0x7f) return tag;
  if (group === 0x7fe0) return tag;
  return (tag & 0xff00ffff) >>> 0;
}

/** Odd group: the element belongs to whoever reserved its block (PS3.5 7.8). */
export function isPrivate(tag: Tag): boolean {
  return (Math.floor(tag / 0x10000) & 1) !== 0;
}

/** (gggg,0000): retired, tells nothing that the elements don't (PS3.5 7.2). */
export function isGroupLength(tag: Tag): boolean {
  return (tag & 0xffff) === 0;
}

/**
 * The VR of an attribute, as the implicit syntaxes read it: where PS3.6 names several, the one whose reading alters no byte
 * (`OW` for OB or OW, `US` for US or SS). Private creators are `LO` (PS3.5 7.8.1), group lengths `UL`, unknown attributes `UN`.
 */
export function vrOf(tag: Tag): string {
  const { vrs } = dictionary();
  const vr = vrs.get(tag);
  if (vr !== undefined) return vr;
  const element = tag & 0xffff;
  if (element === 0) return 'UL';
  if (isPrivate(tag)) return element >= 0x10 && element <= 0xff ? 'LO' : 'UN';
  return vrs.get(firstOfRepeatingGroup(tag)) ?? 'UN';
}

/** Keyword of PS3.6 table 6-1, or undefined for private and unknown attributes. */
export function keywordOf(tag: Tag): string | undefined {
  const { keywords } = dictionary();
  return keywords.get(tag) ?? keywords.get(firstOfRepeatingGroup(tag));
}

/** Tag of a keyword, or undefined. */
export function tagOf(keyword: string): Tag | undefined {
  return dictionary().tags.get(keyword);
}

/** Every keyword, for whoever looks for the one that was meant. */
export function keywords(): Iterable<string> {
  return dictionary().tags.keys();
}

/** A tag as people write it: `(0008,0018)`. */
export function formatTag(tag: Tag): string {
  const digits = tag.toString(16).toUpperCase().padStart(8, '0');
  return `(${digits.slice(0, 4)},${digits.slice(4)})`;
}
