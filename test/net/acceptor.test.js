"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
const node_fs_1 = require("node:fs");
const raw_peer_1 = require("../support/raw-peer");
const upper_layer_1 = require("../support/upper-layer");
const wire_1 = require("../support/wire");
let node;
const wires = [];
beforeEach(async () => {
    node = await upper_layer_1.Acceptance.start();
});
afterEach(async () => {
    for (const wire of wires.splice(0))
        wire.destroy();
    await node.close();
    expect(node.listener.sockets).toBe(0);
    // A timer left behind would hold the association that it belongs to.
    expect(node.clock.pending).toBe(0);
});
async function connect() {
    const wire = await wire_1.Wire.connect(node.port);
    wires.push(wire);
    return wire;
}
async function associate(fields = {}) {
    const index = node.users.length;
    const { wire, ac } = await wire_1.Wire.associate(node.port, fields);
    wires.push(wire);
    return { wire, ac, user: await node.user(index) };
}
async function answerTo(...bytes) {
    const wire = await connect();
    await wire.send(Buffer.concat(bytes));
    const { type, body } = await wire.nextPdu();
    return { wire, answer: [type, ...body.subarray(1)] };
}
async function nextOf(wire) {
    const { type, body } = await wire.nextPdu();
    return [type, ...body.subarray(1)];
}
const RJ = wire_1.PDU.associateRj;
const AB = wire_1.PDU.abort;
const echo = (contextId = 1) => (0, wire_1.pData)((0, wire_1.pdv)(contextId, true, true, (0, wire_1.echoRq)(1)));
describe('awaiting a request (Sta2)', () => {
    it('T09: closes a silent connection when ARTIM expires, without a word', async () => {
        const wire = await connect();
        await (0, upper_layer_1.eventually)(() => node.listener.sockets === 1);
        node.clock.advance(upper_layer_1.TIMEOUTS.association - 1);
        await (0, upper_layer_1.settle)();
        expect(wire.closed).toBe(false);
        node.clock.advance(1);
        expect(await wire.untilClosed()).toHaveLength(0);
        await node.gone();
        expect(node.violations).toEqual([]);
    });
    it('is not kept alive by a request that comes byte by byte', async () => {
        const wire = await connect();
        const bytes = (0, wire_1.associateRq)();
        for (let at = 0; at < 20; at++) {
            await wire.send(bytes.subarray(at, at + 1));
            await (0, upper_layer_1.settle)(5);
            node.clock.advance(upper_layer_1.TIMEOUTS.association / 20);
        }
        expect(await wire.untilClosed()).toHaveLength(0);
        await node.gone();
        expect(node.violations).toMatchObject([
            { what: expect.stringMatching(/20 bytes came/), abort: undefined },
        ]);
    });
    it.each([
        ['P-DATA-TF', echo(), undefined],
        ['A-RELEASE-RQ', (0, wire_1.releaseRq)(), undefined],
        ['A-ASSOCIATE-AC', (0, wire_1.pdu)(2, (0, wire_1.associateRq)().subarray(6)), undefined],
        ['100 bytes 55', Buffer.alloc(100, 0x55), undefined],
        ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 'HTTP'],
        ['TLS', Buffer.from('1603010200010001fc0303', 'hex'), 'TLS'],
    ])('T10: aborts with source 0 on %s, and closes', async (_, bytes, looksLike) => {
        const { wire, answer } = await answerTo(bytes);
        expect(answer).toEqual([AB, 0, 0, 0]);
        await wire.send(Buffer.concat([(0, wire_1.associateRq)(), echo()]));
        await (0, upper_layer_1.settle)();
        node.clock.advance(upper_layer_1.TIMEOUTS.abortGrace);
        await wire.untilClosed();
        await node.gone();
        expect(node.users).toHaveLength(0);
        expect(node.violations).toMatchObject([{ looksLike, abort: { source: 0, reason: 0 } }]);
    });
    it('closes on A-ABORT and on the close of the connection, without an answer', async () => {
        const wire = await connect();
        await wire.send((0, wire_1.abort)());
        expect(await wire.untilClosed()).toHaveLength(0);
        (await connect()).destroy();
        (await connect()).reset();
        await node.gone();
    });
    it.each([
        ['an item longer than the PDU', (0, wire_1.associateRq)({ items: [Buffer.from([0x7f, 0, 0xff, 0xff])] })],
        [
            'an even context id',
            (0, wire_1.associateRq)({ contexts: [{ id: 2, abstractSyntax: '1.2', transferSyntaxes: ['1.2'] }] }),
        ],
        [
            'a context id twice',
            (0, wire_1.associateRq)({
                contexts: [1, 1].map((id) => ({ id, abstractSyntax: '1.2', transferSyntaxes: ['1.2'] })),
            }),
        ],
        ['a request of 4 GiB', (0, wire_1.pdu)(1, Buffer.alloc(10), 0xffffffff)],
    ])('UL-11, UL-20: aborts 2/6 on %s', async (_, bytes) => {
        const { answer } = await answerTo(bytes);
        expect(answer).toEqual([AB, 0, 2, 6]);
        expect(node.users).toHaveLength(0);
    });
    it('takes no memory for lengths that are only announced', async () => {
        const before = process.memoryUsage().rss;
        for (const head of [(0, wire_1.pdu)(1, Buffer.alloc(10), 0xffffffff), (0, wire_1.pdu)(4, Buffer.alloc(10), 0xffffffff)]) {
            for (let i = 0; i < 20; i++)
                await answerTo(head);
        }
        expect(process.memoryUsage().rss - before).toBeLessThan(50 * 1024 * 1024);
    });
});
describe('refusals', () => {
    it('T04: another application context is 1/1/2; the connection closes by ARTIM', async () => {
        const { wire, answer } = await answerTo((0, wire_1.associateRq)({ applicationContext: '1.2.3' }));
        expect(answer).toEqual([RJ, 1, 1, 2]);
        node.clock.advance(upper_layer_1.TIMEOUTS.association - 1);
        await (0, upper_layer_1.settle)();
        expect(wire.closed).toBe(false);
        node.clock.advance(1);
        await wire.untilClosed();
        expect(node.rejected).toMatchObject([
            { callingAETitle: 'TESTER', calledAETitle: 'NODE', rejection: { result: 1, source: 1, reason: 2 } },
        ]);
    });
    it('T05: protocol version without bit 0 is 1/2/2; other bits are not tested', async () => {
        expect((await answerTo((0, wire_1.associateRq)({ protocolVersion: 2 }))).answer).toEqual([RJ, 1, 2, 2]);
        await associate({ protocolVersion: 3 });
        await associate({ protocolVersion: 0xffff });
    });
    it.each([1, 2, 3, 4, 5, 6, 7])('UL-23: maximum length %i is 1/2/1', async (maximumLength) => {
        expect((await answerTo((0, wire_1.associateRq)({ maximumLength }))).answer).toEqual([RJ, 1, 2, 1]);
        expect(node.rejected[0]?.why).toContain(String(maximumLength));
    });
    it('UL-26: titles that are none are 1/1/7 and 1/1/3, and their bytes reach no log', async () => {
        for (const called of [' ', 'A\\B', 'A\nB', 'A\x1b[2J', 'Ü']) {
            expect((await answerTo((0, wire_1.associateRq)({ called }))).answer).toEqual([RJ, 1, 1, 7]);
        }
        for (const calling of [' ', 'A\\B', '\x07BELL', '\x9b2J']) {
            expect((await answerTo((0, wire_1.associateRq)({ calling }))).answer).toEqual([RJ, 1, 1, 3]);
        }
        expect(JSON.stringify(node.rejected)).not.toMatch(/\\u00|\\n|[\x7f-\x9f]/);
    });
    it('gives the triple of the policy, with its reason for the log', async () => {
        node.policy = {
            ...upper_layer_1.OPEN_POLICY,
            decideAccess: () => ({
                accepted: false,
                rejection: { result: 1, source: 1, reason: 3 },
                why: 'add it',
            }),
        };
        expect((await answerTo((0, wire_1.associateRq)())).answer).toEqual([RJ, 1, 1, 3]);
        expect(node.rejected).toMatchObject([{ why: 'add it', remoteAddress: '127.0.0.1' }]);
    });
    it('UL-17: is 2/3/1 while the node is unavailable or drains; what is in goes on', async () => {
        node.unavailable = 'recovering';
        expect((await answerTo((0, wire_1.associateRq)())).answer).toEqual([RJ, 2, 3, 1]);
        expect(node.rejected.at(-1)?.why).toBe('recovering');
        node.unavailable = undefined;
        const { wire, user } = await associate();
        node.listener.drain();
        expect((await answerTo((0, wire_1.associateRq)())).answer).toEqual([RJ, 2, 3, 1]);
        await wire.send(echo());
        await (0, upper_layer_1.eventually)(() => user.parts.length === 1);
        await wire.release();
    });
    it('UL-05: executes nothing that comes behind a refusal, and aborts on a second request', async () => {
        let asked = 0;
        node.policy = {
            ...upper_layer_1.OPEN_POLICY,
            decideAccess: () => {
                asked += 1;
                return { accepted: false, rejection: { result: 1, source: 1, reason: 3 }, why: '' };
            },
        };
        const { wire } = await answerTo((0, wire_1.associateRq)(), echo(), echo(), (0, wire_1.releaseRq)());
        await (0, upper_layer_1.settle)();
        expect(wire.closed).toBe(false);
        for (let i = 0; i < 5; i++)
            await wire.send((0, wire_1.associateRq)());
        expect(await nextOf(wire)).toEqual([AB, 0, 2, 2]);
        await wire.send((0, wire_1.abort)());
        expect(await wire.untilClosed()).toHaveLength(0);
        expect(asked).toBe(1);
        expect(node.users).toHaveLength(0);
    });
});
describe('negotiation on the wire', () => {
    it('T22, T26: answers with 51H, 52H and 55H alone where nothing else was proposed', async () => {
        const { ac } = await associate({
            reserved: 0xff,
            items: [(0, wire_1.item)(0x7f, 'x')],
            userItems: [(0, wire_1.item)(0x5f, 'y')],
        });
        expect(ac.itemTypes).toEqual([0x10, 0x21, 0x50]);
        expect(ac.userItems.map(({ type, content }) => [type, content.toString('latin1')])).toEqual([
            [0x51, '\0\x02\0\0'],
            [0x52, '2.25.42'],
            [0x55, 'TEST_1'],
        ]);
    });
    it('T23: returns the titles byte for byte', async () => {
        const { ac, user } = await associate({ called: ' NODE', calling: '  TESTER ' });
        expect(ac.called.toString('latin1')).toBe(' NODE'.padEnd(16));
        expect(ac.calling.toString('latin1')).toBe('  TESTER '.padEnd(16));
        expect(user.association).toMatchObject({ calledAETitle: 'NODE', callingAETitle: 'TESTER' });
    });
    it('UL-20, UL-21: answers 128 contexts, out of order, each alone', async () => {
        const contexts = Array.from({ length: 128 }, (_, index) => ({
            id: 255 - 2 * index,
            abstractSyntax: '1.2.840.10008.1.1',
            transferSyntaxes: index % 3 === 0 ? [] : ['1.2.840.10008.1.2', '1.2.840.10008.1.2.1'],
        }));
        const { ac, user } = await associate({ contexts });
        expect([...ac.contexts.keys()]).toEqual(contexts.map(({ id }) => id));
        for (const [index, { result, transferSyntaxes }] of [...ac.contexts.values()].entries()) {
            expect([result, transferSyntaxes]).toEqual([index % 3 === 0 ? 4 : 0, ['1.2.840.10008.1.2']]);
        }
        expect(user.association.contexts.size).toBe(85);
    });
    it('T25: lowers window and roles to what was proposed', async () => {
        node.policy = {
            ...upper_layer_1.OPEN_POLICY,
            negotiateRoles: () => [
                { sopClass: '1.2.3', scu: true, scp: true },
                { sopClass: '1.2.9', scu: true, scp: true },
            ],
        };
        const { ac, user } = await associate({
            userItems: [(0, wire_1.item)(0x53, Buffer.from([0, 5, 0, 5])), (0, raw_peer_1.roleItem)('1.2.3', 0, 1)],
        });
        const items = ac.userItems.filter(({ type }) => type === 0x53 || type === 0x54);
        expect(items.map(({ content }) => content)).toEqual([
            Buffer.from([0, 5, 0, 1]),
            Buffer.concat([(0, raw_peer_1.counted)('1.2.3'), Buffer.from([0, 1])]),
        ]);
        expect(user.association.asyncWindow).toEqual({ invoked: 5, performed: 1 });
        expect(user.association.roles).toEqual([{ sopClass: '1.2.3', scu: false, scp: true }]);
    });
    it('UL-31: returns 59H only where a response was asked for', async () => {
        const decision = { accepted: true, peer: upper_layer_1.PEER, userIdentityResponse: Buffer.from('ok') };
        node.policy = { ...upper_layer_1.OPEN_POLICY, decideAccess: () => decision };
        const identity = (asked) => (0, wire_1.item)(0x58, Buffer.concat([Buffer.from([1, asked]), (0, raw_peer_1.counted)('user'), (0, raw_peer_1.counted)('')]));
        const asked = await associate({ userItems: [identity(1)] });
        expect(asked.ac.userItems.find(({ type }) => type === 0x59)?.content).toEqual((0, raw_peer_1.counted)('ok'));
        const silent = await associate({ userItems: [identity(0)] });
        expect(silent.ac.userItems.some(({ type }) => type === 0x59)).toBe(false);
        const without = await associate();
        expect(without.ac.userItems.some(({ type }) => type === 0x59)).toBe(false);
    });
    it('T17: sends to a peer without a limit in PDUs of 131072, to one with 8 in twos', async () => {
        const unlimited = await associate({ maximumLength: 0 });
        expect(unlimited.user.association.sendLimit).toBe(131072);
        const { wire, user } = await associate({ maximumLength: 8 });
        void user.association.sendFragment(1, false, Buffer.from('abcdefg'), true);
        for (const [part, control] of [
            ['ab', 0],
            ['cd', 0],
            ['ef', 0],
            ['g', 2],
        ]) {
            const { type, body } = await wire.nextPdu();
            expect([type, body.length <= 8, body[5], body.toString('latin1', 6)]).toEqual([4, true, control, part]);
        }
    });
});
describe('a decision that takes its time (Sta3)', () => {
    let decide;
    let fail;
    beforeEach(() => {
        node.policy = {
            ...upper_layer_1.OPEN_POLICY,
            decideAccess: () => new Promise((resolve, reject) => {
                decide = resolve;
                fail = reject;
            }),
        };
    });
    async function waiting() {
        const wire = await connect();
        await wire.send((0, wire_1.associateRq)());
        await (0, upper_layer_1.eventually)(() => node.listener.sockets === 1);
        await (0, upper_layer_1.settle)();
        return wire;
    }
    it('is answered when it is there', async () => {
        const wire = await waiting();
        decide({ accepted: true, peer: upper_layer_1.PEER });
        expect((await wire.nextPdu()).type).toBe(wire_1.PDU.associateAc);
        const user = await node.user(0);
        expect(user.association.peer).toBe(upper_layer_1.PEER);
        await wire.send(echo());
        await (0, upper_layer_1.eventually)(() => user.parts.length === 1);
    });
    it('executes nothing that comes before it: P-DATA is a violation', async () => {
        const wire = await waiting();
        await wire.send(echo());
        expect(await nextOf(wire)).toEqual([AB, 0, 2, 2]);
        decide({ accepted: true, peer: upper_layer_1.PEER });
        await (0, upper_layer_1.settle)();
        expect(node.users).toHaveLength(0);
    });
    it('is void when the peer aborts or leaves meanwhile, and frees the slot', async () => {
        node.limits.associations = 1;
        for (const leave of [(wire) => wire.send((0, wire_1.abort)()), (wire) => wire.reset()]) {
            const wire = await waiting();
            await leave(wire);
            await node.gone();
            decide({ accepted: true, peer: upper_layer_1.PEER });
            await (0, upper_layer_1.settle)();
        }
        expect(node.users).toHaveLength(0);
        node.policy = upper_layer_1.OPEN_POLICY;
        await associate();
    });
    it('holds its slot: decisions under way count', async () => {
        node.limits.associations = 1;
        const wire = await waiting();
        expect((await answerTo((0, wire_1.associateRq)())).answer).toEqual([RJ, 2, 3, 2]);
        decide({ accepted: false, rejection: { result: 1, source: 1, reason: 3 }, why: '' });
        expect(await nextOf(wire)).toEqual([RJ, 1, 1, 3]);
        node.policy = upper_layer_1.OPEN_POLICY;
        await associate();
    });
    it('is refused 2/3/1 when it is overdue, and 2/2/1 when it fails', async () => {
        const late = await waiting();
        node.clock.advance(upper_layer_1.TIMEOUTS.association);
        expect(await nextOf(late)).toEqual([RJ, 2, 3, 1]);
        late.destroy();
        await node.gone();
        const failing = await waiting();
        fail(new Error('no directory'));
        expect(await nextOf(failing)).toEqual([RJ, 2, 2, 1]);
        expect(node.faults).toMatchObject([{ message: 'no directory' }]);
    });
    it('survives a policy that throws at any of its questions', async () => {
        const broken = () => {
            throw new Error('broken policy');
        };
        const userItems = [(0, raw_peer_1.roleItem)('1.2', 1, 1), (0, wire_1.item)(0x56, (0, raw_peer_1.counted)('1.2'))];
        for (const key of ['decideAccess', 'negotiateContexts', 'negotiateRoles', 'negotiateExtended']) {
            node.policy = { ...upper_layer_1.OPEN_POLICY, [key]: broken };
            expect((await answerTo((0, wire_1.associateRq)({ userItems }))).answer).toEqual([RJ, 2, 2, 1]);
        }
        expect(node.faults).toHaveLength(4);
        node.policy = upper_layer_1.OPEN_POLICY;
        await associate({ userItems });
    });
});
describe('established (Sta6)', () => {
    it('T18: takes a command byte by byte, in three PDVs over two PDUs, one of them empty', async () => {
        const { wire, user } = await associate();
        const command = (0, wire_1.echoRq)(7);
        const bytes = Buffer.concat([
            (0, wire_1.pData)((0, wire_1.pdv)(1, true, false, command.subarray(0, 11)), (0, wire_1.pdv)(1, true, false, Buffer.alloc(0))),
            (0, wire_1.pData)((0, wire_1.pdv)(1, true, true, command.subarray(11))),
        ]);
        for (const byte of (0, raw_peer_1.slices)(bytes, 1)) {
            await wire.send(byte);
            await (0, upper_layer_1.settle)(1);
        }
        await (0, upper_layer_1.eventually)(() => user.parts.length === 1);
        expect(user.parts[0]).toEqual({ contextId: 1, command: true, data: command });
        expect(user.fragments).toEqual(['command 1', 'command 1', 'command 1 last']);
    });
    it('takes command and data in one PDU, and tests no reserved bit of the control header', async () => {
        const { wire, user } = await associate();
        const part = (0, wire_1.pdv)(1, false, true, Buffer.from('data'));
        part[5] = 0xfe;
        await wire.send((0, wire_1.pData)((0, wire_1.pdv)(1, true, true, Buffer.from('cmd')), part));
        await (0, upper_layer_1.eventually)(() => user.parts.length === 2);
        expect(user.parts.map(({ command, data }) => [command, data.toString()])).toEqual([
            [true, 'cmd'],
            [false, 'data'],
        ]);
    });
    it('T11: aborts 2/1 on a PDU type that does not exist', async () => {
        const { wire, user } = await associate();
        await wire.send((0, wire_1.pdu)(9, Buffer.alloc(4)));
        expect(await nextOf(wire)).toEqual([AB, 0, 2, 1]);
        expect(user.ends).toMatchObject([{ kind: 'aborted-by-us', reason: expect.stringMatching(/09H/) }]);
    });
    it.each([
        ['A-ASSOCIATE-RQ', (0, wire_1.associateRq)()],
        ['A-ASSOCIATE-AC', (0, wire_1.pdu)(2, (0, wire_1.associateRq)().subarray(6))],
        ['A-ASSOCIATE-RJ', (0, wire_1.pdu)(3, Buffer.from([0, 1, 1, 1]))],
        ['A-RELEASE-RP', (0, wire_1.pdu)(6, Buffer.alloc(4))],
    ])('UL-04: aborts 2/2 on %s', async (name, bytes) => {
        const { wire, user } = await associate();
        await wire.send(bytes);
        expect(await nextOf(wire)).toEqual([AB, 0, 2, 2]);
        await wire.send(echo());
        node.clock.advance(upper_layer_1.TIMEOUTS.abortGrace);
        await wire.untilClosed();
        expect(user.ends).toEqual([{ kind: 'aborted-by-us', reason: `unexpected ${name} in Sta6` }]);
        expect(user.parts).toEqual([]);
        expect(node.violations).toMatchObject([{ callingAETitle: 'TESTER', abort: { source: 2, reason: 2 } }]);
    });
    it.each([
        ['T15: more than we announced', (0, wire_1.pdu)(4, Buffer.alloc(0), 131074), 6],
        ['UL-11: 4 GiB', (0, wire_1.pdu)(4, Buffer.alloc(0), 0xffffffff), 6],
        ['a PDV that overruns its PDU', (0, wire_1.pdu)(4, Buffer.from([0, 0, 0, 9, 1, 3])), 6],
        ['T20: context 99', echo(99), 6],
    ])('aborts with source 2 on %s', async (_, bytes, reason) => {
        const { wire, user } = await associate();
        await wire.send(bytes);
        expect(await nextOf(wire)).toEqual([AB, 0, 2, reason]);
        expect(user.ends).toHaveLength(1);
        expect(user.fragments).toEqual([]);
    });
    it('T20: aborts on a context that was refused', async () => {
        const { wire } = await associate({
            contexts: [
                { id: 1, abstractSyntax: '1.2', transferSyntaxes: ['1.2'] },
                { id: 3, abstractSyntax: '1.2', transferSyntaxes: [] },
            ],
        });
        await wire.send(echo(3));
        expect(await nextOf(wire)).toEqual([AB, 0, 2, 6]);
    });
    it('UL-08: never answers A-ABORT, and drops what came with it', async () => {
        const { wire, user } = await associate();
        await wire.send(Buffer.concat([(0, wire_1.abort)(2, 1), echo()]));
        expect(await wire.untilClosed()).toHaveLength(0);
        expect(user.ends).toMatchObject([
            { kind: 'aborted-by-peer', reason: expect.stringMatching(/unrecognized PDU/) },
        ]);
        expect(user.parts).toEqual([]);
    });
    it('tells a lost connection, closed or reset', async () => {
        const closed = await associate();
        closed.wire.destroy();
        await (0, upper_layer_1.eventually)(() => closed.user.ends.length === 1);
        expect(closed.user.ends).toEqual([{ kind: 'connection-lost', reason: 'connection closed by the peer' }]);
        const reset = await associate();
        reset.wire.reset();
        await (0, upper_layer_1.eventually)(() => reset.user.ends.length === 1);
        expect(reset.user.ends).toEqual([{ kind: 'connection-lost', reason: 'ECONNRESET' }]);
        await expect(reset.user.association.sendFragment(1, true, Buffer.from('x'), true)).rejects.toMatchObject({
            code: 'ASSOCIATION_ENDED',
        });
    });
    it('survives a user that throws, in any of its calls', async () => {
        for (const method of ['fragmentStart', 'fragmentData', 'fragmentEnd', 'releaseRequested']) {
            const { wire, user } = await associate();
            user[method] = () => {
                throw new Error(method);
            };
            await wire.send(Buffer.concat([echo(), (0, wire_1.releaseRq)()]));
            expect(await nextOf(wire)).toEqual([AB, 0, 2, 0]);
            await wire.send((0, wire_1.abort)());
            await wire.untilClosed();
        }
        const { wire, user } = await associate();
        user.ended = () => {
            throw new Error('ended');
        };
        wire.destroy();
        await user.association.closed;
        expect(node.faults.map((fault) => fault.message)).toEqual([
            'fragmentStart',
            'fragmentData',
            'fragmentEnd',
            'releaseRequested',
            'ended',
        ]);
    });
});
describe('release (UL-06)', () => {
    it('T13: answers, frees the slot, and closes at ARTIM where the peer does not', async () => {
        node.limits.associations = 1;
        const { wire, user } = await associate();
        await wire.send((0, wire_1.releaseRq)());
        expect((await wire.nextPdu()).type).toBe(wire_1.PDU.releaseRp);
        expect(user.ends).toEqual([{ kind: 'released', reason: 'released' }]);
        await associate();
        node.clock.advance(upper_layer_1.TIMEOUTS.association - 1);
        await (0, upper_layer_1.settle)();
        expect(wire.closed).toBe(false);
        node.clock.advance(1);
        await wire.untilClosed();
    });
    it('may still send until it answers (AR-7)', async () => {
        const { wire, user } = await associate();
        user.answersRelease = false;
        await wire.send((0, wire_1.releaseRq)());
        await (0, upper_layer_1.eventually)(() => user.releases === 1);
        await user.association.sendFragment(1, true, Buffer.from('last words'), true);
        user.association.answerRelease();
        expect((await wire.nextPdu()).body.toString('latin1', 6)).toBe('last words');
        expect((await wire.nextPdu()).type).toBe(wire_1.PDU.releaseRp);
    });
    it.each([
        ['P-DATA-TF', echo()],
        ['A-RELEASE-RQ', (0, wire_1.releaseRq)()],
    ])('aborts 2/2 on %s behind the request', async (_, bytes) => {
        const { wire, user } = await associate();
        user.answersRelease = false;
        await wire.send(Buffer.concat([(0, wire_1.releaseRq)(), bytes]));
        expect(await nextOf(wire)).toEqual([AB, 0, 2, 2]);
        expect(user.parts).toEqual([]);
    });
    it('ignores what comes behind its answer (Sta13)', async () => {
        const { wire, user } = await associate();
        await wire.send(Buffer.concat([(0, wire_1.releaseRq)(), echo(), (0, wire_1.releaseRq)()]));
        expect((await wire.nextPdu()).type).toBe(wire_1.PDU.releaseRp);
        await (0, upper_layer_1.settle)();
        expect(user.parts).toEqual([]);
        expect(wire.closed).toBe(false);
    });
});
it('T27: 500 aborted associations leave nothing behind', async () => {
    const handles = () => (0, node_fs_1.readdirSync)('/proc/self/fd').length;
    await associate().then(({ wire }) => wire.destroy());
    await node.gone();
    const before = handles();
    for (let round = 0; round < 50; round++) {
        await Promise.all(Array.from({ length: 10 }, async (_, index) => {
            const { wire } = await wire_1.Wire.associate(node.port);
            await wire.send(index % 2 === 0 ? (0, wire_1.abort)() : Buffer.concat([echo(), (0, wire_1.abort)(2, 0)]));
            await wire.untilClosed();
            wire.destroy();
        }));
    }
    await node.gone();
    expect(node.users).toHaveLength(501);
    expect(node.users.every(({ ends }) => ends.length === 1)).toBe(true);
    await (0, upper_layer_1.eventually)(() => handles() <= before + 1, 'the close of every handle');
    await associate();
});
it('parses its own answer', async () => {
    const wire = await connect();
    await wire.send((0, wire_1.associateRq)());
    const { body } = await wire.nextPdu();
    expect((0, wire_1.parseAssociateAc)(body).maximumLength).toBe(131072);
});
