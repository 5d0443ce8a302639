"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const fast_check_1 = __importDefault(require("fast-check"));
const pdu_1 = require("../../src/net/pdu");
const pdu_items_1 = require("../../src/net/pdu-items");
const raw_peer_1 = require("../support/raw-peer");
const wire_1 = require("../support/wire");
function decode(bytes) {
    expect(bytes.readUInt32BE(2)).toBe(bytes.length - 6);
    return (0, pdu_1.decodePdu)(bytes[0], bytes.subarray(6));
}
function request(bytes) {
    const pdu = decode(bytes);
    if (pdu.type !== 'associate-rq')
        throw new Error(pdu.type);
    return pdu;
}
describe('decoding', () => {
    it('reads every field of an A-ASSOCIATE-RQ', () => {
        const pdu = request((0, wire_1.associateRq)({
            called: ' NODE',
            calling: 'TESTER',
            protocolVersion: 3,
            maximumLength: 12345,
            contexts: [
                { id: 5, abstractSyntax: '1.2.3', transferSyntaxes: ['1.2.840.10008.1.2', '1.2.840.10008.1.2.1'] },
                { id: 1, abstractSyntax: '1.2.4', transferSyntaxes: [] },
            ],
            userItems: [
                (0, wire_1.item)(0x53, Buffer.from([0, 5, 0, 0])),
                (0, raw_peer_1.roleItem)('1.2.3', 1, 0),
                (0, wire_1.item)(0x55, 'VERSION 1\0'),
                (0, wire_1.item)(0x56, Buffer.concat([(0, raw_peer_1.counted)('1.2.3'), Buffer.from([1, 0, 1])])),
                (0, wire_1.item)(0x57, Buffer.concat([(0, raw_peer_1.counted)('1.2.5'), (0, raw_peer_1.counted)('1.2.6'), (0, raw_peer_1.counted)((0, raw_peer_1.counted)('1.2.7'))])),
                (0, wire_1.item)(0x58, Buffer.concat([Buffer.from([2, 1]), (0, raw_peer_1.counted)('user'), (0, raw_peer_1.counted)('secret')])),
            ],
        }));
        expect(pdu.protocolVersion).toBe(3);
        expect(pdu.addressing.toString('latin1', 0, 16)).toBe(' NODE           ');
        expect((0, pdu_1.calledTitle)(pdu.addressing)).toBe('NODE');
        expect((0, pdu_1.callingTitle)(pdu.addressing)).toBe('TESTER');
        expect(pdu.contexts).toEqual([
            { id: 5, abstractSyntax: '1.2.3', transferSyntaxes: ['1.2.840.10008.1.2', '1.2.840.10008.1.2.1'] },
            { id: 1, abstractSyntax: '1.2.4', transferSyntaxes: [] },
        ]);
        expect(pdu.userInformation).toEqual({
            maximumLength: 12345,
            implementationClassUID: '2.25.7701.9',
            implementationVersionName: 'VERSION 1',
            asyncWindow: { invoked: 5, performed: 0 },
            roles: [{ sopClass: '1.2.3', scu: true, scp: false }],
            extendedNegotiation: [{ sopClass: '1.2.3', information: Buffer.from([1, 0, 1]) }],
            commonExtendedNegotiation: [
                { sopClass: '1.2.5', serviceClass: '1.2.6', relatedGeneralClasses: ['1.2.7'] },
            ],
            userIdentity: {
                type: 2,
                positiveResponseRequested: true,
                primary: Buffer.from('user'),
                secondary: Buffer.from('secret'),
            },
            userIdentityResponse: undefined,
        });
    });
    it('skips unknown items at every level and tests no reserved byte (T22)', () => {
        const plain = request((0, wire_1.associateRq)());
        const odd = request((0, wire_1.associateRq)({ reserved: 0xff, items: [(0, wire_1.item)(0x7f, 'x'), (0, wire_1.item)(0x00, '')], userItems: [(0, wire_1.item)(0x5f, 'y')] }));
        expect(odd.contexts).toEqual(plain.contexts);
        expect(odd.userInformation).toEqual(plain.userInformation);
        const context = Buffer.concat([
            Buffer.from([1, 9, 9, 9]),
            (0, wire_1.item)(0x77, 'z'),
            (0, wire_1.item)(0x40, '1.2'),
            (0, wire_1.item)(0x30, '1.3'),
        ]);
        expect(request((0, wire_1.associateRq)({ contexts: [], items: [(0, wire_1.item)(0x20, context)] })).contexts).toEqual([
            { id: 1, abstractSyntax: '1.3', transferSyntaxes: ['1.2'] },
        ]);
    });
    it('reads an A-ASSOCIATE-AC, also one whose refused context has no transfer syntax', () => {
        const pdu = decode((0, raw_peer_1.associateAc)({
            contexts: [{ id: 1, transferSyntax: '1.2' }],
            userItems: [(0, wire_1.item)(0x21, ''), (0, wire_1.item)(0x59, (0, raw_peer_1.counted)('ticket'))],
        }));
        expect(pdu).toMatchObject({
            type: 'associate-ac',
            contexts: [{ id: 1, result: 0, transferSyntax: '1.2' }],
            userInformation: { userIdentityResponse: Buffer.from('ticket') },
        });
    });
    it('reads the fixed PDUs', () => {
        expect(decode((0, wire_1.releaseRq)())).toEqual({ type: 'release-rq' });
        expect(decode((0, wire_1.abort)(2, 6))).toEqual({ type: 'abort', source: 2, reason: 6 });
        expect((0, pdu_1.decodePdu)(3, Buffer.from([0, 1, 1, 7]))).toEqual({
            type: 'associate-rj',
            result: 1,
            source: 1,
            reason: 7,
        });
    });
    it('takes trailing NULs and spaces off titles and UIDs', () => {
        const pdu = request((0, wire_1.associateRq)({
            called: 'NODE\0\0',
            contexts: [{ id: 1, abstractSyntax: '1.2\0', transferSyntaxes: ['1.3 '] }],
        }));
        expect((0, pdu_1.calledTitle)(pdu.addressing)).toBe('NODE');
        expect(pdu.contexts[0]).toEqual({ id: 1, abstractSyntax: '1.2', transferSyntaxes: ['1.3'] });
    });
});
describe('what overruns', () => {
    /** Makes the item claim `by` bytes more than it has. */
    function longer(bytes, by = 1, at = 2) {
        const copy = Buffer.from(bytes);
        copy.writeUInt16BE(copy.readUInt16BE(at) + by, at);
        return copy;
    }
    const id = Buffer.from([1, 0, 0, 0]);
    const cases = [
        ['an item its PDU', [], undefined],
        ['an item header its PDU', [Buffer.from([0x10, 0])]],
        ['a context that ends in its id', [(0, wire_1.item)(0x20, Buffer.from([1, 0]))]],
        ['an answered context that ends in its id', [(0, wire_1.item)(0x21, Buffer.from([1, 0]))]],
        ['an abstract syntax its context', [(0, wire_1.item)(0x20, Buffer.concat([id, longer((0, wire_1.item)(0x30, '1.2'))]))]],
        ['a transfer syntax its context', [(0, wire_1.item)(0x20, Buffer.concat([id, longer((0, wire_1.item)(0x40, '1.2'), 60000)]))]],
        ['a transfer syntax its answer', [(0, wire_1.item)(0x21, Buffer.concat([id, longer((0, wire_1.item)(0x40, '1.2'))]))]],
        ['a sub-item header its context', [(0, wire_1.item)(0x20, Buffer.concat([id, Buffer.from([0x30, 0, 0])]))]],
        ...[0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5f].map((type) => [
            `sub-item ${type.toString(16)}H the user information`,
            [(0, wire_1.item)(0x50, longer((0, wire_1.item)(type, Buffer.alloc(4))))],
        ]),
        ['51H with three bytes', [(0, wire_1.item)(0x50, (0, wire_1.item)(0x51, Buffer.alloc(3)))]],
        ['53H with two bytes', [(0, wire_1.item)(0x50, (0, wire_1.item)(0x53, Buffer.alloc(2)))]],
        ['54H: the UID', [(0, wire_1.item)(0x50, (0, wire_1.item)(0x54, Buffer.from([0, 4, 0x31, 0x2e, 0x32])))]],
        ['54H: the roles', [(0, wire_1.item)(0x50, (0, wire_1.item)(0x54, Buffer.concat([(0, raw_peer_1.counted)('1.2'), Buffer.from([1])])))]],
        ['56H: the UID', [(0, wire_1.item)(0x50, (0, wire_1.item)(0x56, Buffer.from([0xff, 0xff, 0x31])))]],
        [
            '57H: the service class',
            [(0, wire_1.item)(0x50, (0, wire_1.item)(0x57, Buffer.concat([(0, raw_peer_1.counted)('1.2'), Buffer.from([0, 9])])))],
        ],
        [
            '57H: the list',
            [(0, wire_1.item)(0x50, (0, wire_1.item)(0x57, Buffer.concat([(0, raw_peer_1.counted)('1.2'), (0, raw_peer_1.counted)('1.3'), longer((0, raw_peer_1.counted)('1.4'), 1, 0)])))],
        ],
        [
            '57H: a UID of the list',
            [
                (0, wire_1.item)(0x50, (0, wire_1.item)(0x57, Buffer.concat([(0, raw_peer_1.counted)('1.2'), (0, raw_peer_1.counted)('1.3'), (0, raw_peer_1.counted)(longer((0, raw_peer_1.counted)('1.4'), 1, 0))]))),
            ],
        ],
        [
            '58H: the primary field',
            [(0, wire_1.item)(0x50, (0, wire_1.item)(0x58, Buffer.concat([Buffer.from([1, 0]), longer((0, raw_peer_1.counted)('u'), 1, 0)])))],
        ],
        [
            '58H: the secondary field',
            [
                (0, wire_1.item)(0x50, (0, wire_1.item)(0x58, Buffer.concat([Buffer.from([1, 0]), (0, raw_peer_1.counted)('u'), longer((0, raw_peer_1.counted)('p'), 1, 0)]))),
            ],
        ],
        ['59H: the response', [(0, wire_1.item)(0x50, (0, wire_1.item)(0x59, longer((0, raw_peer_1.counted)('r'), 1, 0)))]],
    ];
    it.each(cases)('%s', (name, items) => {
        const fixed = Buffer.alloc(68);
        const bad = name === 'an item its PDU' ? [longer((0, wire_1.item)(0x10, '1.2'))] : items;
        for (const type of [1, 2]) {
            let error;
            try {
                (0, pdu_1.decodePdu)(type, Buffer.concat([fixed, ...bad]));
            }
            catch (thrown) {
                error = thrown;
            }
            expect(error).toMatchObject({ code: 'PDU', reason: 6 });
        }
    });
    it('refuses a PDU that ends in its fixed part', () => {
        for (let length = 0; length < 68; length++) {
            expect(() => (0, pdu_1.decodePdu)(1, Buffer.alloc(length))).toThrow(pdu_items_1.PduError);
        }
    });
    it('refuses even and repeated context ids (UL-20)', () => {
        const context = (id) => ({ id, abstractSyntax: '1.2', transferSyntaxes: ['1.2'] });
        expect(() => request((0, wire_1.associateRq)({ contexts: [context(2)] }))).toThrow(/even/);
        expect(() => request((0, wire_1.associateRq)({ contexts: [context(0)] }))).toThrow(/even/);
        expect(() => request((0, wire_1.associateRq)({ contexts: [context(3), context(1), context(3)] }))).toThrow(/twice/);
        const all = Array.from({ length: 128 }, (_, index) => context(255 - 2 * index));
        expect(request((0, wire_1.associateRq)({ contexts: all })).contexts.map(({ id }) => id)).toEqual(all.map(({ id }) => id));
    });
    it('throws nothing but PduError on any bytes', () => {
        fast_check_1.default.assert(fast_check_1.default.property(fast_check_1.default.constantFrom(1, 2, 3, 5, 6, 7), fast_check_1.default.uint8Array({ maxLength: 300 }), (type, bytes) => {
            try {
                (0, pdu_1.decodePdu)(type, Buffer.from(bytes));
            }
            catch (error) {
                expect(error).toMatchObject({ code: 'PDU' });
            }
        }));
    });
    it('throws nothing but PduError on a request with one byte changed', () => {
        const good = (0, wire_1.associateRq)({
            userItems: [
                (0, raw_peer_1.roleItem)('1.2.3', 1, 1),
                (0, wire_1.item)(0x57, Buffer.concat([(0, raw_peer_1.counted)('1.2'), (0, raw_peer_1.counted)('1.3'), (0, raw_peer_1.counted)((0, raw_peer_1.counted)('1.4'))])),
            ],
        }).subarray(6);
        for (let at = 68; at < good.length; at++) {
            for (const value of [0, 1, 0x7f, 0xff, good[at] + 1]) {
                const bytes = Buffer.from(good);
                bytes[at] = value;
                try {
                    (0, pdu_1.decodePdu)(1, bytes);
                }
                catch (error) {
                    expect(error).toMatchObject({ code: 'PDU' });
                }
            }
        }
    });
});
describe('encoding', () => {
    const uid = fast_check_1.default
        .array(fast_check_1.default.nat({ max: 99999 }), { minLength: 1, maxLength: 8 })
        .map((parts) => parts.join('.'));
    const bytes = (maxLength) => fast_check_1.default.uint8Array({ maxLength }).map((array) => Buffer.from(array));
    const uint16 = fast_check_1.default.nat({ max: 0xffff });
    const information = fast_check_1.default.record({
        maximumLength: fast_check_1.default.option(fast_check_1.default.nat({ max: 0xffffffff }), { nil: undefined }),
        implementationClassUID: fast_check_1.default.oneof(uid, fast_check_1.default.constant('')),
        implementationVersionName: fast_check_1.default.stringMatching(/^[A-Z0-9_]{0,16}$/),
        asyncWindow: fast_check_1.default.option(fast_check_1.default.record({ invoked: uint16, performed: uint16 }), { nil: undefined }),
        roles: fast_check_1.default.array(fast_check_1.default.record({ sopClass: uid, scu: fast_check_1.default.boolean(), scp: fast_check_1.default.boolean() }), { maxLength: 5 }),
        extendedNegotiation: fast_check_1.default.array(fast_check_1.default.record({ sopClass: uid, information: bytes(20) }), { maxLength: 5 }),
        commonExtendedNegotiation: fast_check_1.default.array(fast_check_1.default.record({ sopClass: uid, serviceClass: uid, relatedGeneralClasses: fast_check_1.default.array(uid, { maxLength: 3 }) }), { maxLength: 3 }),
        userIdentity: fast_check_1.default.option(fast_check_1.default.record({
            type: fast_check_1.default.nat({ max: 255 }),
            positiveResponseRequested: fast_check_1.default.boolean(),
            primary: bytes(300),
            secondary: bytes(20),
        }), { nil: undefined }),
        userIdentityResponse: fast_check_1.default.option(bytes(300), { nil: undefined }),
    });
    const id = fast_check_1.default.nat({ max: 127 }).map((n) => 2 * n + 1);
    const common = {
        protocolVersion: uint16,
        addressing: fast_check_1.default.uint8Array({ minLength: 64, maxLength: 64 }).map((array) => Buffer.from(array)),
        applicationContext: uid,
        userInformation: information,
    };
    const byte = fast_check_1.default.nat({ max: 255 });
    const anyPdu = fast_check_1.default.oneof(fast_check_1.default.record({
        type: fast_check_1.default.constant('associate-rq'),
        ...common,
        contexts: fast_check_1.default.uniqueArray(fast_check_1.default.record({ id, abstractSyntax: uid, transferSyntaxes: fast_check_1.default.array(uid, { maxLength: 4 }) }), { selector: (context) => context.id, maxLength: 20 }),
    }), fast_check_1.default.record({
        type: fast_check_1.default.constant('associate-ac'),
        ...common,
        contexts: fast_check_1.default.uniqueArray(fast_check_1.default.record({ id, result: byte, transferSyntax: uid }), {
            selector: (context) => context.id,
            maxLength: 20,
        }),
    }), fast_check_1.default.record({ type: fast_check_1.default.constant('associate-rj'), result: byte, source: byte, reason: byte }), fast_check_1.default.record({ type: fast_check_1.default.constant('abort'), source: byte, reason: byte }), fast_check_1.default.constant({ type: 'release-rq' }), fast_check_1.default.constant({ type: 'release-rp' }));
    it('decodes to what was encoded, and encodes to the same bytes again', () => {
        fast_check_1.default.assert(fast_check_1.default.property(anyPdu, (pdu) => {
            const encoded = (0, pdu_1.encodePdu)(pdu);
            const decoded = decode(encoded);
            expect(decoded).toEqual(pdu);
            expect((0, pdu_1.encodePdu)(decoded).equals(encoded)).toBe(true);
        }));
    });
    it('writes the fixed PDUs as the standard draws them', () => {
        expect((0, pdu_1.encodePdu)({ type: 'release-rq' }).toString('hex')).toBe('05000000000400000000');
        expect((0, pdu_1.encodePdu)({ type: 'release-rp' }).toString('hex')).toBe('06000000000400000000');
        expect((0, pdu_1.encodePdu)({ type: 'abort', source: 2, reason: 6 }).toString('hex')).toBe('07000000000400000206');
        expect((0, pdu_1.encodePdu)({ type: 'associate-rj', result: 1, source: 3, reason: 2 }).toString('hex')).toBe('03000000000400010302');
    });
    it('writes the headers of P-DATA-TF as the independent builder does', () => {
        for (const [command, last] of [
            [true, true],
            [true, false],
            [false, true],
            [false, false],
        ]) {
            const data = Buffer.from('abcdef');
            const header = Buffer.alloc(14);
            (0, pdu_1.writeDataHeader)(header, 2, 77, command, last, data.length);
            expect(Buffer.concat([header.subarray(2), data])).toEqual((0, wire_1.pData)((0, wire_1.pdv)(77, command, last, data)));
        }
    });
    it('refuses values that their fields cannot hold', () => {
        expect(() => (0, pdu_1.encodeAddressing)('SEVENTEEN LETTERS', 'A')).toThrow(RangeError);
        const pdu = request((0, wire_1.associateRq)());
        const userIdentity = {
            type: 5,
            positiveResponseRequested: false,
            primary: Buffer.alloc(65536),
            secondary: Buffer.alloc(0),
        };
        expect(() => (0, pdu_1.encodePdu)({ ...pdu, userInformation: { ...pdu.userInformation, userIdentity } })).toThrow(RangeError);
    });
});
