import { encodeDataSet } from '../../src/dicom/data-set';
import { Session } from '../../src/dimse/session';
import { DimseError } from '../../src/errors';
import { connect } from '../../src/net/requestor';
import type { Proposal } from '../../src/net/negotiation';
import {
  retrieve,
  RETRIEVE_MODELS,
  type RetrieveOutcome,
  type RetrieveRequest,
  type SubOperations,
} from '../../src/services/retrieve-scu';
import { COMMON_STORAGE_CLASSES, proposeGet } from '../../src/services/retrieve-scu-contexts';
import { takeInventory } from '../../src/services/retrieve-scu-inventory';
import { getSession, type GetEvent, type GetSink } from '../../src/services/retrieve-scu-receive';
import { FIND_MODELS, proposeFind } from '../../src/services/find-scu';
import { ArchivePeer, counters } from '../support/archive-peer';
import { imageObject, SOP, TS, UID_ROOT, type SentObject } from '../support/data-sets';
import { dataSet } from '../support/find-peer';
import { TIMEOUTS } from '../support/upper-layer';

const NEVER = new AbortController().signal;
const STUDY = `${UID_ROOT}.60`;
const peer = new ArchivePeer();

beforeAll(() => peer.start());
afterAll(() => peer.stop());
beforeEach(() => peer.reset());

function call(proposal: Proposal) {
  return connect({
    ...proposal,
    host: '127.0.0.1',
    port: peer.port,
    callingAETitle: 'ASKER',
    calledAETitle: 'ARCHIVE',
    implementation: { classUID: '2.25.2', versionName: 'TEST' },
    maximumLength: 16384,
    timeouts: { ...TIMEOUTS, abortGrace: 100 },
  });
}

const identifier = dataSet({ QueryRetrieveLevel: 'STUDY', StudyInstanceUID: STUDY });

async function move(more: Partial<RetrieveRequest> = {}): Promise<RetrieveOutcome> {
  const sopClass = RETRIEVE_MODELS.study.move;
  const association = await call({
    contexts: [{ id: 1, abstractSyntax: sopClass, transferSyntaxes: [TS.implicit] }],
  });
  const session = new Session(association, { responseTimeout: 5000 });
  try {
    return await retrieve(session, {
      operation: 'C-MOVE',
      sopClass,
      identifier,
      destination: 'DEST',
      signal: NEVER,
      ...more,
    });
  } finally {
    await association.release();
  }
}

function objects(count: number, SOPClassUID: string = SOP.ct, syntax: string = TS.explicit): SentObject[] {
  return Array.from({ length: count }, (_, index) =>
    imageObject(
      {
        SOPClassUID,
        StudyInstanceUID: STUDY,
        SeriesInstanceUID: `${STUDY}.${index % 2}`,
        SOPInstanceUID: `${STUDY}.${index % 2}.${index}`,
        size: 16,
      },
      syntax,
    ),
  );
}

describe('C-MOVE', () => {
  it('says where to, and hands on the counters of every pending response and of the last one', async () => {
    peer.move = () => [
      { status: 0xff00, fields: counters(2, 1) },
      { status: 0xff00, fields: counters(0, 2, 1) },
      { status: 0xb000, comment: 'one failed', fields: counters(undefined, 2, 1) },
    ];
    const seen: SubOperations[] = [];
    const outcome = await move({ onProgress: (counts) => seen.push(counts) });
    expect(peer.moves[0]?.request.command.MoveDestination).toBe('DEST');
    expect(peer.moves[0]?.identifier).toEqual({ QueryRetrieveLevel: 'STUDY', StudyInstanceUID: STUDY });
    expect(seen).toEqual([
      { remaining: 2, completed: 1, failed: 0, warning: 0 },
      { remaining: 0, completed: 2, failed: 1, warning: 0 },
    ]);
    expect(outcome).toMatchObject({
      status: 0xb000,
      comment: 'one failed',
      counts: { remaining: undefined, completed: 2, failed: 1, warning: 0 },
      failedUids: [],
    });
  });

  it('keeps the last counters where the final response has none', async () => {
    peer.move = () => [{ status: 0xff00, fields: counters(0, 3) }, { status: 0 }];
    expect((await move()).counts).toMatchObject({ completed: 3, remaining: undefined });
  });

  it('reads the list of what failed, and takes an unreadable one for none', async () => {
    const list = encodeDataSet(dataSet({ '00080058': `${STUDY}.1\\${STUDY}.2` }), TS.implicit);
    peer.move = () => [{ status: 0xa702, fields: counters(undefined, 0, 2), dataSet: list }];
    expect((await move()).failedUids).toEqual([`${STUDY}.1`, `${STUDY}.2`]);
    peer.move = () => [{ status: 0xa702, dataSet: list.subarray(0, 11) }];
    expect(await move()).toMatchObject({ status: 0xa702, failedUids: [] });
  });

  it('knows a model that the peer does not take', async () => {
    peer.refuses = () => true;
    await expect(move()).rejects.toMatchObject({ code: 'NO_CONTEXT', exitCode: 4 });
  });

  it('cancels, and waits for the end', async () => {
    const stop = new AbortController();
    peer.move = async function* ({ context }) {
      yield { status: 0xff00, fields: counters(5, 1) };
      await new Promise((resolve) => context.cancelled.addEventListener('abort', resolve));
      yield { status: 0xfe00, fields: counters(5, 1) };
    };
    const outcome = await move({ signal: stop.signal, onProgress: () => stop.abort() });
    expect(outcome).toMatchObject({ status: 0xfe00, counts: { remaining: 5, completed: 1 } });
    expect(peer.cancels).toBe(1);
  });

  it('aborts where the peer does not end after a cancel', async () => {
    const stop = new AbortController();
    peer.move = async function* ({ context }) {
      yield { status: 0xff00, fields: counters(5, 1) };
      await new Promise((resolve) => context.lost.addEventListener('abort', resolve));
    };
    await expect(
      move({ signal: stop.signal, cancelPatience: 20, onProgress: () => stop.abort() }),
    ).rejects.toMatchObject({ code: 'ASSOCIATION_ENDED' });
  });
});

describe('what an association for C-GET proposes', () => {
  it('gives each syntax of few classes a context of its own, with the role of SCP for each class', () => {
    const { contexts, roles } = proposeGet('1.2', [SOP.ct, SOP.mr]);
    expect(contexts.length).toBeLessThanOrEqual(128);
    expect(contexts.map(({ id }) => id)).toEqual(contexts.map((_, index) => 2 * index + 1));
    expect(roles).toEqual([SOP.ct, SOP.mr].map((sopClass) => ({ sopClass, scu: false, scp: true })));
    const ct = contexts.filter(({ abstractSyntax }) => abstractSyntax === SOP.ct);
    for (const syntax of [
      TS.explicit,
      TS.implicit,
      TS.jpegLossless,
      TS.jpegBaseline,
      TS.j2kLossless,
      TS.rle,
      TS.big,
    ])
      expect(ct.map(({ transferSyntaxes }) => transferSyntaxes)).toContainEqual([syntax]);
  });

  it('never needs more than 128, and leaves no syntax out', () => {
    const { contexts } = proposeGet('1.2', COMMON_STORAGE_CLASSES);
    expect(contexts.length).toBeLessThanOrEqual(128);
    for (const sopClass of COMMON_STORAGE_CLASSES) {
      const own = contexts.filter(({ abstractSyntax }) => abstractSyntax === sopClass);
      expect(own[0]?.transferSyntaxes).toEqual([TS.explicit]);
      const all = own.flatMap(({ transferSyntaxes }) => transferSyntaxes);
      expect(all).toEqual(expect.arrayContaining([TS.implicit, TS.jpegLossless, TS.rle]));
      expect(new Set(all).size).toBe(all.length);
    }
    const many = proposeGet(
      '1.2',
      Array.from({ length: 200 }, (_, index) => `2.25.${index}`),
    );
    expect(many.contexts).toHaveLength(128);
  });
});

describe('C-GET', () => {
  class Memory implements GetSink {
    readonly kept = new Map<string, Buffer>();
    refusal: Error | undefined;

    async take({ SOPInstanceUID, dataSet: bytes }: Parameters<GetSink['take']>[0]): Promise<GetEvent> {
      const parts: Buffer[] = [];
      for await (const part of bytes) parts.push(part);
      if (this.refusal !== undefined) throw this.refusal;
      this.kept.set(SOPInstanceUID, Buffer.concat(parts));
      return { SOPInstanceUID, outcome: 'fetched', bytes: 0 };
    }

    has(): Promise<boolean> {
      return Promise.resolve(false);
    }
  }

  async function get(
    sink: GetSink,
    classes: readonly string[],
    events: GetEvent[] = [],
    responseTimeout = 5000,
  ) {
    const sopClass = RETRIEVE_MODELS.study.get;
    const association = await call(proposeGet(sopClass, classes));
    const session = getSession(association, {
      sink,
      responseTimeout,
      onInstance: (event) => events.push(event),
    });
    try {
      return await retrieve(session, { operation: 'C-GET', sopClass, identifier, signal: NEVER });
    } finally {
      await association.release();
    }
  }

  it('takes instances byte for byte, each in its own syntax', async () => {
    const sent = [
      ...objects(2),
      imageObject(
        { StudyInstanceUID: STUDY, SOPInstanceUID: `${STUDY}.9`, SOPClassUID: SOP.mr },
        TS.jpegLossless,
      ),
      imageObject(
        { StudyInstanceUID: STUDY, SOPInstanceUID: `${STUDY}.8`, SOPClassUID: SOP.mr },
        TS.implicit,
      ),
    ];
    peer.objects = sent;
    const sink = new Memory();
    const events: GetEvent[] = [];
    const outcome = await get(sink, [SOP.ct, SOP.mr], events);
    expect(outcome).toMatchObject({ status: 0, counts: { completed: 4, failed: 0 } });
    for (const object of sent) expect(sink.kept.get(object.SOPInstanceUID)).toEqual(object.dataSet);
    expect(events.map(({ outcome: each }) => each)).toEqual(Array(4).fill('fetched'));
  });

  it('answers what it can not keep with a failure, and goes on', async () => {
    peer.objects = objects(2);
    const sink = new Memory();
    const events: GetEvent[] = [];
    sink.refusal = new DimseError(0x0111, 'there already');
    expect(await get(sink, [SOP.ct], events)).toMatchObject({ status: 0xa702, counts: { failed: 2 } });
    sink.refusal = new Error('disk');
    await get(sink, [SOP.ct], events);
    expect(peer.statuses).toEqual([0x0111, 0x0111, 0xa700, 0xa700]);
    expect(events).toHaveLength(4);
    expect(events[0]).toMatchObject({ outcome: 'failed', reason: 'there already' });
  });

  it('does not lose patience with a peer that is at work on a long object', async () => {
    const [object] = objects(1);
    peer.get = async function* ({ context }) {
      const [accepted] = [...context.association.contexts.values()].filter(
        ({ abstractSyntax }) => abstractSyntax === SOP.ct,
      );
      const slow = async function* () {
        for (let at = 0; at < 10; at++) {
          await new Promise((resolve) => setTimeout(resolve, 60));
          yield Buffer.alloc(300_000);
        }
      };
      const { SOPClassUID, SOPInstanceUID } = object!;
      await context.scu.store({ contextId: accepted!.id, SOPClassUID, SOPInstanceUID }, slow());
      yield { status: 0, fields: counters(undefined, 1) };
    };
    // Ten times 60 ms, and the peer is given 400.
    expect(await get(new Memory(), [SOP.ct], [], 400)).toMatchObject({ status: 0 });
  });
});

describe('the list of what a peer has', () => {
  async function list(
    keys: Parameters<typeof takeInventory>[1]['keys'],
    root: 'study' | 'patient' = 'study',
  ) {
    const association = await call(proposeFind(FIND_MODELS[root], []));
    try {
      return await takeInventory(new Session(association), { root, keys, signal: NEVER });
    } finally {
      await association.release();
    }
  }

  it('names each instance with its class', async () => {
    peer.objects = objects(5);
    const listed = await list({ StudyInstanceUID: [STUDY] });
    expect(listed.map((one) => one.SOPInstanceUID).sort()).toEqual(
      peer.objects.map((one) => one.SOPInstanceUID).sort(),
    );
    expect(listed[0]).toEqual({
      StudyInstanceUID: STUDY,
      SeriesInstanceUID: `${STUDY}.0`,
      SOPInstanceUID: `${STUDY}.0.0`,
      SOPClassUID: SOP.ct,
    });
  });

  it('is narrowed to series and instances', async () => {
    peer.objects = objects(5);
    const StudyInstanceUID = [STUDY];
    expect(await list({ StudyInstanceUID, SeriesInstanceUID: [`${STUDY}.1`] })).toHaveLength(2);
    expect(
      await list({ StudyInstanceUID, SeriesInstanceUID: [`${STUDY}.1`], SOPInstanceUID: [`${STUDY}.1.3`] }),
    ).toHaveLength(1);
  });

  it('begins at a patient', async () => {
    peer.objects = objects(3);
    expect(await list({ PatientID: 'P1' }, 'patient')).toHaveLength(3);
  });

  it('is not made up where the peer refuses a query', async () => {
    peer.find = () => [{ status: 0xa700 }];
    await expect(list({ StudyInstanceUID: [STUDY] })).rejects.toMatchObject({ code: 'INVENTORY_FAILED' });
    await expect(list({ SeriesInstanceUID: [`${STUDY}.1`] })).rejects.toMatchObject({
      code: 'INVENTORY_FAILED',
    });
  });
});
