import fc from 'fast-check';
import { PduReader } from '../../src/net/pdu-reader';
import type { PduEvent } from '../../src/net/pdu-reader';
import { associateAc, associateRj, releaseRp, roleItem, slices } from '../support/raw-peer';
import { abort, associateRq, item, pData, pdu, pdv, releaseRq } from '../support/wire';

const MAXIMUM = 1000;

function events(reader: PduReader): PduEvent[] {
  const found: PduEvent[] = [];
  for (let event = reader.next(); event !== undefined; event = reader.next()) found.push(event);
  return found;
}

/** What came, with fragments put together: the same however the bytes were cut. */
function read(pieces: readonly Buffer[], maximum = MAXIMUM): unknown[] {
  const reader = new PduReader(maximum);
  const seen: unknown[] = [];
  let data: Buffer[] = [];
  for (const piece of pieces) {
    reader.push(piece);
    for (const event of events(reader)) {
      if (event.type === 'fragment-data') {
        data.push(event.bytes);
      } else {
        if (event.type === 'fragment-end') {
          seen.push(Buffer.concat(data).toString('hex'));
          data = [];
        }
        seen.push(event);
      }
    }
  }
  seen.push(reader.inPdu);
  return seen;
}

const body = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, index) => index % 251));

const PDUS: Record<string, Buffer> = {
  'A-ASSOCIATE-RQ': associateRq({
    userItems: [item(0x53, Buffer.from([0, 1, 0, 1])), roleItem('1.2.3', 0, 1)],
  }),
  'A-ASSOCIATE-AC': associateAc(),
  'A-ASSOCIATE-RJ': associateRj(1, 1, 7),
  'P-DATA-TF with one PDV': pData(pdv(1, true, true, body(100))),
  'P-DATA-TF with three PDVs, one of them empty': pData(
    pdv(1, true, false, body(3)),
    pdv(1, true, true, Buffer.alloc(0)),
    pdv(3, false, true, body(51)),
  ),
  'A-RELEASE-RQ': releaseRq(),
  'A-RELEASE-RP': releaseRp(),
  'A-ABORT': abort(2, 5),
};

describe.each(Object.entries(PDUS))('%s', (_, bytes) => {
  const whole = read([bytes]);

  it('is read whole, with nothing left', () => {
    expect(whole.length).toBeGreaterThan(1);
    expect(whole.at(-1)).toBe(false);
    expect(whole.some((event) => (event as PduEvent).type === 'error')).toBe(false);
  });

  it('is the same cut at every offset', () => {
    for (let at = 0; at <= bytes.length; at++) {
      expect(read([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(whole);
    }
  });

  it('is the same byte by byte', () => {
    expect(read(slices(bytes, 1))).toEqual(whole);
  });

  it('is the same before and behind another PDU, cut anywhere', () => {
    const next = abort(0, 0);
    const both = Buffer.concat([bytes, next]);
    const expected = [...whole.slice(0, -1), ...read([next])];
    for (let at = 0; at <= both.length; at++) {
      expect(read([both.subarray(0, at), both.subarray(at)])).toEqual(expected);
    }
  });

  it('is not there before its last byte', () => {
    const cut = read([bytes.subarray(0, -1)]);
    expect(cut.at(-1)).toBe(true);
    expect(cut.length).toBeLessThan(whole.length);
  });
});

it('reads any sequence of PDUs, cut in any way, alike', () => {
  const stream = fc
    .array(fc.constantFrom(...Object.values(PDUS)), { minLength: 1, maxLength: 6 })
    .map((pdus) => Buffer.concat(pdus));
  fc.assert(
    fc.property(stream, fc.array(fc.nat({ max: 60 }), { minLength: 1, maxLength: 60 }), (bytes, sizes) => {
      const pieces: Buffer[] = [];
      let at = 0;
      for (let turn = 0; at < bytes.length; turn++) {
        const size = sizes[turn % sizes.length]! + (turn >= sizes.length ? 1 : 0);
        pieces.push(bytes.subarray(at, at + size));
        at += size;
      }
      expect(read(pieces)).toEqual(read([bytes]));
    }),
  );
});

it('hands out slices of what was pushed, never copies', () => {
  const bytes = pData(pdv(1, false, true, body(500)));
  const chunk = bytes.subarray(0, 200);
  const fresh = new PduReader(MAXIMUM);
  fresh.push(chunk);
  const data = events(fresh).find((event) => event.type === 'fragment-data');
  expect(data?.bytes.buffer).toBe(chunk.buffer);
  expect(data?.bytes.byteOffset).toBe(chunk.byteOffset + 12);
});

it('keeps what was not taken yet when more comes', () => {
  const reader = new PduReader(MAXIMUM);
  const bytes = Buffer.concat([releaseRq(), abort(2, 1)]);
  reader.push(bytes.subarray(0, 14));
  expect(reader.next()).toEqual({ type: 'pdu', pdu: { type: 'release-rq' } });
  reader.push(bytes.subarray(14));
  expect(events(reader)).toEqual([{ type: 'pdu', pdu: { type: 'abort', source: 2, reason: 1 } }]);
});

describe('what is no PDU', () => {
  const header = (type: number, length: number): Buffer => pdu(type, Buffer.alloc(0), length);
  it.each<[string, Buffer, number]>([
    ['a type that does not exist', header(9, 4), 1],
    ['type 0', header(0, 4), 1],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 1],
    ['a TLS ClientHello', Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1]), 1],
    ['bytes 55', Buffer.alloc(100, 0x55), 1],
    ['P-DATA-TF above the maximum', header(4, MAXIMUM + 1), 6],
    ['P-DATA-TF of 4 GiB', header(4, 0xffffffff), 6],
    ['A-ASSOCIATE-RQ above 1 MiB', header(1, 1024 * 1024 + 1), 6],
    ['A-ASSOCIATE-AC of 4 GiB', header(2, 0xffffffff), 6],
    ['A-RELEASE-RQ with 5 bytes', header(5, 5), 6],
    ['A-RELEASE-RP with none', header(6, 0), 6],
    ['A-ABORT with 1 MiB', header(7, 1024 * 1024), 6],
    ['A-ASSOCIATE-RJ with 3 bytes', header(3, 3), 6],
    ['P-DATA-TF without a PDV', pData(), 6],
    ['P-DATA-TF with five bytes', pdu(4, Buffer.alloc(5)), 6],
    ['a PDV of length 0', pdu(4, Buffer.from([0, 0, 0, 0, 1, 3])), 6],
    ['a PDV of length 1', pdu(4, Buffer.from([0, 0, 0, 1, 1, 3])), 6],
    [
      'a PDV of length 1 before a good one',
      pdu(4, Buffer.concat([Buffer.from([0, 0, 0, 1, 1]), pdv(1, true, true, body(20))])),
      6,
    ],
    ['a PDV one byte longer than its PDU', pdu(4, Buffer.from([0, 0, 0, 3, 1, 3])), 6],
    ['a PDV of 4 GiB', pdu(4, Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 3])), 6],
    ['a PDV of 4 GiB less three', pdu(4, Buffer.from([0xff, 0xff, 0xff, 0xfd, 1, 3, 0, 0])), 6],
    ['bytes behind the last PDV', pdu(4, Buffer.concat([pdv(1, true, true, body(2)), Buffer.alloc(5)])), 6],
  ])('%s', (_, bytes, reason) => {
    for (const pieces of [[bytes], slices(bytes, 1)]) {
      const seen = read([...pieces, releaseRq(), abort()]);
      // The first error is the last event: what follows has lost its frame.
      expect(seen.at(-2)).toMatchObject({ type: 'error', reason });
      expect(seen.filter((event) => (event as PduEvent).type === 'error')).toHaveLength(1);
    }
  });

  it('hands on nothing of a PDV that is followed by rubbish in its PDU', () => {
    const seen = read([pdu(4, Buffer.concat([pdv(1, true, true, body(2)), Buffer.alloc(5)]))]);
    expect(seen.map((event) => (event as PduEvent).type)).toEqual(['data', 'error', undefined]);
  });

  it('takes P-DATA-TF of just the maximum', () => {
    const seen = read([pData(pdv(1, false, true, body(MAXIMUM - 6)))]);
    expect(seen.at(-2)).toEqual({ type: 'fragment-end' });
  });

  it('tells where the frame was lost, for the log', () => {
    const reader = new PduReader(MAXIMUM);
    reader.push(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    expect(events(reader)).toEqual([
      {
        type: 'error',
        message: 'unrecognized PDU type 47H',
        reason: 1,
        header: Buffer.from('GET / '),
      },
    ]);
  });
});

describe('memory', () => {
  it('grows with what came, not with what was announced', () => {
    const before = process.memoryUsage().arrayBuffers;
    const readers = Array.from({ length: 300 }, () => {
      const reader = new PduReader(131072);
      reader.push(Buffer.concat([pdu(1, Buffer.alloc(0), 1024 * 1024), Buffer.alloc(50)]));
      expect(reader.next()).toBeUndefined();
      return reader;
    });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20 * 1024 * 1024);
    expect(readers).toHaveLength(300);
  });

  it('reads a request of 1 MiB in single bytes in linear time and a few buffers', () => {
    const filler = Array.from({ length: 17 }, () => item(0x7f, Buffer.alloc(60000)));
    const bytes = associateRq({ items: filler });
    expect(bytes.length).toBeGreaterThan(1_000_000);
    const reader = new PduReader(MAXIMUM);
    const one = Buffer.alloc(1);
    const seen: PduEvent[] = [];
    for (const byte of bytes) {
      one[0] = byte;
      reader.push(one);
      const event = reader.next();
      if (event !== undefined) seen.push(event);
    }
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ type: 'pdu', pdu: { type: 'associate-rq' } });
  });
});
