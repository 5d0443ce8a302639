import fc from 'fast-check';
import { IsocenterError } from '../../src/errors';
import { kindsOf, sendAll, type SendResult } from '../../src/services/send';
import { TS } from '../support/data-sets';
import { made, transcoder, type Made } from './send-kit';
import { SendPeer, type Answer } from './send-peer';

/** What happens to one instance, at each of the times that it comes. */
const FATES = [
  'taken',
  'warned',
  'refused',
  'killing',
  'killing once',
  'silent',
  'damaged',
  'cut',
  'odd syntax',
] as const;
type Fate = (typeof FATES)[number];

const instanceOf = (fate: Fate, bytes: number): Made =>
  made({
    bytes: fate === 'cut' ? 4.5 * 1024 * 1024 : bytes,
    ...(fate === 'damaged'
      ? { damaged: 'before' as const }
      : fate === 'cut'
        ? { damaged: 'last' as const }
        : {}),
    ...(fate === 'odd syntax' ? { TransferSyntaxUID: TS.rle } : {}),
  });

function answerTo(fate: Fate, times: number): Answer {
  switch (fate) {
    case 'warned':
      return { status: 0xb000 };
    case 'refused':
      return { status: 0xa700 };
    case 'killing':
      return 'abort';
    case 'killing once':
      return times === 1 ? 'abort' : { status: 0 };
    case 'silent':
      return 'silence';
    default:
      return { status: 0 };
  }
}

const scenario = fc.record({
  fates: fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constant<Fate>('taken') },
      { weight: 3, arbitrary: fc.constantFrom(...FATES) },
    ),
    { maxLength: 14 },
  ),
  sizes: fc.array(fc.integer({ min: 0, max: 60_000 }), { minLength: 14, maxLength: 14 }),
  window: fc.integer({ min: 1, max: 4 }),
  parallel: fc.integer({ min: 1, max: 3 }),
  /** The call that is refused; none with 0. */
  refused: fc.integer({ min: 0, max: 4 }),
  /** Of the results, that behind which it is cancelled. */
  cancelled: fc.option(fc.integer({ min: 0, max: 8 }), { freq: 4 }),
  transcodes: fc.boolean(),
});

it('whatever goes wrong: each instance has one result, and it is true', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async ({ fates, sizes, window, parallel, refused, cancelled, transcodes }) => {
      const peer = new SendPeer();
      await peer.listen();
      try {
        const instances = fates.map((fate, index) => instanceOf(fate, sizes[index]!));
        const fateOf = new Map(instances.map(({ SOPInstanceUID }, index) => [SOPInstanceUID, fates[index]!]));
        const times = new Map<string, number>();
        peer.accepts = (_sopClass, syntax) => syntax === TS.explicit;
        peer.admits = (nth) => nth !== refused;
        peer.answer = (uid) => {
          times.set(uid, (times.get(uid) ?? 0) + 1);
          return answerTo(fateOf.get(uid)!, times.get(uid)!);
        };
        const cancel = new AbortController();
        const damaged: string[] = [];
        const results: SendResult[] = [];
        const all = sendAll(instances, {
          connect: peer.connect,
          kinds: kindsOf(instances),
          asyncWindow: window,
          parallel,
          responseTimeout: 40,
          signal: cancel.signal,
          transcoder: transcoder(transcodes ? { [TS.rle]: [TS.explicit] } : {}),
          onDamaged: ({ SOPInstanceUID }) => damaged.push(SOPInstanceUID),
        });
        for await (const result of all) {
          results.push(result);
          if (results.length === cancelled) cancel.abort();
        }

        expect(new Set(results.map(({ instance }) => instance)).size).toBe(results.length);
        if (!cancel.signal.aborted) expect(results).toHaveLength(instances.length);
        for (const { instance, outcome, status, reason } of results) {
          const came = peer.received.filter(({ uid }) => uid === instance.SOPInstanceUID);
          const fate = fateOf.get(instance.SOPInstanceUID)!;
          if (outcome === 'completed') expect(status).toBe(0);
          if (outcome === 'warning') expect([fate, status]).toEqual(['warned', 0xb000]);
          if (outcome !== 'completed') expect(reason).not.toBe('');
          if (outcome !== 'failed') expect(came.length).toBeGreaterThan(0);
          if (fate === 'damaged' || fate === 'cut') expect([outcome, came]).toEqual(['failed', []]);
          if (fate === 'odd syntax' && !transcodes) expect([outcome, came]).toEqual(['failed', []]);
          if (fate === 'refused' || fate === 'killing' || fate === 'silent') expect(outcome).toBe('failed');
        }
        // What came in whole was what was to be sent.
        for (const { uid, sha256 } of peer.received) {
          if (fateOf.get(uid) !== 'odd syntax')
            expect(sha256).toBe(instances.find(({ SOPInstanceUID }) => SOPInstanceUID === uid)!.sha256);
        }
        for (const uid of damaged) expect(['damaged', 'cut']).toContain(fateOf.get(uid));
        // Nothing stays open, neither file nor association.
        expect(instances.filter(({ opened, closed }) => opened !== closed)).toEqual([]);
        await Promise.all(peer.associations.map((association) => association.closed));
      } finally {
        await peer.end();
      }
    }),
    { numRuns: 60 },
  );
}, 60_000);

it('without any fault each is sent once, as many at once as there may be', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 30 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 3 }),
      async (count, window, parallel) => {
        const peer = new SendPeer();
        await peer.listen();
        try {
          const instances = Array.from({ length: count }, () => made({ bytes: 2000 }));
          const results: SendResult[] = [];
          const all = sendAll(instances, {
            connect: peer.connect,
            kinds: kindsOf(instances),
            asyncWindow: window,
            parallel,
          });
          for await (const result of all) results.push(result);
          expect(results.filter(({ outcome }) => outcome === 'completed')).toHaveLength(count);
          expect(peer.received.map(({ sha256 }) => sha256).sort()).toEqual(
            instances.map((one) => one.sha256).sort(),
          );
          for (const association of peer.associations)
            expect(await association.closed).toMatchObject({ kind: 'released' });
        } finally {
          await peer.end();
        }
      },
    ),
    { numRuns: 20 },
  );
});

it('an error of the stream of instances is thrown, once what was under way has its result', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 6 }),
      fc.integer({ min: 1, max: 3 }),
      async (count, parallel) => {
        const peer = new SendPeer();
        await peer.listen();
        try {
          const instances = Array.from({ length: count }, () => made({ bytes: 100 }));
          function* failing(): Iterable<Made> {
            yield* instances;
            throw new IsocenterError('CATALOG_CLOSED', 'the catalog is closed');
          }
          let told = 0;
          const run = async (): Promise<void> => {
            const all = sendAll(failing(), { connect: peer.connect, kinds: kindsOf([made()]), parallel });
            for await (const { outcome } of all) if (outcome === 'completed') told++;
          };
          await expect(run()).rejects.toMatchObject({ code: 'CATALOG_CLOSED' });
          expect(told).toBe(peer.received.length);
          for (const association of peer.associations)
            expect(await association.closed).toMatchObject({ kind: 'released' });
        } finally {
          await peer.end();
        }
      },
    ),
    { numRuns: 20 },
  );
});
