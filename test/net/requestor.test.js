"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_net_1 = __importDefault(require("node:net"));
const requestor_1 = require("../../src/net/requestor");
const raw_peer_1 = require("../support/raw-peer");
const wire_1 = require("../support/wire");
const fake_clock_1 = require("../support/fake-clock");
const upper_layer_1 = require("../support/upper-layer");
let peer;
let clock;
beforeEach(async () => {
    peer = await raw_peer_1.RawAcceptor.listen();
    clock = new fake_clock_1.FakeClock();
});
afterEach(async () => {
    await peer.close();
    await (0, upper_layer_1.settle)();
    clock.advance(upper_layer_1.TIMEOUTS.association);
    await (0, upper_layer_1.settle)();
    expect(clock.pending).toBe(0);
});
function options(more = {}) {
    return {
        host: '127.0.0.1',
        port: peer.port,
        callingAETitle: 'ISOCENTER',
        calledAETitle: 'OLDPACS',
        implementation: { classUID: '2.25.42', versionName: 'TEST_1' },
        maximumLength: 131072,
        contexts: [
            { id: 1, abstractSyntax: '1.2.840.10008.1.1', transferSyntaxes: ['1.2.840.10008.1.2'] },
            { id: 3, abstractSyntax: '1.2.3', transferSyntaxes: ['1.2.840.10008.1.2', '1.2.840.10008.1.2.1'] },
        ],
        timeouts: { ...upper_layer_1.TIMEOUTS, connect: 5000 },
        clock,
        ...more,
    };
}
async function established(more = {}, fields = {}) {
    const [association, wire] = await Promise.all([(0, requestor_1.connect)(options(more)), peer.associate(fields)]);
    return { association, wire, user: new upper_layer_1.RecordingUser(association) };
}
/** Connects, answers the request with these bytes, and returns how `connect` fails. */
async function failure(bytes, more = {}) {
    const outcome = (0, requestor_1.connect)(options(more)).then(() => 'established', (error) => error);
    const wire = await peer.caller();
    await wire.nextPdu();
    if (Buffer.isBuffer(bytes))
        await wire.send(bytes);
    else
        bytes(wire);
    return outcome;
}
it('writes a request as the standard draws it', async () => {
    const pending = (0, requestor_1.connect)(options({
        asyncWindow: { invoked: 4, performed: 1 },
        roles: [{ sopClass: '1.2.3', scu: true, scp: true }],
        extendedNegotiation: [{ sopClass: '1.2.3', information: Buffer.from([1]) }],
        userIdentity: {
            type: 1,
            positiveResponseRequested: false,
            primary: Buffer.from('u'),
            secondary: Buffer.alloc(0),
        },
    }));
    const wire = await peer.caller();
    const { type, body } = await wire.nextPdu();
    expect(type).toBe(wire_1.PDU.associateRq);
    expect(body.toString('latin1', 0, 36)).toBe('\0\x01\0\0OLDPACS         ISOCENTER       ');
    const text = body.toString('latin1', 68);
    expect(text).toContain((0, wire_1.item)(0x10, '1.2.840.10008.3.1.1.1').toString('latin1'));
    expect(text).toContain((0, wire_1.item)(0x53, Buffer.from([0, 4, 0, 1])).toString('latin1'));
    expect(text).toContain((0, raw_peer_1.roleItem)('1.2.3', 1, 1).toString('latin1'));
    expect(text).toContain((0, wire_1.item)(0x55, 'TEST_1').toString('latin1'));
    await wire.send((0, raw_peer_1.associateAc)());
    const association = await pending;
    expect(association).toMatchObject({
        role: 'requestor',
        peer: undefined,
        remoteAddress: '127.0.0.1',
        remotePort: peer.port,
        implementationClassUID: '2.25.7701.8',
    });
});
it('measures the answer against what was proposed', async () => {
    const { association } = await established({ asyncWindow: { invoked: 4, performed: 1 }, roles: [{ sopClass: '1.2.3', scu: true, scp: false }] }, {
        contexts: [
            { id: 3, transferSyntax: '1.2.840.10008.1.2.1' },
            { id: 1, result: 3, transferSyntax: '' },
        ],
        maximumLength: 0,
        userItems: [
            (0, wire_1.item)(0x53, Buffer.from([0, 9, 0, 9])),
            (0, raw_peer_1.roleItem)('1.2.3', 1, 1),
            (0, raw_peer_1.roleItem)('9.9', 1, 1),
            (0, wire_1.item)(0x56, Buffer.from([0, 3, 0x39, 0x2e, 0x39, 1])),
        ],
    });
    expect([...association.contexts.values()]).toEqual([
        { id: 3, abstractSyntax: '1.2.3', transferSyntax: '1.2.840.10008.1.2.1' },
    ]);
    expect(association.sendLimit).toBe(131072);
    expect(association.asyncWindow).toEqual({ invoked: 4, performed: 1 });
    expect(association.roles).toEqual([{ sopClass: '1.2.3', scu: true, scp: false }]);
    expect(association.extendedNegotiation).toEqual([]);
});
it('reads what the peer sends first, though the user comes a little later', async () => {
    const pending = (0, requestor_1.connect)(options());
    const wire = await peer.caller();
    await wire.nextPdu();
    await wire.send(Buffer.concat([(0, raw_peer_1.associateAc)(), (0, wire_1.pData)((0, wire_1.pdv)(1, true, true, (0, wire_1.echoRq)(1))), (0, wire_1.releaseRq)()]));
    const association = await pending;
    await (0, upper_layer_1.settle)();
    const user = new upper_layer_1.RecordingUser(association);
    expect((await wire.nextPdu()).type).toBe(wire_1.PDU.releaseRp);
    expect(user.parts).toHaveLength(1);
    expect(user.releases).toBe(1);
});
describe('what goes wrong is told in words', () => {
    it('a refusal, with its triple and what to do: exit code 4', async () => {
        const error = await failure((0, raw_peer_1.associateRj)(1, 1, 7));
        expect(error).toMatchObject({
            code: 'ASSOCIATION_REJECTED',
            exitCode: 4,
            rejection: { result: 1, source: 1, reason: 7 },
            message: `OLDPACS at 127.0.0.1:${peer.port} rejected 1/1/7 (permanent, service user): called AE title not recognized`,
            hint: expect.stringContaining('aeTitle'),
        });
    });
    it('an abort: exit code 4', async () => {
        expect(await failure((0, wire_1.abort)(2, 0))).toMatchObject({ code: 'ASSOCIATION_ABORTED', exitCode: 4 });
    });
    it.each([
        ['a context that was not proposed', (0, raw_peer_1.associateAc)({ contexts: [{ id: 5, transferSyntax: '1.2' }] })],
        [
            'a transfer syntax that was not proposed',
            (0, raw_peer_1.associateAc)({ contexts: [{ id: 1, transferSyntax: '1.2.9' }] }),
        ],
        [
            'a context answered twice',
            (0, raw_peer_1.associateAc)({ contexts: [1, 1].map((id) => ({ id, transferSyntax: '1.2.840.10008.1.2' })) }),
        ],
        ['a maximum length of 7', (0, raw_peer_1.associateAc)({ maximumLength: 7 })],
        ['a request for an answer', (0, wire_1.pdu)(1, (0, raw_peer_1.associateAc)().subarray(6))],
        ['P-DATA before the answer', (0, wire_1.pData)((0, wire_1.pdv)(1, true, true, (0, wire_1.echoRq)(1)))],
        ['HTTP', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ])('%s is answered with A-ABORT: exit code 4', async (_, bytes) => {
        let wire;
        const error = await failure((answering) => {
            wire = answering;
            void answering.send(bytes);
        });
        expect(error).toMatchObject({ code: 'ASSOCIATION_ABORTED', exitCode: 4 });
        const { type, body } = await wire.nextPdu();
        expect([type, body[2]]).toEqual([wire_1.PDU.abort, 2]);
        clock.advance(upper_layer_1.TIMEOUTS.abortGrace);
        await wire.untilClosed();
    });
    it('a connection that closes or resets: exit code 5', async () => {
        expect(await failure((wire) => wire.destroy())).toMatchObject({ code: 'CONNECTION_LOST', exitCode: 5 });
        expect(await failure((wire) => wire.reset())).toMatchObject({
            code: 'CONNECTION_LOST',
            message: expect.stringContaining('ECONNRESET'),
        });
    });
    it('nobody on the port: exit code 5', async () => {
        const { port } = peer;
        await peer.close();
        await expect((0, requestor_1.connect)(options({ port }))).rejects.toMatchObject({
            code: 'CONNECT_FAILED',
            exitCode: 5,
            message: `OLDPACS at 127.0.0.1:${port} can't be reached: ECONNREFUSED`,
            hint: expect.stringContaining('nothing listens'),
        });
    });
    it('no connection within its time: exit code 5', async () => {
        // A socket that never gets anywhere.
        const socket = new node_net_1.default.Socket();
        const pending = (0, requestor_1.connect)(options({ openSocket: () => ({ socket, ready: 'connect' }) }));
        clock.advance(4999);
        expect(socket.destroyed).toBe(false);
        clock.advance(1);
        await expect(pending).rejects.toMatchObject({ code: 'CONNECT_TIMEOUT', exitCode: 5 });
        expect(socket.destroyed).toBe(true);
    });
    it('no answer within its time: A-ABORT, exit code 5', async () => {
        const pending = (0, requestor_1.connect)(options());
        pending.catch(() => undefined);
        const wire = await peer.caller();
        await wire.nextPdu();
        clock.advance(upper_layer_1.TIMEOUTS.association);
        await expect(pending).rejects.toMatchObject({ code: 'ASSOCIATION_TIMEOUT', exitCode: 5 });
        expect((await wire.nextPdu()).type).toBe(wire_1.PDU.abort);
        clock.advance(upper_layer_1.TIMEOUTS.abortGrace);
        await wire.untilClosed();
    });
    it.each([
        ['a title of 17 characters', { calledAETitle: 'A2345678901234567' }],
        ['an empty title', { callingAETitle: '  ' }],
        ['a backslash', { callingAETitle: 'A\\B' }],
        ['no context', { contexts: [] }],
        ['an even id', { contexts: [{ id: 2, abstractSyntax: '1.2', transferSyntaxes: ['1.2'] }] }],
    ])('%s: nothing is sent, exit code 2', async (_, more) => {
        await expect((0, requestor_1.connect)(options(more))).rejects.toMatchObject({ code: 'ASSOCIATION_INVALID', exitCode: 2 });
    });
    it('a caller that gives up', async () => {
        await expect((0, requestor_1.connect)(options({ signal: AbortSignal.abort() }))).rejects.toMatchObject({
            code: 'CONNECT_CANCELLED',
        });
        const controller = new AbortController();
        const pending = (0, requestor_1.connect)(options({ signal: controller.signal }));
        const wire = await peer.caller();
        controller.abort();
        await expect(pending).rejects.toMatchObject({ code: 'CONNECT_CANCELLED' });
        await wire.untilClosed();
    });
});
it('a signal does nothing once the association stands', async () => {
    const controller = new AbortController();
    const { association, user } = await established({ signal: controller.signal });
    controller.abort();
    await (0, upper_layer_1.settle)();
    expect(user.ends).toEqual([]);
    association.abort(0, 0, 'done');
});
describe('ending', () => {
    it('releases and closes the connection itself (AR-3)', async () => {
        const { association, wire, user } = await established();
        const over = association.release();
        expect((await wire.nextPdu()).type).toBe(wire_1.PDU.releaseRq);
        await wire.send((0, raw_peer_1.releaseRp)());
        await over;
        expect(await wire.untilClosed()).toHaveLength(0);
        expect(user.ends).toEqual([{ kind: 'released', reason: 'released' }]);
    });
    it('UL-07: the requestor in a collision answers first, then waits for RP (Sta9, Sta11)', async () => {
        const { association, wire, user } = await established();
        const over = association.release();
        expect((await wire.nextPdu()).type).toBe(wire_1.PDU.releaseRq);
        await wire.send((0, wire_1.releaseRq)());
        expect((await wire.nextPdu()).type).toBe(wire_1.PDU.releaseRp);
        await (0, upper_layer_1.settle)();
        expect(user.ends).toEqual([]);
        await wire.send((0, raw_peer_1.releaseRp)());
        await over;
        await wire.untilClosed();
        expect(user.ends).toMatchObject([{ kind: 'released' }]);
        expect(user.releases).toBe(0);
    });
    it.each([
        ['another request in a collision', (wire) => wire.send(Buffer.concat([(0, wire_1.releaseRq)(), (0, wire_1.releaseRq)()]))],
        [
            'P-DATA in a collision',
            (wire) => wire.send(Buffer.concat([(0, wire_1.releaseRq)(), (0, wire_1.pData)((0, wire_1.pdv)(1, true, true, (0, wire_1.echoRq)(1)))])),
        ],
    ])('UL-04: aborts 2/2 on %s', async (_, act) => {
        const { association, wire, user } = await established();
        const over = association.release();
        await wire.nextPdu();
        await act(wire);
        expect((await wire.nextPdu()).type).toBe(wire_1.PDU.releaseRp);
        const { type, body } = await wire.nextPdu();
        expect([type, body[2], body[3]]).toEqual([wire_1.PDU.abort, 2, 2]);
        await over;
        expect(user.ends).toMatchObject([{ kind: 'aborted-by-us' }]);
    });
    it('release never rejects: abort and loss end it too', async () => {
        const first = await established();
        const aborted = first.association.release();
        await first.wire.send((0, wire_1.abort)());
        await aborted;
        expect(first.user.ends).toMatchObject([{ kind: 'aborted-by-peer' }]);
        const second = await established();
        const lost = second.association.release();
        second.wire.destroy();
        await lost;
        expect(second.user.ends).toMatchObject([{ kind: 'connection-lost' }]);
    });
    it('aborts, and destroys the socket after a grace where the peer keeps it', async () => {
        const { association, wire } = await established();
        association.abort(0, 0, 'enough');
        expect((await wire.nextPdu()).body).toEqual(Buffer.alloc(4));
        await (0, upper_layer_1.settle)();
        expect(wire.closed).toBe(false);
        clock.advance(upper_layer_1.TIMEOUTS.abortGrace);
        await wire.untilClosed();
    });
    it('keeps the promise of its end', async () => {
        const { association, wire } = await established();
        wire.reset();
        await (0, upper_layer_1.eventually)(() => true);
        expect(await association.closed).toEqual({ kind: 'connection-lost', reason: 'ECONNRESET' });
    });
});
