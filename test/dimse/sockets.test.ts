import { createHash } from 'node:crypto';
import { Session } from '../../src/dimse/session';
import type { ServiceEntry } from '../../src/dimse/types';
import { connect } from '../../src/net/requestor';
import { Listener } from '../../src/net/listener';
import type { Association } from '../../src/net/types';
import { echo } from '../../src/services/echo';
import { PDU, Wire, commandSet, echoRq, pData, pdv, storeRq, verification } from '../support/wire';
import { CT, IMPLICIT, VERIFICATION, peer } from './fake-association';

/** Both halves over real sockets, against our own upper layer and against hand-made bytes. */
const timeouts = { association: 5000, idle: 5000, writeStall: 5000, release: 2000, abortGrace: 500 };
const implementation = { classUID: '2.25.1', versionName: 'TEST' };

let received: { bytes: number; sha256: string }[];
const store: ServiceEntry = {
  commandField: 0x0001,
  handles: (abstractSyntax) => abstractSyntax === CT,
  right: 'store',
  service: async function* (request) {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of request.dataSet!) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    received.push({ bytes, sha256: hash.digest('hex') });
    yield { status: 0 };
  },
};

let listener: Listener;
let port: number;
let faults: unknown[];

beforeEach(async () => {
  received = [];
  faults = [];
  listener = new Listener({
    host: '127.0.0.1',
    port: 0,
    limits: () => ({ associations: 20, associationsPerRemote: 20 }),
    timeouts: () => timeouts,
    policy: () => ({
      decideAccess: () => ({ accepted: true, peer: peer('echo', 'store') }),
      negotiateContexts: (request) =>
        request.contexts.map(({ id }) => ({ id, result: 0, transferSyntax: IMPLICIT })),
      negotiateRoles: () => [],
      negotiateExtended: () => [],
    }),
    implementation,
    maximumLength: 131072,
    unavailable: () => undefined,
    onAssociation: (association) => new Session(association, { services: [echo, store] }),
    onRejected: () => undefined,
    onProtocolError: () => undefined,
    onFault: (error) => faults.push(error),
  });
  ({ port } = await listener.listen());
});

afterEach(async () => {
  await listener.close();
  expect(faults).toEqual([]);
});

function open(): Promise<Association> {
  return connect({
    host: '127.0.0.1',
    port,
    callingAETitle: 'TESTER',
    calledAETitle: 'NODE',
    implementation,
    maximumLength: 131072,
    timeouts,
    contexts: [
      { id: 1, abstractSyntax: VERIFICATION, transferSyntaxes: [IMPLICIT] },
      { id: 3, abstractSyntax: CT, transferSyntaxes: [IMPLICIT] },
    ],
  });
}

const contexts = [verification(), { id: 3, abstractSyntax: CT, transferSyntaxes: [IMPLICIT] }];

it('echoes a hundred times, stores 20 MB unchanged, and releases', async () => {
  const association = await open();
  const session = new Session(association);
  for (let i = 0; i < 100; i++) expect(await session.scu.echo()).toBe(0);
  const chunk = Buffer.alloc(100_003, 'abcdefg');
  const hash = createHash('sha256');
  const source = (async function* () {
    for (let i = 0; i < 200; i++) {
      hash.update(chunk);
      yield chunk;
    }
  })();
  const instance = { contextId: 3, SOPClassUID: CT, SOPInstanceUID: '1.2.3' };
  expect((await session.scu.store(instance, source)).status).toBe(0);
  expect(received).toEqual([{ bytes: 20_000_600, sha256: hash.digest('hex') }]);
  await association.release();
  expect((await session.finished).kind).toBe('released');
});

it('C-ECHO byte by byte, the command in three PDVs, one empty, over two PDUs (T18)', async () => {
  const { wire } = await Wire.associate(port, { contexts });
  const command = echoRq(7);
  const bytes = Buffer.concat([
    pData(pdv(1, true, false, command.subarray(0, 11)), pdv(1, true, false, Buffer.alloc(0))),
    pData(pdv(1, true, true, command.subarray(11))),
  ]);
  for (const byte of bytes) await wire.send(Buffer.from([byte]));
  const { command: answer } = await wire.nextMessage();
  expect([answer.respondsTo, answer.status]).toEqual([7, 0]);
  await wire.release();
});

it.each([
  ['on a context that was not accepted', pData(pdv(99, true, true, echoRq(1)))],
  ['of a data set without a command', pData(pdv(3, false, true, Buffer.from('ab')))],
])('A PDV %s is answered A-ABORT by the provider (T20)', async (_what, bytes) => {
  const { wire } = await Wire.associate(port, { contexts });
  await wire.send(bytes);
  const { type, body } = await wire.nextPdu();
  expect([type, body[2]]).toEqual([PDU.abort, 2]);
  wire.destroy();
});

it('T30 to T33 on one association', async () => {
  const { wire } = await Wire.associate(port, { contexts });
  const send = (contextId: number, bytes: Buffer): Promise<void> =>
    wire.send(pData(pdv(contextId, true, true, bytes)));
  const fields = { 0x0002: VERIFICATION, 0x0110: 1, 0x0800: 0x0101 };

  await send(1, commandSet({ ...fields, 0x0100: 0x00f0 }));
  const unknown = (await wire.nextMessage()).command;
  expect([unknown.field, unknown.status]).toEqual([0x80f0, 0x0211]);

  await send(1, commandSet({ 0x0100: 0x0fff, 0x0120: 77, 0x0800: 0x0101 }));
  expect(await wire.echo(2)).toBe(0);

  await wire.send(
    pData(pdv(1, true, true, storeRq(3, CT, '1.2.3')), pdv(1, false, true, Buffer.alloc(1000))),
  );
  const wrong = (await wire.nextMessage()).command;
  expect([wrong.field, wrong.status]).toEqual([0x8001, 0x0122]);

  await send(1, commandSet({ ...fields, 0x0100: 0x0030, 0x0110: 0xffff, 0x5110: 'X' }, 3));
  const echoed = (await wire.nextMessage()).command;
  expect([echoed.respondsTo, echoed.status]).toEqual([0xffff, 0]);
  await wire.release();
});

it('takes forty C-STOREs that nobody waits for, in one write, and answers them in order', async () => {
  const { wire } = await Wire.associate(port, { contexts });
  const messages = Array.from({ length: 40 }, (_, i) =>
    pData(
      pdv(3, true, true, storeRq(i + 1, CT, `1.2.3.${i}`)),
      pdv(3, false, false, Buffer.alloc(40_000)),
      pdv(3, false, true, Buffer.alloc(2 * i)),
    ),
  );
  await wire.send(Buffer.concat(messages));
  for (let i = 0; i < 40; i++) {
    const { command } = await wire.nextMessage();
    expect([command.respondsTo, command.status]).toEqual([i + 1, 0]);
  }
  expect(received.map(({ bytes }) => bytes).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 40 }, (_, i) => 40_000 + 2 * i),
  );
  await wire.release();
});
