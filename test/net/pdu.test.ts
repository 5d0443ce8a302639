import fc from 'fast-check';
import {
  callingTitle,
  calledTitle,
  decodePdu,
  encodeAddressing,
  encodePdu,
  writeDataHeader,
} from '../../src/net/pdu';
import type { AssociateRequestPdu, Pdu } from '../../src/net/pdu';
import { PduError } from '../../src/net/pdu-items';
import type { UserInformation } from '../../src/net/pdu-items';
import { associateAc, counted, roleItem } from '../support/raw-peer';
import { abort, associateRq, item, pData, pdv, releaseRq } from '../support/wire';

function decode(bytes: Buffer): Pdu {
  expect(bytes.readUInt32BE(2)).toBe(bytes.length - 6);
  return decodePdu(bytes[0]!, bytes.subarray(6));
}

function request(bytes: Buffer): AssociateRequestPdu {
  const pdu = decode(bytes);
  if (pdu.type !== 'associate-rq') throw new Error(pdu.type);
  return pdu;
}

describe('decoding', () => {
  it('reads every field of an A-ASSOCIATE-RQ', () => {
    const pdu = request(
      associateRq({
        called: ' NODE',
        calling: 'TESTER',
        protocolVersion: 3,
        maximumLength: 12345,
        contexts: [
          { id: 5, abstractSyntax: '1.2.3', transferSyntaxes: ['1.2.840.10008.1.2', '1.2.840.10008.1.2.1'] },
          { id: 1, abstractSyntax: '1.2.4', transferSyntaxes: [] },
        ],
        userItems: [
          item(0x53, Buffer.from([0, 5, 0, 0])),
          roleItem('1.2.3', 1, 0),
          item(0x55, 'VERSION 1\0'),
          item(0x56, Buffer.concat([counted('1.2.3'), Buffer.from([1, 0, 1])])),
          item(0x57, Buffer.concat([counted('1.2.5'), counted('1.2.6'), counted(counted('1.2.7'))])),
          item(0x58, Buffer.concat([Buffer.from([2, 1]), counted('user'), counted('secret')])),
        ],
      }),
    );
    expect(pdu.protocolVersion).toBe(3);
    expect(pdu.addressing.toString('latin1', 0, 16)).toBe(' NODE           ');
    expect(calledTitle(pdu.addressing)).toBe('NODE');
    expect(callingTitle(pdu.addressing)).toBe('TESTER');
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
    const plain = request(associateRq());
    const odd = request(
      associateRq({ reserved: 0xff, items: [item(0x7f, 'x'), item(0x00, '')], userItems: [item(0x5f, 'y')] }),
    );
    expect(odd.contexts).toEqual(plain.contexts);
    expect(odd.userInformation).toEqual(plain.userInformation);
    const context = Buffer.concat([
      Buffer.from([1, 9, 9, 9]),
      item(0x77, 'z'),
      item(0x40, '1.2'),
      item(0x30, '1.3'),
    ]);
    expect(request(associateRq({ contexts: [], items: [item(0x20, context)] })).contexts).toEqual([
      { id: 1, abstractSyntax: '1.3', transferSyntaxes: ['1.2'] },
    ]);
  });

  it('reads an A-ASSOCIATE-AC, also one whose refused context has no transfer syntax', () => {
    const pdu = decode(
      associateAc({
        contexts: [{ id: 1, transferSyntax: '1.2' }],
        userItems: [item(0x21, ''), item(0x59, counted('ticket'))],
      }),
    );
    expect(pdu).toMatchObject({
      type: 'associate-ac',
      contexts: [{ id: 1, result: 0, transferSyntax: '1.2' }],
      userInformation: { userIdentityResponse: Buffer.from('ticket') },
    });
  });

  it('reads the fixed PDUs', () => {
    expect(decode(releaseRq())).toEqual({ type: 'release-rq' });
    expect(decode(abort(2, 6))).toEqual({ type: 'abort', source: 2, reason: 6 });
    expect(decodePdu(3, Buffer.from([0, 1, 1, 7]))).toEqual({
      type: 'associate-rj',
      result: 1,
      source: 1,
      reason: 7,
    });
  });

  it('takes trailing NULs and spaces off titles and UIDs', () => {
    const pdu = request(
      associateRq({
        called: 'NODE\0\0',
        contexts: [{ id: 1, abstractSyntax: '1.2\0', transferSyntaxes: ['1.3 '] }],
      }),
    );
    expect(calledTitle(pdu.addressing)).toBe('NODE');
    expect(pdu.contexts[0]).toEqual({ id: 1, abstractSyntax: '1.2', transferSyntaxes: ['1.3'] });
  });
});

describe('what overruns', () => {
  /** Makes the item claim `by` bytes more than it has. */
  function longer(bytes: Buffer, by = 1, at = 2): Buffer {
    const copy = Buffer.from(bytes);
    copy.writeUInt16BE(copy.readUInt16BE(at) + by, at);
    return copy;
  }
  const id = Buffer.from([1, 0, 0, 0]);
  const cases: [string, Buffer[]][] = [
    ['an item its PDU', [longer(item(0x10, '1.2'))]],
    ['an item header its PDU', [Buffer.from([0x10, 0])]],
    ['a context that ends in its id', [item(0x20, Buffer.from([1, 0]))]],
    ['an answered context that ends in its id', [item(0x21, Buffer.from([1, 0]))]],
    ['an abstract syntax its context', [item(0x20, Buffer.concat([id, longer(item(0x30, '1.2'))]))]],
    ['a transfer syntax its context', [item(0x20, Buffer.concat([id, longer(item(0x40, '1.2'), 60000)]))]],
    ['a transfer syntax its answer', [item(0x21, Buffer.concat([id, longer(item(0x40, '1.2'))]))]],
    ['a sub-item header its context', [item(0x20, Buffer.concat([id, Buffer.from([0x30, 0, 0])]))]],
    ...[0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5f].map((type): [string, Buffer[]] => [
      `sub-item ${type.toString(16)}H the user information`,
      [item(0x50, longer(item(type, Buffer.alloc(4))))],
    ]),
    ['51H with three bytes', [item(0x50, item(0x51, Buffer.alloc(3)))]],
    ['53H with two bytes', [item(0x50, item(0x53, Buffer.alloc(2)))]],
    ['54H: the UID', [item(0x50, item(0x54, Buffer.from([0, 4, 0x31, 0x2e, 0x32])))]],
    ['54H: the roles', [item(0x50, item(0x54, Buffer.concat([counted('1.2'), Buffer.from([1])])))]],
    ['56H: the UID', [item(0x50, item(0x56, Buffer.from([0xff, 0xff, 0x31])))]],
    [
      '57H: the service class',
      [item(0x50, item(0x57, Buffer.concat([counted('1.2'), Buffer.from([0, 9])])))],
    ],
    [
      '57H: the list',
      [item(0x50, item(0x57, Buffer.concat([counted('1.2'), counted('1.3'), longer(counted('1.4'), 1, 0)])))],
    ],
    [
      '57H: a UID of the list',
      [
        item(
          0x50,
          item(0x57, Buffer.concat([counted('1.2'), counted('1.3'), counted(longer(counted('1.4'), 1, 0))])),
        ),
      ],
    ],
    [
      '58H: the primary field',
      [item(0x50, item(0x58, Buffer.concat([Buffer.from([1, 0]), longer(counted('u'), 1, 0)])))],
    ],
    [
      '58H: the secondary field',
      [
        item(
          0x50,
          item(0x58, Buffer.concat([Buffer.from([1, 0]), counted('u'), longer(counted('p'), 1, 0)])),
        ),
      ],
    ],
    ['59H: the response', [item(0x50, item(0x59, longer(counted('r'), 1, 0)))]],
  ];
  it.each(cases)('%s', (_, items) => {
    const fixed = Buffer.alloc(68);
    for (const type of [1, 2]) {
      let error: unknown;
      try {
        decodePdu(type, Buffer.concat([fixed, ...items]));
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toMatchObject({ code: 'PDU', reason: 6 });
    }
  });

  it('refuses a PDU that ends in its fixed part', () => {
    for (let length = 0; length < 68; length++) {
      expect(() => decodePdu(1, Buffer.alloc(length))).toThrow(PduError);
    }
  });

  it('refuses even and repeated context ids (UL-20)', () => {
    const context = (id: number) => ({ id, abstractSyntax: '1.2', transferSyntaxes: ['1.2'] });
    expect(() => request(associateRq({ contexts: [context(2)] }))).toThrow(/even/);
    expect(() => request(associateRq({ contexts: [context(0)] }))).toThrow(/even/);
    expect(() => request(associateRq({ contexts: [context(3), context(1), context(3)] }))).toThrow(/twice/);
    const all = Array.from({ length: 128 }, (_, index) => context(255 - 2 * index));
    expect(request(associateRq({ contexts: all })).contexts.map(({ id }) => id)).toEqual(
      all.map(({ id }) => id),
    );
  });

  it('throws nothing but PduError on any bytes', () => {
    fc.assert(
      fc.property(fc.constantFrom(1, 2, 3, 5, 6, 7), fc.uint8Array({ maxLength: 300 }), (type, bytes) => {
        try {
          decodePdu(type, Buffer.from(bytes));
        } catch (error) {
          expect(error).toMatchObject({ code: 'PDU' });
        }
      }),
    );
  });

  it('throws nothing but PduError on a request with one byte changed', () => {
    const good = associateRq({
      userItems: [
        roleItem('1.2.3', 1, 1),
        item(0x57, Buffer.concat([counted('1.2'), counted('1.3'), counted(counted('1.4'))])),
      ],
    }).subarray(6);
    for (let at = 68; at < good.length; at++) {
      for (const value of [0, 1, 0x7f, 0xff, good[at]! + 1]) {
        const bytes = Buffer.from(good);
        bytes[at] = value;
        try {
          decodePdu(1, bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'PDU' });
        }
      }
    }
  });
});

describe('encoding', () => {
  const uid = fc
    .array(fc.nat({ max: 99999 }), { minLength: 1, maxLength: 8 })
    .map((parts) => parts.join('.'));
  const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
  const uint16 = fc.nat({ max: 0xffff });
  const information: fc.Arbitrary<UserInformation> = fc.record({
    maximumLength: fc.option(fc.nat({ max: 0xffffffff }), { nil: undefined }),
    implementationClassUID: fc.oneof(uid, fc.constant('')),
    implementationVersionName: fc.stringMatching(/^[A-Z0-9_]{0,16}$/),
    asyncWindow: fc.option(fc.record({ invoked: uint16, performed: uint16 }), { nil: undefined }),
    roles: fc.array(fc.record({ sopClass: uid, scu: fc.boolean(), scp: fc.boolean() }), { maxLength: 5 }),
    extendedNegotiation: fc.array(fc.record({ sopClass: uid, information: bytes(20) }), { maxLength: 5 }),
    commonExtendedNegotiation: fc.array(
      fc.record({ sopClass: uid, serviceClass: uid, relatedGeneralClasses: fc.array(uid, { maxLength: 3 }) }),
      { maxLength: 3 },
    ),
    userIdentity: fc.option(
      fc.record({
        type: fc.nat({ max: 255 }),
        positiveResponseRequested: fc.boolean(),
        primary: bytes(300),
        secondary: bytes(20),
      }),
      { nil: undefined },
    ),
    userIdentityResponse: fc.option(bytes(300), { nil: undefined }),
  });
  const id = fc.nat({ max: 127 }).map((n) => 2 * n + 1);
  const common = {
    protocolVersion: uint16,
    addressing: fc.uint8Array({ minLength: 64, maxLength: 64 }).map((array) => Buffer.from(array)),
    applicationContext: uid,
    userInformation: information,
  };
  const byte = fc.nat({ max: 255 });
  const anyPdu: fc.Arbitrary<Pdu> = fc.oneof(
    fc.record({
      type: fc.constant('associate-rq' as const),
      ...common,
      contexts: fc.uniqueArray(
        fc.record({ id, abstractSyntax: uid, transferSyntaxes: fc.array(uid, { maxLength: 4 }) }),
        { selector: (context) => context.id, maxLength: 20 },
      ),
    }),
    fc.record({
      type: fc.constant('associate-ac' as const),
      ...common,
      contexts: fc.uniqueArray(fc.record({ id, result: byte, transferSyntax: uid }), {
        selector: (context) => context.id,
        maxLength: 20,
      }),
    }),
    fc.record({ type: fc.constant('associate-rj' as const), result: byte, source: byte, reason: byte }),
    fc.record({ type: fc.constant('abort' as const), source: byte, reason: byte }),
    fc.constant({ type: 'release-rq' as const }),
    fc.constant({ type: 'release-rp' as const }),
  );

  it('decodes to what was encoded, and encodes to the same bytes again', () => {
    fc.assert(
      fc.property(anyPdu, (pdu) => {
        const encoded = encodePdu(pdu);
        const decoded = decode(encoded);
        expect(decoded).toEqual(pdu);
        expect(encodePdu(decoded).equals(encoded)).toBe(true);
      }),
    );
  });

  it('writes the fixed PDUs as the standard draws them', () => {
    expect(encodePdu({ type: 'release-rq' }).toString('hex')).toBe('05000000000400000000');
    expect(encodePdu({ type: 'release-rp' }).toString('hex')).toBe('06000000000400000000');
    expect(encodePdu({ type: 'abort', source: 2, reason: 6 }).toString('hex')).toBe('07000000000400000206');
    expect(encodePdu({ type: 'associate-rj', result: 1, source: 3, reason: 2 }).toString('hex')).toBe(
      '03000000000400010302',
    );
  });

  it('writes the headers of P-DATA-TF as the independent builder does', () => {
    for (const [command, last] of [
      [true, true],
      [true, false],
      [false, true],
      [false, false],
    ] as const) {
      const data = Buffer.from('abcdef');
      const header = Buffer.alloc(14);
      writeDataHeader(header, 2, 77, command, last, data.length);
      expect(Buffer.concat([header.subarray(2), data])).toEqual(pData(pdv(77, command, last, data)));
    }
  });

  it('refuses values that their fields cannot hold', () => {
    expect(() => encodeAddressing('SEVENTEEN LETTERS', 'A')).toThrow(RangeError);
    const pdu = request(associateRq());
    const userIdentity = {
      type: 5,
      positiveResponseRequested: false,
      primary: Buffer.alloc(65536),
      secondary: Buffer.alloc(0),
    };
    expect(() => encodePdu({ ...pdu, userInformation: { ...pdu.userInformation, userIdentity } })).toThrow(
      RangeError,
    );
  });
});
