import type { NodeConfig } from './node-process';
import { imageObject, SOP, TS, type SentObject } from './data-sets';
import { PlainScu } from './ledger-scu';
import type { Counters, Retrieved } from './retrieve-scu';
import type { StorePeer } from './store-peer';

export const STORAGE: readonly (readonly [string, string])[] = [
  [SOP.ct, TS.explicit],
  [SOP.mr, TS.explicit],
  [SOP.sr, TS.explicit],
];

const HOST = '127.0.0.1';

export const caller = (aeTitle: string, more: object = {}): object => ({
  aeTitle,
  host: HOST,
  allow: ['echo', 'store', 'find', 'get', 'move'],
  ...more,
});

export const destination = (
  aeTitle: string,
  { port }: Pick<StorePeer, 'port'>,
  more: object = {},
): object => ({
  aeTitle,
  host: HOST,
  port,
  allow: [],
  ...more,
});

export function remotesConfig(remotes: Readonly<Record<string, object>>): NodeConfig {
  return { remotes: { tester: caller('TESTER'), ...remotes } };
}

let studies = 0;

/** A study of its own: small CT images in one series unless said otherwise. */
export function newStudy(
  count: number,
  { size = 4, sopClass = SOP.ct, patient = 'P1', syntax = TS.explicit } = {},
): {
  readonly uid: string;
  readonly objects: readonly SentObject[];
} {
  const uid = `2.25.4400.${++studies}`;
  const objects = Array.from({ length: count }, (_, index) =>
    imageObject(
      {
        SOPClassUID: sopClass,
        StudyInstanceUID: uid,
        SeriesInstanceUID: `${uid}.1`,
        SOPInstanceUID: `${uid}.1.${index + 1}`,
        PatientID: patient,
        seed: studies * 1000 + index,
        size,
      },
      syntax,
    ),
  );
  return { uid, objects };
}

/** Stores objects as TESTER. */
export async function store(port: number, objects: readonly SentObject[]): Promise<void> {
  const scu = await PlainScu.open(port, objects, { calling: 'TESTER' });
  for (const object of objects) expect((await scu.store(object)).status).toBe(0);
  await scu.release();
}

export const study = (uid: string): { QueryRetrieveLevel: string; StudyInstanceUID: string } => ({
  QueryRetrieveLevel: 'STUDY',
  StudyInstanceUID: uid,
});

/** Status in hexadecimal, completed/failed/warning. */
export function summary({ final }: Pick<Retrieved, 'final'>): string {
  const { status, completed, failed, warning } = final;
  return `${status.toString(16).padStart(4, '0')} ${completed}/${failed}/${warning}`;
}

/** DM-14: what remains and what has ended make the whole, in every response. */
export function expectSums({ pending, final }: Retrieved, total: number): void {
  const sum = ({ remaining = 0, completed = 0, failed = 0, warning = 0 }: Counters): number =>
    remaining + completed + failed + warning;
  for (const counters of pending)
    expect([counters.remaining !== undefined, sum(counters)]).toEqual([true, total]);
  expect(sum(final)).toBe(total);
  if (final.status !== 0xfe00) expect(final.remaining).toBeUndefined();
}
