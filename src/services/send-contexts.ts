import { UID } from '../dicom/uids';
import type { AcceptedContext, ProposedContext } from '../net/types';
import type { Transcoder } from './outgoing';
import type { OutgoingKind, StoreOptions } from './send-types';

/** Presentation context ids are the odd numbers up to 255 (PS3.8 9.3.2.2). */
const CONTEXTS_PER_ASSOCIATION = 128;
/** Proposed beside the stored syntaxes; every peer must take the second of them for whatever class it takes (PS3.5 10.1). */
const FALLBACKS: readonly string[] = [UID.ExplicitVRLittleEndian, UID.ImplicitVRLittleEndian];

/** What fits one association: its contexts, and the kinds that they are for. */
export interface ContextGroup {
  readonly contexts: readonly ProposedContext[];
  has(kind: OutgoingKind): boolean;
}

type TranscodeOptions = Pick<StoreOptions, 'transcode' | 'transcoder'>;

/**
 * Contexts for kinds of instances (MV-03): for each class and stored syntax one with just that syntax, so that the peer's choice is no
 * guess; for each class one with the uncompressed syntaxes that its instances can be brought into. A class isn't torn apart where it fits.
 */
export function planContexts(kinds: Iterable<OutgoingKind>, options: TranscodeOptions): ContextGroup[] {
  const classes = new Map<string, Set<string>>();
  for (const { SOPClassUID, TransferSyntaxUID } of kinds) {
    const syntaxes = classes.get(SOPClassUID);
    if (syntaxes === undefined) classes.set(SOPClassUID, new Set([TransferSyntaxUID]));
    else syntaxes.add(TransferSyntaxUID);
  }
  const groups: Group[] = [];
  let group: Group | undefined;
  for (const [abstractSyntax, all] of classes) {
    // With a fall-back in each part; there are fewer transfer syntaxes than that, unless somebody invents them.
    for (const stored of parts([...all], CONTEXTS_PER_ASSOCIATION - 1)) {
      const fallback = fallbackFor(stored, options);
      const needed = stored.length + (fallback.length > 0 ? 1 : 0);
      if (group === undefined || group.contexts.length + needed > CONTEXTS_PER_ASSOCIATION) {
        group = new Group();
        groups.push(group);
      }
      for (const syntax of stored) group.add(abstractSyntax, syntax);
      if (fallback.length > 0) group.propose(abstractSyntax, fallback);
    }
  }
  return groups;
}

class Group implements ContextGroup {
  readonly contexts: ProposedContext[] = [];
  private readonly kinds = new Set<string>();

  add(abstractSyntax: string, transferSyntax: string): void {
    this.kinds.add(`${abstractSyntax} ${transferSyntax}`);
    this.propose(abstractSyntax, [transferSyntax]);
  }

  propose(abstractSyntax: string, transferSyntaxes: readonly string[]): void {
    this.contexts.push({ id: 2 * this.contexts.length + 1, abstractSyntax, transferSyntaxes });
  }

  has({ SOPClassUID, TransferSyntaxUID }: OutgoingKind): boolean {
    return this.kinds.has(`${SOPClassUID} ${TransferSyntaxUID}`);
  }
}

function* parts<T>(all: readonly T[], size: number): Iterable<T[]> {
  for (let first = 0; first < all.length; first += size) yield all.slice(first, first + size);
}

function fallbackFor(stored: readonly string[], options: TranscodeOptions): string[] {
  const transcoder = transcoderOf(options);
  if (transcoder === undefined) return [];
  const reachable = new Set(stored.flatMap((syntax) => transcoder.targets(syntax)));
  if (!FALLBACKS.some((syntax) => reachable.has(syntax))) return [];
  return FALLBACKS.filter((syntax) => reachable.has(syntax) || stored.includes(syntax));
}

/** Undefined where instances go out as they are kept or not at all. */
export function transcoderOf({ transcode, transcoder }: TranscodeOptions): Transcoder | undefined {
  return transcode === 'never' ? undefined : transcoder;
}

/** Accepted contexts, by what they are for. */
export class ContextTable {
  private readonly byClass = new Map<string, Map<string, AcceptedContext>>();

  constructor(contexts: Iterable<AcceptedContext>) {
    for (const context of contexts) {
      const { abstractSyntax, transferSyntax } = context;
      const syntaxes = this.byClass.get(abstractSyntax) ?? new Map<string, AcceptedContext>();
      this.byClass.set(abstractSyntax, syntaxes);
      if (!syntaxes.has(transferSyntax)) syntaxes.set(transferSyntax, context);
    }
  }

  /** The context on which an instance of this kind goes out (MV-04): as it is kept, or in the first syntax that it can be brought into. */
  choose(
    { SOPClassUID, TransferSyntaxUID }: OutgoingKind,
    options: TranscodeOptions,
  ): AcceptedContext | undefined {
    const syntaxes = this.byClass.get(SOPClassUID);
    const stored = syntaxes?.get(TransferSyntaxUID);
    if (syntaxes === undefined || stored !== undefined) return stored;
    for (const target of transcoderOf(options)?.targets(TransferSyntaxUID) ?? []) {
      const context = syntaxes.get(target);
      if (context !== undefined) return context;
    }
    return undefined;
  }

  /** Why `choose` found none. */
  refusal({ SOPClassUID, TransferSyntaxUID }: OutgoingKind): string {
    const taken = [...(this.byClass.get(SOPClassUID)?.keys() ?? [])];
    const others = taken.length === 0 ? '' : `, only in ${taken.join(', ')}`;
    return `the peer does not take SOP class ${SOPClassUID} in transfer syntax ${TransferSyntaxUID}${others}`;
  }
}
