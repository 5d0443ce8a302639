import type { Catalog } from '../catalog/types';
import { errorMessage } from '../errors';
import type { NodeEventBus } from '../events';
import type { LogFn } from '../log';
import type { OutgoingInstance } from './outgoing';

/** Arrivals of which it is remembered that they were reported. */
const REMEMBERED = 10_000;

export interface DamageParts {
  readonly catalog: Pick<Catalog, 'markDamaged'>;
  readonly events: NodeEventBus;
  readonly log: LogFn;
}

/** Marks stored instances whose bytes turn out not to be what they were, and alarms, once each. */
export function reportDamage({ catalog, events, log }: DamageParts) {
  const reported = new Set<string>();
  return (
    { name: arrivalId, SOPInstanceUID }: Pick<OutgoingInstance, 'name' | 'SOPInstanceUID'>,
    reason: string,
  ): void => {
    if (reported.has(arrivalId)) return;
    if (reported.size >= REMEMBERED) reported.clear();
    reported.add(arrivalId);
    events.emit('alert', {
      code: 'FILE_DAMAGED',
      message: `A stored file can not be sent: ${reason}. Check the disk; a resend of the instance takes its place.`,
      details: { SOPInstanceUID, arrivalId },
    });
    catalog
      .markDamaged(arrivalId, reason)
      .catch((error: unknown) =>
        log('error', 'a damaged file could not be marked', { arrivalId, error: errorMessage(error) }),
      );
  };
}
