import { instanceUids } from '../support/catalog-view';
import { encode, SOP, TS, UID_ROOT } from '../support/data-sets';
import type { SentObject } from '../support/data-sets';
import * as hostile from '../support/hostile-data-sets';
import { PlainScu, sha256 } from '../support/ledger-scu';
import { removeFolder, startNode } from '../support/node-process';
import type { NodeProcess } from '../support/node-process';
import { storedDataSet, storedFiles, treeSnapshot } from '../support/stored-files';
import { seededRandom } from '../faults/random';
import {
  associateRq,
  commandSet,
  echoRq,
  item,
  pData,
  PDU,
  pdu,
  pdv,
  storeRq,
  verification,
  Wire,
} from '../support/wire';

/**
 * Bad input gets its status, abort or reject, leaves nothing behind, and harms nobody: beside every case an association
 * stays open that has to go on working, and the node's directory has to be afterwards what it was before.
 */
let node: NodeProcess;
let beside: PlainScu;
const kept = hostile.goodObject();

beforeAll(async () => {
  node = await startNode({
    config: { timeouts: { association: '1s', idle: '60s', response: '30s', writeStall: '10s' } },
  });
  beside = await PlainScu.open(node.port, [kept], { calling: 'LEDGER0' });
  expect((await beside.store(kept)).status).toBe(0);
});

afterAll(async () => {
  await beside.release();
  expect(await instanceUids(node)).toContain(kept.SOPInstanceUID);
  const { code } = await node.stop();
  await removeFolder(node.folder);
  expect(code).toBe(0);
});

let before: string[];
beforeEach(async () => {
  before = await treeSnapshot(node.dataDirectory);
});

/** Removal follows a broken association at once, but its caller can't see when. */
async function leavesNothing(): Promise<void> {
  const until = Date.now() + 5000;
  let now = await treeSnapshot(node.dataDirectory);
  while (now.join() !== before.join() && Date.now() < until) now = await treeSnapshot(node.dataDirectory);
  expect(now).toEqual(before);
}

async function harmsNobody(): Promise<void> {
  expect(await beside.echo()).toBe(0);
  const { wire } = await Wire.associate(node.port);
  expect(await wire.echo()).toBe(0);
  await wire.release();
}

afterEach(harmsNobody);

async function abortOf(wire: Wire): Promise<{ source: number; reason: number }> {
  const answer = await wire.nextPdu();
  expect(answer.type).toBe(PDU.abort);
  wire.destroy();
  return { source: answer.body[2]!, reason: answer.body[3]! };
}

describe('on the port', () => {
  it.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: node\r\n\r\n')],
    ['TLS', Buffer.from('16030100c8010000c40303', 'hex')],
    ['garbage', Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 89 + 13) & 0xff))],
    ['zeros', Buffer.alloc(4096)],
  ])('answers %s with A-ABORT of source 0 and closes', async (_, bytes) => {
    const wire = await Wire.connect(node.port);
    await wire.send(bytes);
    expect((await abortOf(wire)).source).toBe(0);
    await leavesNothing();
  });

  it('answers a request of 4 GiB before it allocates anything', async () => {
    const peak = node.rss().peak;
    const wire = await Wire.connect(node.port);
    await wire.send(pdu(PDU.associateRq, Buffer.alloc(1000), 0xffffffff));
    expect((await wire.nextPdu()).type).toBe(PDU.abort);
    await wire.untilClosed(4000);
    expect(node.rss().peak - peak).toBeLessThan(30 * 1024);
  });

  it('answers a data PDU of 4 GiB before it allocates anything', async () => {
    const peak = node.rss().peak;
    const { wire } = await Wire.associate(node.port);
    await wire.send(pdu(PDU.data, Buffer.alloc(1000), 0xffffffff));
    expect((await abortOf(wire)).source).toBe(2);
    expect(node.rss().peak - peak).toBeLessThan(30 * 1024);
  });

  it('survives a request that is cut at every byte, by FIN and by RST', async () => {
    const request = associateRq({
      contexts: [verification(1), { id: 3, abstractSyntax: SOP.ct, transferSyntaxes: [TS.explicit] }],
      userItems: [item(0x53, Buffer.from([0, 5, 0, 5]))],
    });
    for (let cut = 0; cut < request.length; cut += 1) {
      const wire = await Wire.connect(node.port);
      await wire.send(request.subarray(0, cut));
      if (cut % 2 === 0) wire.reset();
      else wire.destroy();
    }
    await leavesNothing();
  });

  it('answers a request whose inner lengths point outside with an abort or a reject, at every length field', async () => {
    const request = associateRq({
      contexts: [{ id: 1, abstractSyntax: SOP.ct, transferSyntaxes: [TS.explicit] }],
    });
    // Every two bytes in turn become FFFF: item lengths, and whatever else lies there.
    for (let at = 6; at + 2 <= request.length; at += 1) {
      const bent = Buffer.from(request);
      bent.writeUInt16BE(0xffff, at);
      const wire = await Wire.connect(node.port);
      await wire.send(bent);
      const answer = await wire.nextPdu();
      expect([PDU.associateAc, PDU.associateRj, PDU.abort]).toContain(answer.type);
      wire.destroy();
    }
  });
});

describe('in negotiation', () => {
  it.each([
    ['an even context id', [verification(2)]],
    ['a context id twice', [verification(1), verification(1)]],
  ])('answers %s with A-ABORT 2/6', async (_, contexts) => {
    const wire = await Wire.connect(node.port);
    await wire.send(associateRq({ contexts }));
    const answer = await wire.nextPdu();
    expect([answer.type, answer.body[2], answer.body[3]]).toEqual([PDU.abort, 2, 6]);
    wire.destroy();
  });

  it('takes context ids in any order', async () => {
    const { wire, ac } = await Wire.associate(node.port, {
      contexts: [verification(255), verification(3), verification(101), verification(1)],
    });
    expect([...ac.contexts.keys()].sort((a, b) => a - b)).toEqual([1, 3, 101, 255]);
    expect(await wire.echo(1, 101)).toBe(0);
    expect(await wire.echo(2, 255)).toBe(0);
    await wire.release();
  });

  it('ignores P-DATA after a reject: what it asks for is not done', async () => {
    const object = hostile.goodObject();
    const wire = await Wire.connect(node.port);
    await wire.send(
      Buffer.concat([
        associateRq({
          calling: 'STRANGER',
          contexts: [
            { id: 1, abstractSyntax: object.SOPClassUID, transferSyntaxes: [object.transferSyntax] },
          ],
        }),
        pData(
          pdv(1, true, true, storeRq(1, object.SOPClassUID, object.SOPInstanceUID)),
          pdv(1, false, true, object.dataSet),
        ),
      ]),
    );
    expect((await wire.nextPdu()).type).toBe(PDU.associateRj);
    expect(await wire.untilClosed(4000)).toHaveLength(0);
    await leavesNothing();
    expect(await instanceUids(node)).not.toContain(object.SOPInstanceUID);
  });

  it('does nothing of a C-STORE that comes before any association', async () => {
    const object = hostile.goodObject();
    const wire = await Wire.connect(node.port);
    await wire.send(
      pData(
        pdv(1, true, true, storeRq(1, object.SOPClassUID, object.SOPInstanceUID)),
        pdv(1, false, true, object.dataSet),
      ),
    );
    expect((await abortOf(wire)).source).toBe(0);
    await leavesNothing();
  });
});

describe('in messages', () => {
  const open = () =>
    Wire.associate(node.port, {
      contexts: [verification(1), { id: 3, abstractSyntax: SOP.ct, transferSyntaxes: [TS.explicit] }],
    });

  it('cuts a command without end', async () => {
    const { wire } = await open();
    const fragment = pData(pdv(1, true, false, Buffer.alloc(4096)));
    for (let sent = 0; sent < 1 << 20 && !wire.closed; sent += fragment.length) await wire.send(fragment);
    expect((await abortOf(wire)).source).toBe(2);
  });

  it('cuts a command that cannot be read', async () => {
    const { wire } = await open();
    await wire.send(pData(pdv(1, true, true, Buffer.from('0000000002ffffff', 'hex'))));
    expect((await abortOf(wire)).source).toBe(2);
  });

  it.each([
    ['shorter than its own header', Buffer.from([0, 0, 0, 1, 1, 3])],
    ['longer than its PDU', Buffer.from([0, 0, 1, 0, 1, 3, 0, 0])],
    ['of 4 GiB', Buffer.from([255, 255, 255, 255, 1, 3, 0, 0])],
    ['cut in its header', Buffer.from([0, 0])],
  ])('answers a PDV %s with A-ABORT of source 2', async (_, bytes) => {
    const { wire } = await open();
    await wire.send(pData(bytes));
    expect((await abortOf(wire)).source).toBe(2);
  });

  it('answers messages of two contexts mixed with each other with A-ABORT of source 2', async () => {
    const { wire } = await open();
    const uid = `${UID_ROOT}.77.1`;
    await wire.send(
      pData(
        pdv(3, true, true, storeRq(1, SOP.ct, uid)),
        pdv(3, false, false, Buffer.alloc(64)),
        pdv(1, true, true, echoRq(2)),
      ),
    );
    expect((await abortOf(wire)).source).toBe(2);
    await leavesNothing();
  });

  it('T19: keeps every byte of a data set that comes as two PDVs in a PDU, odd, empty and one byte long, the first with its command', async () => {
    const object = hostile.goodObject();
    const scu = await PlainScu.open(node.port, [object]);
    const context = scu.contextFor(object);
    const bytes = object.dataSet;
    await scu.wire.send(
      pData(
        pdv(context, true, true, storeRq(1, object.SOPClassUID, object.SOPInstanceUID)),
        pdv(context, false, false, bytes.subarray(0, 101)),
      ),
    );
    await scu.wire.send(
      pData(
        pdv(context, false, false, Buffer.alloc(0)),
        pdv(context, false, false, bytes.subarray(101, 102)),
        pdv(context, false, false, bytes.subarray(102, 303)),
      ),
    );
    await scu.wire.send(pData(pdv(context, false, true, bytes.subarray(303))));
    expect((await scu.wire.nextMessage()).command.status).toBe(0);
    await scu.release();
    expect(sha256(await storedDataSet(node.dataDirectory, object.SOPInstanceUID))).toBe(sha256(bytes));
  });

  it('leaves nothing of an association that is cut at any byte of a C-STORE', async () => {
    const object = hostile.goodObject({ size: 4 });
    const scu = await PlainScu.open(node.port, [object]);
    const context = scu.contextFor(object);
    const message = Buffer.concat([
      pData(pdv(context, true, true, storeRq(1, object.SOPClassUID, object.SOPInstanceUID))),
      ...scu.dataPdus(context, object.dataSet),
    ]);
    await scu.release();
    for (let cut = 0; cut < message.length; cut += 1) {
      const one = await PlainScu.open(node.port, [object]);
      await one.wire.send(message.subarray(0, cut));
      if (cut % 2 === 0) one.wire.reset();
      else one.wire.destroy();
    }
    await leavesNothing();
    expect(await instanceUids(node)).not.toContain(object.SOPInstanceUID);
  }, 60_000);

  it('leaves nothing of a C-STORE that its caller aborts or releases halfway', async () => {
    for (const end of [pdu(PDU.abort, Buffer.alloc(4)), pdu(PDU.releaseRq, Buffer.alloc(4))]) {
      const object = hostile.goodObject({ size: 256 });
      const scu = await PlainScu.open(node.port, [object]);
      const context = scu.contextFor(object);
      await scu.wire.send(
        pData(pdv(context, true, true, storeRq(1, object.SOPClassUID, object.SOPInstanceUID))),
      );
      await scu.wire.send(pData(pdv(context, false, false, object.dataSet.subarray(0, 60_000))));
      await scu.wire.send(end);
      await scu.wire.untilClosed(6000);
    }
    await leavesNothing();
  });

  it('answers a C-STORE without a data set with a failure', async () => {
    const { wire } = await open();
    await wire.send(
      pData(
        pdv(
          3,
          true,
          true,
          commandSet({
            0x0002: SOP.ct,
            0x0100: 1,
            0x0110: 4,
            0x0700: 0,
            0x0800: 0x0101,
            0x1000: `${UID_ROOT}.77.2`,
          }),
        ),
      ),
    );
    const { command } = await wire.nextMessage();
    expect(command.status?.toString(16)).toMatch(/^(c...|[12]..)$/);
    expect(command.comment).toMatch(/^[\x20-\x7e]{1,64}$/);
    expect(await wire.echo(5)).toBe(0);
    await wire.release();
    await leavesNothing();
  });
});

/** A status for the object, an association that lives on, and a directory as before. */
const REFUSED: readonly [string, string, () => SentObject][] = [
  ['an instance UID with ../', 'C000', () => hostile.withInstanceUID('../../../../tmp/escaped')],
  ['an instance UID that is a path', 'C000', () => hostile.withInstanceUID('/etc/cron.d/x')],
  ['an instance UID with a backslash', 'C000', () => hostile.withInstanceUID('1.2\\1.3')],
  ['an instance UID with a wildcard', 'C000', () => hostile.withInstanceUID('1.2.*')],
  ['an instance UID with NUL inside', 'C000', () => hostile.withInstanceUID('1.2\0.3')],
  ['an instance UID with a line break', 'C000', () => hostile.withInstanceUID('1.2\n.3')],
  ['an instance UID of Latin-1 letters', 'C000', () => hostile.withInstanceUID('1.2.\u00e9')],
  ['an instance UID of 65 characters', 'C000', () => hostile.withInstanceUID('1.'.padEnd(65, '2'))],
  ['an instance UID of 4000 characters', 'C000', () => hostile.withInstanceUID('1.'.padEnd(4000, '2'))],
  ['a study UID with ../', 'C000', () => hostile.withStudyUID('../../x')],
  ['a study UID of 65 characters', 'C000', () => hostile.withStudyUID('1.'.padEnd(65, '2'))],
  ['a study UID of NUL alone', 'C000', () => hostile.withStudyUID('\0\0')],
  ['a series UID with NUL inside', 'C000', () => hostile.withSeriesUID('1.2\0.3')],
  ['no study UID', 'C000', () => hostile.withStudyUID(undefined)],
  ['an empty study UID', 'C000', () => hostile.withStudyUID('')],
  ['no series UID', 'C000', () => hostile.withSeriesUID(undefined)],
  ['no instance UID in the data set', 'C000', () => hostile.withoutElement(0x00080018)],
  ['no class UID in the data set', 'C000', () => hostile.withoutElement(0x00080016)],
  ['another instance than the command', 'A900', () => hostile.otherThanTheCommand('instance')],
  ['another class than the command', 'A900', () => hostile.otherThanTheCommand('class')],
  ['random bytes', 'C000', () => hostile.randomBytes(5000)],
  ['an empty data set', 'C000', () => ({ ...hostile.goodObject(), dataSet: Buffer.alloc(0) })],
  ['sequences nested 65 deep', 'C000', () => hostile.nested(65)],
  ['sequences nested 10,000 deep', 'C000', () => hostile.nested(10_000)],
  ['sequences of defined length nested 10,000 deep', 'C000', () => hostile.nested(10_000, false)],
  ['a deflate bomb', 'C000', () => hostile.deflateBomb(64 << 20)],
  [
    'noise instead of a deflated stream',
    'C000',
    () => ({ ...hostile.randomBytes(4000), transferSyntax: TS.deflated }),
  ],
  ['a text longer than the file', 'C000', () => hostile.longerThanTheFile(0x00104000, 'LT', 0xfffe)],
  [
    'a long text of 2 GiB that is not there',
    'C000',
    () => hostile.longerThanTheFile(0x00189445, 'UT', 0x7ffffffe),
  ],
  [
    'private bytes of 4 GiB that are not there',
    'C000',
    () => hostile.longerThanTheFile(0x00091010, 'OB', 0xfffffffe),
  ],
  ['a sequence longer than the file', 'C000', () => hostile.longerThanTheFile(0x00081140, 'SQ', 0x10000)],
];

describe('T68: in data sets', () => {
  it.each(REFUSED)('refuses %s with %s and lives on', async (_, status, make) => {
    const object = make();
    const scu = await PlainScu.open(node.port, [object]);
    const answer = await scu.store(object);
    expect(answer.status?.toString(16).toUpperCase()).toBe(status);
    expect(answer.comment).toMatch(/^[\x20-\x7e]{1,64}$/);
    if (status === 'A900') expect(answer.bytes(0x0901)?.length).toBeGreaterThanOrEqual(4);
    await leavesNothing();
    // The same association stores the next one.
    const next = hostile.goodObject({}, object.transferSyntax);
    expect((await scu.store(next)).status).toBe(0);
    await scu.release();
  });

  it('refuses a UID in the command alone, before the data set is looked at', async () => {
    const object = hostile.goodObject();
    const scu = await PlainScu.open(node.port, [object]);
    for (const commandInstanceUID of ['../x', '1.2\0.3', 'x'.repeat(65), '']) {
      const { status } = await scu.store(object, { commandInstanceUID });
      expect(['c000', '212', 'a900']).toContain(status?.toString(16));
    }
    await scu.release();
    await leavesNothing();
  });

  it.each([
    ['64 characters', '1.'.padEnd(64, '2')],
    ['leading zeros', '1.02.003'],
    ['letters', 'not-a-uid_but+printable'],
    ['dots alone', '..'],
  ])('keeps a UID of %s as it is: wrong, but harmless', async (_, uid) => {
    const object = hostile.withInstanceUID(uid);
    const scu = await PlainScu.open(node.port, [object]);
    expect((await scu.store(object)).status).toBe(0);
    await scu.release();
    expect(sha256(await storedDataSet(node.dataDirectory, uid))).toBe(sha256(object.dataSet));
    for (const file of await storedFiles(node.dataDirectory)) {
      expect(file.path.startsWith(`${node.dataDirectory}/instances/`)).toBe(true);
      expect(file.path).not.toContain(uid);
    }
  });

  it('keeps sequences nested 64 deep', async () => {
    const object = hostile.nested(64);
    const scu = await PlainScu.open(node.port, [object]);
    expect((await scu.store(object)).status).toBe(0);
    await scu.release();
  });

  it('answers 400 bent data sets, each whole or not at all', async () => {
    const random = seededRandom(20240101);
    const original = encode(
      [
        { tag: 0x00080016, vr: 'UI', value: SOP.ct },
        { tag: 0x00081140, vr: 'SQ', value: { items: [[{ tag: 0x00081150, vr: 'UI', value: SOP.ct }]] } },
      ],
      'explicit',
    ).length;
    const scu = await PlainScu.open(node.port, [hostile.goodObject()]);
    const stored = new Map<string, string>();
    for (let round = 0; round < 400; round += 1) {
      const object = hostile.goodObject({
        size: 4,
        extra: [
          {
            tag: 0x00081140,
            vr: 'SQ',
            value: {
              items: [[{ tag: 0x00081150, vr: 'UI', value: SOP.ct }]],
              undefinedLength: round % 2 === 0,
            },
          },
        ],
      });
      const bent = bend(object, random, original);
      const { status } = await scu.store(bent);
      expect(['0', 'c000', 'a900', 'b006']).toContain(status?.toString(16));
      if (status === 0) stored.set(bent.SOPInstanceUID, sha256(bent.dataSet));
    }
    expect(await scu.echo()).toBe(0);
    await scu.release();
    const files = new Map(
      (await storedFiles(node.dataDirectory)).map((file) => [file.SOPInstanceUID, file.dataSetSha256]),
    );
    for (const [uid, digest] of stored) expect([uid, files.get(uid)]).toEqual([uid, digest]);
    expect(stored.size).toBeGreaterThan(0);
    expect(stored.size).toBeLessThan(400);
  }, 60_000);
});

/** One change that a broken modality or a broken disk makes. */
function bend(object: SentObject, random: () => number, from: number): SentObject {
  const bytes = Buffer.from(object.dataSet);
  const at = Math.floor(random() * bytes.length);
  switch (Math.floor(random() * 5)) {
    case 0:
      bytes[at] = Math.floor(random() * 256);
      return { ...object, dataSet: bytes };
    case 1:
      bytes.fill(0xff, at, at + 4);
      return { ...object, dataSet: bytes };
    case 2:
      return { ...object, dataSet: bytes.subarray(0, at) };
    case 3:
      return {
        ...object,
        dataSet: Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - 9))]),
      };
    default:
      bytes.swap16();
      return { ...object, dataSet: Buffer.concat([object.dataSet.subarray(0, from), bytes.subarray(from)]) };
  }
}
