"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
const first_bytes_1 = require("../../src/net/first-bytes");
const reject_reasons_1 = require("../../src/net/reject-reasons");
describe('refusals in words', () => {
    it.each(Object.entries(reject_reasons_1.REJECTION))('knows what our own %s means', (_, rejection) => {
        expect((0, reject_reasons_1.describeRejection)(rejection).text).not.toMatch(/does not know|unknown/);
    });
    it('tells triple, permanence, source, meaning and what to do', () => {
        expect((0, reject_reasons_1.describeRejection)({ result: 1, source: 1, reason: 7 })).toEqual({
            text: 'rejected 1/1/7 (permanent, service user): called AE title not recognized',
            advice: expect.stringContaining('aeTitle'),
        });
        expect((0, reject_reasons_1.describeRejection)({ result: 2, source: 3, reason: 2 }).text).toMatch(/transient.*local limit/);
    });
    it('survives triples that the standard does not have', () => {
        expect((0, reject_reasons_1.describeRejection)({ result: 0, source: 9, reason: 255 }).text).toMatch(/^rejected 0\/9\/255/);
    });
    it('reads the reason of an abort only where the provider sent it', () => {
        expect((0, reject_reasons_1.describeAbort)(0, 6)).toBe('abort by its application');
        expect((0, reject_reasons_1.describeAbort)(2, 6)).toMatch(/invalid PDU parameter value/);
        expect((0, reject_reasons_1.describeAbort)(2, 77)).toMatch(/77/);
    });
});
describe('first bytes', () => {
    it.each([
        ['GET / HTTP/1.1\r\n', 'HTTP'],
        ['OPTIONS * HTTP/1.1', 'HTTP'],
        ['PRI * HTTP/2.0', 'HTTP'],
        ['\x16\x03\x01\x02\x00\x01', 'TLS'],
        ['SSH-2.0-x', 'SSH'],
        ['\x0bMSH|^~\\&', 'HL7 (MLLP)'],
        ['\x01\x00\x00\x00\x00\xcd', undefined],
        ['UUUUUU', undefined],
        ['', undefined],
    ])('%j is %s', (bytes, protocol) => {
        expect((0, first_bytes_1.recogniseProtocol)(Buffer.from(bytes, 'latin1'))).toBe(protocol);
    });
});
