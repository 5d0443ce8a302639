import { imageObject } from '../support/data-sets';
import * as hostile from '../support/hostile-data-sets';
import { PlainScu } from '../support/ledger-scu';
import { removeFolder, startNode } from '../support/node-process';
import { pData, pdv, storeRq } from '../support/wire';

/** Every text value that can hold something of a patient is a canary; none may be printed, in whatever goes wrong. */
const TEXTS: readonly [number, string][] = [
  [0x00080050, 'SH'],
  [0x00080080, 'LO'],
  [0x00080090, 'PN'],
  [0x00081010, 'SH'],
  [0x00081030, 'LO'],
  [0x0008103e, 'LO'],
  [0x00081050, 'PN'],
  [0x00081070, 'PN'],
  [0x00100010, 'PN'],
  [0x00100020, 'LO'],
  [0x00100021, 'LO'],
  [0x00101000, 'LO'],
  [0x00101040, 'LO'],
  [0x00104000, 'LT'],
  [0x00180015, 'CS'],
  [0x00181030, 'LO'],
  [0x00200010, 'SH'],
  [0x00204000, 'LT'],
];

const canaries = TEXTS.map(([tag, vr], index) => ({
  tag,
  vr,
  value: `PHI-CANARY-${index + 1}`,
}));

it.each(['text', 'json'])('nothing of a patient is printed or answered, in logs as %s', async (format) => {
  const node = await startNode({ config: { log: { level: 'debug', format } } });
  const comments: string[] = [];
  try {
    const original = hostile.goodObject({ extra: canaries, seed: 1 });
    const identity = { ...original, extra: canaries };
    const objects = [
      original,
      original,
      imageObject({ ...identity, seed: 2 }),
      imageObject({ ...identity, SOPInstanceUID: `${original.SOPInstanceUID}.1`, without: [0x0020000d] }),
      // Other values under the same patient, study and series: conflicts.
      imageObject({
        ...identity,
        SOPInstanceUID: `${original.SOPInstanceUID}.2`,
        extra: canaries.map((element) =>
          element.tag === 0x00100020 ? element : { ...element, value: `${element.value}-X` },
        ),
      }),
      imageObject({
        ...identity,
        SOPInstanceUID: `${original.SOPInstanceUID}.3`,
        extra: [...canaries, { tag: 0x00181000, vr: 'LO', value: 'PHI-CANARY-99', claimedLength: 0xfffe }],
        size: 0,
      }),
      // A date, a number and a UID that are none, and a character set that nobody knows.
      imageObject({
        ...identity,
        SOPInstanceUID: `${original.SOPInstanceUID}.4`,
        extra: [
          ...canaries,
          { tag: 0x00080005, vr: 'CS', value: 'PHI-CANARY-98' },
          { tag: 0x00080020, vr: 'DA', value: 'PHI-CANARY-97' },
          { tag: 0x00200013, vr: 'IS', value: 'PHI-CANARY-96' },
        ],
      }),
      imageObject({
        ...identity,
        SOPInstanceUID: `${original.SOPInstanceUID}.5`,
        extra: [...canaries, { tag: 0x00080018, vr: 'UI', value: 'PHI-CANARY-95' }],
      }),
      imageObject({
        ...identity,
        SOPInstanceUID: `${original.SOPInstanceUID}.6`,
        extra: [...canaries, { tag: 0x0020000d, vr: 'UI', value: 'PHI/CANARY-94' }],
      }),
    ];
    const scu = await PlainScu.open(node.port, [original]);
    const statuses: (number | undefined)[] = [];
    for (const object of objects) {
      const answer = await scu.store(object);
      statuses.push(answer.status);
      comments.push(answer.comment ?? '');
    }
    expect(statuses.map((status) => status?.toString(16)).slice(0, 4)).toEqual(['0', '0', '111', 'c000']);
    expect(statuses.map((status) => status?.toString(16)).slice(-4)).toEqual(['c000', '0', 'a900', 'c000']);

    // Cut in the middle of the patient's name, and a caller that makes trouble.
    const context = scu.contextFor(original);
    const next = imageObject({ ...identity, SOPInstanceUID: `${original.SOPInstanceUID}.7` });
    await scu.wire.send(
      pData(
        pdv(context, true, true, storeRq(77, next.SOPClassUID, next.SOPInstanceUID)),
        pdv(context, false, false, next.dataSet.subarray(0, 400)),
        pdv(99, false, false, Buffer.from('PHI-CANARY-93')),
      ),
    );
    await scu.wire.untilClosed();
  } finally {
    await node.stop();
    await removeFolder(node.folder);
  }
  expect(node.logs().length).toBeGreaterThan(500);
  expect(`${node.logs()}\n${comments.join('\n')}`).not.toMatch(/CANARY/);
});

it('no byte of a caller is a control byte in the log', async () => {
  const node = await startNode();
  try {
    const object = hostile.goodObject();
    for (const calling of ['A\u001b[31m\nB', 'X\r\nlevel=error', '\u0000\u0001\u0002']) {
      await expect(PlainScu.open(node.port, [object], { calling })).rejects.toThrow();
    }
  } finally {
    await node.stop();
    await removeFolder(node.folder);
  }
  expect(node.logs().replaceAll('\n', '')).not.toMatch(/[\u0000-\u0008\u000b-\u001f]/);
  expect(node.logs()).not.toMatch(/^(B|level=error)/m);
});
