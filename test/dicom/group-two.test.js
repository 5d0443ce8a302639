"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_zlib_1 = require("node:zlib");
const fast_check_1 = __importDefault(require("fast-check"));
const group_two_1 = require("../../src/dicom/group-two");
const part10_1 = require("../../src/dicom/part10");
const uids_1 = require("../../src/dicom/uids");
const data_sets_1 = require("../support/data-sets");
const SYNTAX = {
    explicit: uids_1.UID.ExplicitVRLittleEndian,
    implicit: uids_1.UID.ImplicitVRLittleEndian,
    big: uids_1.UID.ExplicitVRBigEndian,
};
const FILE_META = (0, part10_1.encodeFileMeta)({
    MediaStorageSOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
    MediaStorageSOPInstanceUID: '1.2.3.4',
    TransferSyntaxUID: uids_1.UID.ExplicitVRLittleEndian,
    SourceApplicationEntityTitle: 'CT1',
    ReceivingApplicationEntityTitle: '',
});
const GROUP = FILE_META.subarray(132);
function dataSet(encoding) {
    return (0, data_sets_1.encode)([
        { tag: 0x00080016, vr: 'UI', value: '1.2.840.10008.5.1.4.1.1.2\0' },
        { tag: 0x00100010, vr: 'PN', value: 'DOE^JOHN' },
    ], encoding);
}
function strip(bytes, syntax, size = bytes.length) {
    const stripper = new group_two_1.GroupTwoStripper(syntax);
    const kept = [];
    for (let at = 0; at < bytes.length; at += size) {
        const part = stripper.push(bytes.subarray(at, at + size));
        if (part !== undefined)
            kept.push(part);
    }
    const rest = stripper.flush();
    if (rest !== undefined)
        kept.push(rest);
    return { kept: Buffer.concat(kept), stripped: stripper.stripped };
}
describe('GroupTwoStripper', () => {
    it.each(['explicit', 'implicit', 'big'])('hands an ordinary %s data set on at once, uncopied', (encoding) => {
        const bytes = dataSet(encoding);
        const stripper = new group_two_1.GroupTwoStripper(SYNTAX[encoding]);
        const first = bytes.subarray(0, 2);
        expect(stripper.push(first)).toBe(first);
        const rest = bytes.subarray(2);
        expect(stripper.push(rest)).toBe(rest);
        expect(stripper.flush()).toBeUndefined();
        expect(stripper.stripped).toBe(false);
    });
    it.each([
        ['the group', GROUP],
        ['preamble and group', FILE_META],
        ['a preamble with text and group', Buffer.concat([Buffer.alloc(128, 'II*'), FILE_META.subarray(128)])],
        ['a group without its length', GROUP.subarray(12)],
    ])('takes off %s, however the bytes are cut', (_what, front) => {
        for (const encoding of ['explicit', 'implicit', 'big']) {
            const kept = dataSet(encoding);
            for (const size of [1, 2, 3, 7, 131, 132, 133, 140, 1000])
                expect(strip(Buffer.concat([front, kept]), SYNTAX[encoding], size)).toEqual({ kept, stripped: true });
        }
    });
    it.each(['implicit', 'big'])('takes off a group in %s encoding', (encoding) => {
        const group = (0, data_sets_1.encode)([{ tag: 0x00020010, vr: 'UI', value: '1.2.840.10008.1.2\0' }], encoding);
        const kept = dataSet(encoding);
        expect(strip(Buffer.concat([group, kept]), SYNTAX[encoding], 5)).toEqual({ kept, stripped: true });
    });
    it('takes it off a deflated data set too, and leaves compressed bytes alone', () => {
        const kept = (0, node_zlib_1.deflateRawSync)(dataSet('explicit'));
        const uid = uids_1.UID.DeflatedExplicitVRLittleEndian;
        expect(strip(Buffer.concat([GROUP, kept]), uid, 9)).toEqual({ kept, stripped: true });
        expect(strip(kept, uid, 3)).toEqual({ kept, stripped: false });
        const unlucky = Buffer.concat([Buffer.from([2, 0, 8, 0, 0x55, 0x49]), Buffer.alloc(200, 9)]);
        expect(strip(unlucky, uid)).toEqual({ kept: unlucky, stripped: false });
    });
    it('alters nothing else', () => {
        fast_check_1.default.assert(fast_check_1.default.property(fast_check_1.default.uint8Array({ maxLength: 400 }), fast_check_1.default.integer({ min: 1, max: 50 }), (array, size) => {
            const bytes = Buffer.from(array);
            fast_check_1.default.pre(bytes.readUInt16LE?.(0) !== 2 || bytes.length < 2);
            fast_check_1.default.pre(bytes.length < 2 || (bytes.readUInt16LE(0) !== 2 && bytes.readUInt16BE(0) !== 2));
            expect(strip(bytes, uids_1.UID.ExplicitVRLittleEndian, size)).toEqual({ kept: bytes, stripped: false });
        }));
    });
    it('does not see a preamble in a data set that holds the letters DICM', () => {
        const bytes = Buffer.concat([(0, data_sets_1.header)(0x00080008, 'UT', 0, 'explicit'), Buffer.alloc(116), GROUP]);
        bytes.write('DICM', 128, 'latin1');
        expect(strip(bytes, uids_1.UID.ExplicitVRLittleEndian)).toEqual({ kept: bytes, stripped: false });
    });
    it('refuses a group that ends nowhere', () => {
        const element = (0, data_sets_1.encode)([{ tag: 0x00020013, vr: 'SH', value: 'X'.repeat(1000) }]);
        const bytes = Buffer.concat(Array.from({ length: 70 }, () => element));
        expect(() => strip(bytes, uids_1.UID.ExplicitVRLittleEndian, 4096)).toThrow(expect.objectContaining({ reason: 'malformed' }));
        const claim = Buffer.concat([(0, data_sets_1.header)(0x00020102, 'OB', 0x7fffffff, 'explicit'), Buffer.alloc(200)]);
        expect(() => strip(claim, uids_1.UID.ExplicitVRLittleEndian)).toThrow(expect.objectContaining({ reason: 'malformed' }));
    });
    it('says when the data set ends inside the group', () => {
        for (let cut = 8; cut < GROUP.length - 1; cut++) {
            const cutsBetween = cut === 12;
            const attempt = () => strip(GROUP.subarray(0, cut), uids_1.UID.ExplicitVRLittleEndian);
            if (!cutsBetween) {
                try {
                    attempt();
                }
                catch (error) {
                    expect(error).toMatchObject({ code: 'DICOM_PARSE', reason: 'truncated' });
                }
            }
        }
        expect(() => strip(GROUP.subarray(0, GROUP.length - 1), uids_1.UID.ExplicitVRLittleEndian)).toThrow(expect.objectContaining({ reason: 'truncated' }));
        expect(strip(GROUP, uids_1.UID.ExplicitVRLittleEndian)).toEqual({ kept: Buffer.alloc(0), stripped: true });
    });
});
