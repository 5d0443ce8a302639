import type { AttributeValue } from '../dicom/types';

/**
 * What all arrivals of one patient, study or series say together. Positions are those of the level's attribute list.
 * The state is a function of the set of (arrival id, values) pairs merged into it, whatever the order they came in.
 */
export interface Merged {
  /** Lowest arrival id; undefined where nothing was merged yet. */
  readonly firstArrival: string | undefined;
  /** For each attribute the non-empty value with the lowest arrival id. */
  readonly values: readonly (AttributeValue | null)[];
  /** Arrival id of each value that isn't `firstArrival`'s, by position. */
  readonly sources: ReadonlyMap<number, string>;
}

/** A change in the set of values that differ from the kept one. */
export type ConflictChange =
  /** This value was seen, first with this arrival: keep the lower id where it is known already. */
  | {
      readonly kind: 'differs';
      readonly position: number;
      readonly value: AttributeValue;
      readonly arrivalId: string;
    }
  /** This value is the kept one from now on. */
  | { readonly kind: 'agrees'; readonly position: number; readonly value: AttributeValue };

export interface MergeResult {
  /** The very object that went in, where nothing changed. */
  readonly merged: Merged;
  readonly conflicts: readonly ConflictChange[];
}

const NO_CONFLICTS: readonly ConflictChange[] = [];

export function emptyMerged(width: number): Merged {
  return { firstArrival: undefined, values: new Array<null>(width).fill(null), sources: new Map() };
}

/**
 * Adds one arrival. Associations commit out of arrival order, so a value may still lose its place to one that arrived
 * earlier; the loser then is a conflict under its own first arrival.
 */
export function merge(
  entity: Merged,
  arrivalId: string,
  incoming: readonly (AttributeValue | null)[],
): MergeResult {
  const first = entity.firstArrival;
  if (first === undefined) {
    return {
      merged: { firstArrival: arrivalId, values: incoming, sources: new Map() },
      conflicts: NO_CONFLICTS,
    };
  }
  if (first < arrivalId && repeats(entity, incoming)) return { merged: entity, conflicts: NO_CONFLICTS };
  const values = entity.values.slice();
  const sources = new Map<number, string>();
  const conflicts: ConflictChange[] = [];
  const newFirst = arrivalId < first ? arrivalId : first;
  for (let position = 0; position < values.length; position++) {
    const kept = entity.values[position] ?? null;
    const value = incoming[position] ?? null;
    let source = kept === null ? undefined : (entity.sources.get(position) ?? first);
    if (value !== null) {
      const earlier = source === undefined || arrivalId < source;
      if (kept !== null && source !== undefined && value !== kept) {
        if (earlier) {
          conflicts.push({ kind: 'differs', position, value: kept, arrivalId: source });
          conflicts.push({ kind: 'agrees', position, value });
        } else {
          conflicts.push({ kind: 'differs', position, value, arrivalId });
        }
      }
      if (earlier) {
        values[position] = value;
        source = arrivalId;
      }
    }
    if (source !== undefined && source !== newFirst) sources.set(position, source);
  }
  return { merged: { firstArrival: newFirst, values, sources }, conflicts };
}

/** The usual case: a later arrival with the same values, or none, and nothing to move. */
function repeats(entity: Merged, incoming: readonly (AttributeValue | null)[]): boolean {
  if (entity.sources.size > 0) return false;
  for (let position = 0; position < incoming.length; position++) {
    const value = incoming[position];
    if (value !== null && value !== entity.values[position]) return false;
  }
  return true;
}
