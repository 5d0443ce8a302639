/** Limits on associations; read anew for each, so that a reload counts from the next caller on. */
export interface AssociationLimits {
  readonly associations: number;
  /** By address: many titles may hide behind one. */
  readonly associationsPerRemote: number;
}

/** Which limit is reached. */
export type Exhausted = 'associations' | 'associationsPerRemote';

/** Counts the associations that are up or being decided on, in all and by address. */
export class Admission {
  private readonly limits: () => AssociationLimits;
  private readonly byAddress = new Map<string, number>();
  private total = 0;

  constructor(limits: () => AssociationLimits) {
    this.limits = limits;
  }

  get taken(): number {
    return this.total;
  }

  /** Takes a slot; the function returned gives it back, once, however often it is called. */
  take(address: string): (() => void) | Exhausted {
    const { associations, associationsPerRemote } = this.limits();
    const own = this.byAddress.get(address) ?? 0;
    if (this.total >= associations) return 'associations';
    if (own >= associationsPerRemote) return 'associationsPerRemote';
    this.total += 1;
    this.byAddress.set(address, own + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.total -= 1;
      const left = (this.byAddress.get(address) ?? 1) - 1;
      if (left === 0) this.byAddress.delete(address);
      else this.byAddress.set(address, left);
    };
  }
}
