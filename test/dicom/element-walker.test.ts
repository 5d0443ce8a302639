import type { ElementHeader, ElementVisitor, ValueHandling } from '../../src/dicom/element-visitor';
import { ElementWalker, type WalkerLimits } from '../../src/dicom/element-walker';
import { encode, header, type Element, type Encoding } from '../support/data-sets';

const UNDEFINED = 0xffffffff;
const ITEM = 0xfffee000;
const ITEM_END = 0xfffee00d;
const SEQUENCE_END = 0xfffee0dd;

/** Writes down what the walker tells. */
class Recorder implements ElementVisitor {
  readonly events: string[] = [];
  private readonly handling: (header: ElementHeader) => ValueHandling;
  private streamed = 0;

  constructor(handling: (header: ElementHeader) => ValueHandling = () => 'keep') {
    this.handling = handling;
  }

  element(h: ElementHeader): ValueHandling {
    this.events.push(`${hex(h.tag)} ${h.vr} ${h.length} @${h.offset} d${h.depth}`);
    return this.handling(h);
  }

  value(_h: ElementHeader, bytes: Buffer): void {
    this.events.push(`= ${bytes.toString('latin1')}`);
  }

  part(_h: ElementHeader, bytes: Buffer): void {
    this.streamed += bytes.length;
  }

  valueEnd(): void {
    this.events.push(`streamed ${this.streamed}`);
    this.streamed = 0;
  }

  sequenceStart(h: ElementHeader): void {
    this.events.push(`[ ${hex(h.tag)} d${h.depth}`);
  }

  itemStart(): void {
    this.events.push('{');
  }

  itemEnd(): void {
    this.events.push('}');
  }

  sequenceEnd(): void {
    this.events.push(']');
  }

  fragmentsStart(h: ElementHeader): void {
    this.events.push(`< ${hex(h.tag)}`);
  }

  fragment(h: ElementHeader): ValueHandling {
    this.events.push(`fragment ${h.length}`);
    return 'skip';
  }

  fragmentsEnd(): void {
    this.events.push('>');
  }
}

function hex(tag: number): string {
  return tag.toString(16).padStart(8, '0');
}

const SYNTAX: Readonly<Record<Encoding, { explicit: boolean; littleEndian: boolean }>> = {
  explicit: { explicit: true, littleEndian: true },
  implicit: { explicit: false, littleEndian: true },
  big: { explicit: true, littleEndian: false },
};

function walk(
  bytes: Buffer,
  encoding: Encoding = 'explicit',
  options: { size?: number; handling?: (header: ElementHeader) => ValueHandling; limits?: WalkerLimits } = {},
): string[] {
  const recorder = new Recorder(options.handling);
  const walker = new ElementWalker(SYNTAX[encoding], recorder, options.limits);
  const size = options.size ?? bytes.length;
  for (let at = 0; at < bytes.length; at += size) walker.push(bytes.subarray(at, at + size));
  walker.finish();
  return recorder.events;
}

function refusal(reason: string): Error {
  return expect.objectContaining({ code: 'DICOM_PARSE', reason }) as Error;
}

const e = (tag: number, vr: string, value: Element['value']): Element => ({ tag, vr, value });

describe('ElementWalker', () => {
  const nested: Element[] = [
    e(0x00080005, 'CS', 'ISO_IR 100'),
    e(0x00081140, 'SQ', {
      items: [
        [
          e(0x00081150, 'UI', '1.2\0'),
          e(0x0040a730, 'SQ', { items: [[e(0x0040a160, 'UT', 'deep')], []], undefinedLength: true }),
        ],
      ],
    }),
    e(0x00100010, 'PN', 'DOE^JOHN'),
    e(0x00104000, 'LT', ''),
    e(0x7fe00010, 'OW', Buffer.from('pixels')),
  ];

  it.each<Encoding>(['explicit', 'implicit', 'big'])(
    'tells the same of %s, cut at every byte',
    (encoding) => {
      const bytes = encode(nested, encoding);
      const whole = walk(bytes, encoding);
      expect(whole.map((event) => event.replace(/ @\d+/, ''))).toEqual([
        '00080005 CS 10 d0',
        '= ISO_IR 100',
        '[ 00081140 d0',
        '{',
        '00081150 UI 4 d1',
        '= 1.2\0',
        '[ 0040a730 d1',
        '{',
        '0040a160 UT 4 d2',
        '= deep',
        '}',
        '{',
        '}',
        ']',
        '}',
        ']',
        '00100010 PN 8 d0',
        '= DOE^JOHN',
        '00104000 LT 0 d0',
        '= ',
        '7fe00010 OW 6 d0',
        '= pixels',
      ]);
      for (let size = 1; size < bytes.length; size++) expect(walk(bytes, encoding, { size })).toEqual(whole);
    },
  );

  it.each<Encoding>(['explicit', 'implicit', 'big'])(
    'refuses a %s data set cut anywhere inside',
    (encoding) => {
      const bytes = encode(nested, encoding);
      const ends = new Set(nested.map((_, index) => encode(nested.slice(0, index), encoding).length));
      for (let cut = 1; cut < bytes.length; cut++) {
        const attempt = (): unknown => walk(bytes.subarray(0, cut), encoding, { size: 5 });
        if (ends.has(cut)) attempt();
        else expect(attempt).toThrow(refusal('truncated'));
      }
    },
  );

  it('gives offsets and hands parts on as they come', () => {
    const bytes = encode([e(0x00080005, 'CS', 'ISO_IR 6'), e(0x00091001, 'OB', Buffer.alloc(100))]);
    expect(walk(bytes, 'explicit', { size: 33, handling: () => 'stream' })).toEqual([
      '00080005 CS 8 @0 d0',
      'streamed 8',
      '00091001 OB 100 @16 d0',
      'streamed 100',
    ]);
  });

  it('tells the place of an error without its value', () => {
    const bytes = encode([
      e(0x00080005, 'CS', 'SECRET'),
      { ...e(0x00100010, 'PN', 'SECRET'), claimedLength: 100 },
    ]);
    try {
      walk(bytes);
      throw new Error('accepted');
    } catch (error) {
      expect(error).toMatchObject({
        tag: 0x00100010,
        offset: 14,
        message: 'ends inside (0010,0010) at byte 14',
      });
    }
  });

  describe('encapsulated pixel data', () => {
    const open = header(0x7fe00010, 'OB', UNDEFINED, 'explicit');
    const fragments = Buffer.concat([
      header(ITEM, '', 0, 'explicit'),
      header(ITEM, '', 12, 'explicit'),
      // A sequence delimiter among compressed bytes is none.
      header(SEQUENCE_END, '', 0, 'explicit'),
      Buffer.alloc(4),
    ]);

    it('pass as fragments', () => {
      const bytes = Buffer.concat([
        open,
        fragments,
        header(SEQUENCE_END, '', 0, 'explicit'),
        encode([e(0xfffcfffc, 'OB', '')]),
      ]);
      for (const size of [1, 3, 100])
        expect(walk(bytes, 'explicit', { size })).toEqual([
          '< 7fe00010',
          'fragment 0',
          'fragment 12',
          '>',
          'fffcfffc OB 0 @48 d0',
          '= ',
        ]);
    });

    it('are refused without an end, and with anything but fragments', () => {
      expect(() => walk(Buffer.concat([open, fragments]))).toThrow(refusal('truncated'));
      expect(() => walk(Buffer.concat([open, encode([e(0x00100010, 'PN', 'AB')])]))).toThrow(
        refusal('malformed'),
      );
      expect(() => walk(Buffer.concat([open, header(ITEM, '', UNDEFINED, 'explicit')]))).toThrow(
        refusal('malformed'),
      );
    });
  });

  describe('what real writers make', () => {
    const inner = encode([e(0x00081150, 'UI', '1.2\0')], 'implicit');
    const item = Buffer.concat([header(ITEM, '', inner.length, 'explicit'), inner]);
    const told = ['[ 00081140 d0', '{', '00081150 UI 4 d1', '= 1.2\0', '}', ']'];
    const simple = (events: string[]): string[] => events.map((event) => event.replace(/ @\d+/, ''));

    it('UN of undefined length is an implicit sequence, in big endian too', () => {
      const end = header(SEQUENCE_END, '', 0, 'explicit');
      expect(
        simple(walk(Buffer.concat([header(0x00081140, 'UN', UNDEFINED, 'explicit'), item, end]))),
      ).toEqual(told);
      expect(
        simple(walk(Buffer.concat([header(0x00081140, 'UN', UNDEFINED, 'big'), item, end]), 'big')),
      ).toEqual(told);
    });

    it('UN of undefined length with explicit items is read as such', () => {
      const explicit = encode([e(0x00081150, 'UI', '1.2\0'), e(0x00081155, 'UI', '1.3\0')]);
      const bytes = Buffer.concat([
        header(0x00081140, 'UN', UNDEFINED, 'explicit'),
        header(ITEM, '', explicit.length, 'explicit'),
        explicit,
        item,
        header(SEQUENCE_END, '', 0, 'explicit'),
      ]);
      expect(simple(walk(bytes))).toEqual([
        ...told.slice(0, -2),
        '00081155 UI 4 d1',
        '= 1.3\0',
        '}',
        ...told.slice(1),
      ]);
    });

    it('UN of defined length is a sequence where the visitor says so', () => {
      const bytes = Buffer.concat([header(0x00081140, 'UN', item.length, 'explicit'), item]);
      const handling = (h: ElementHeader): ValueHandling => (h.vr === 'UN' ? 'walk' : 'keep');
      expect(simple(walk(bytes, 'explicit', { handling }))).toEqual([
        `00081140 UN ${item.length} d0`,
        ...told,
      ]);
      expect(simple(walk(bytes, 'explicit', { handling: () => 'skip' }))).toEqual([
        `00081140 UN ${item.length} d0`,
      ]);
    });

    it('implicit elements inside an explicit sequence', () => {
      const bytes = Buffer.concat([header(0x00081140, 'SQ', item.length, 'explicit'), item]);
      expect(simple(walk(bytes))).toEqual(told);
    });

    it('a private sequence in the implicit syntax shows by its undefined length', () => {
      const bytes = Buffer.concat([
        header(0x00091001, '', UNDEFINED, 'implicit'),
        item,
        header(SEQUENCE_END, '', 0, 'implicit'),
      ]);
      expect(simple(walk(bytes, 'implicit'))).toEqual(['[ 00091001 d0', ...told.slice(1)]);
    });

    it('unknown VRs: capitals have long lengths, others short ones', () => {
      const bytes = Buffer.concat([
        Buffer.from([0x09, 0, 0x01, 0x10, 0x5a, 0x5a, 0, 0, 2, 0, 0, 0, 0x41, 0x42]),
        Buffer.from([0x09, 0, 0x02, 0x10, 0x3f, 0x3f, 2, 0, 0x43, 0x44]),
      ]);
      for (const size of [1, 100])
        expect(walk(bytes, 'explicit', { size })).toEqual([
          '00091001 UN 2 @0 d0',
          '= AB',
          '00091002 UN 2 @14 d0',
          '= CD',
        ]);
    });

    it('delimiters after defined lengths', () => {
      const content = encode([e(0x00081150, 'UI', '1.2\0')]);
      const items = Buffer.concat([
        header(ITEM, '', content.length + 8, 'explicit'),
        content,
        header(ITEM_END, '', 0, 'explicit'),
        header(SEQUENCE_END, '', 0, 'explicit'),
      ]);
      const bytes = Buffer.concat([
        header(0x00081140, 'SQ', items.length, 'explicit'),
        items,
        header(SEQUENCE_END, '', 0, 'explicit'),
        encode([e(0x00100010, 'PN', 'AB')]),
      ]);
      expect(simple(walk(bytes))).toEqual([...told, '00100010 PN 2 d0', '= AB']);
    });
  });

  describe('what no reader could make sense of', () => {
    const content = encode([e(0x00081150, 'UI', '1.2\0')]);
    const cases: [string, Buffer, string][] = [
      [
        'an element longer than its item',
        Buffer.concat([
          header(0x00081140, 'SQ', 16, 'explicit'),
          header(ITEM, '', 8, 'explicit'),
          header(0x00081150, 'UI', 4, 'explicit'),
          Buffer.alloc(4),
        ]),
        'malformed',
      ],
      [
        'an item longer than its sequence',
        Buffer.concat([header(0x00081140, 'SQ', 16, 'explicit'), header(ITEM, '', 12, 'explicit'), content]),
        'malformed',
      ],
      [
        'a header across the end of its item',
        Buffer.concat([header(0x00081140, 'SQ', 12, 'explicit'), header(ITEM, '', 4, 'explicit'), content]),
        'malformed',
      ],
      [
        'a sequence without items',
        Buffer.concat([header(0x00081140, 'SQ', content.length, 'explicit'), content]),
        'malformed',
      ],
      [
        'an item outside of a sequence',
        Buffer.concat([header(ITEM, '', 12, 'explicit'), content]),
        'malformed',
      ],
      [
        'a sequence delimiter where the item has not ended',
        Buffer.concat([
          header(0x00081140, 'SQ', UNDEFINED, 'explicit'),
          header(ITEM, '', UNDEFINED, 'explicit'),
          header(SEQUENCE_END, '', 0, 'explicit'),
        ]),
        'malformed',
      ],
      ['undefined length of a text', header(0x00104000, 'UT', UNDEFINED, 'explicit'), 'malformed'],
      [
        'an undefined length inside a defined one without its end',
        Buffer.concat([
          header(0x00081140, 'SQ', 28, 'explicit'),
          header(ITEM, '', 20, 'explicit'),
          header(0x0040a730, 'SQ', UNDEFINED, 'explicit'),
          header(ITEM, '', UNDEFINED, 'explicit'),
          content,
        ]),
        'malformed',
      ],
    ];

    it.each(cases)('%s', (_what, bytes, reason) => {
      for (const size of [1, 7, bytes.length])
        expect(() => walk(bytes, 'explicit', { size })).toThrow(refusal(reason));
    });
  });

  describe('limits', () => {
    function deep(levels: number): Buffer {
      const open = Buffer.concat([
        header(0x0040a730, 'SQ', UNDEFINED, 'explicit'),
        header(ITEM, '', UNDEFINED, 'explicit'),
      ]);
      const close = Buffer.concat([
        header(ITEM_END, '', 0, 'explicit'),
        header(SEQUENCE_END, '', 0, 'explicit'),
      ]);
      return Buffer.concat([
        Buffer.alloc(open.length * levels, open),
        Buffer.alloc(close.length * levels, close),
      ]);
    }

    it('takes 64 nested sequences and refuses 65 and 10,000', () => {
      expect(walk(deep(64))).toHaveLength(256);
      expect(() => walk(deep(65))).toThrow(refusal('nesting'));
      expect(() => walk(deep(10_000))).toThrow(refusal('nesting'));
    });

    it('skips kept values above the limit instead of holding them', () => {
      const bytes = encode([e(0x00104000, 'UT', 'X'.repeat(100)), e(0x00104001, 'UT', 'Y'.repeat(10))]);
      expect(walk(bytes, 'explicit', { size: 9, limits: { keptValue: 50 } })).toEqual([
        '00104000 UT 100 @0 d0',
        '00104001 UT 10 @112 d0',
        '= YYYYYYYYYY',
      ]);
    });

    it('refuses a flood of headers, and no large values', () => {
      const limits = { headerBytes: 1000 };
      const flood = Buffer.alloc(1200, encode([e(0x00104000, 'LT', '')]));
      expect(() => walk(flood, 'explicit', { limits })).toThrow(refusal('too-large'));
      const large = encode([e(0x00091001, 'OB', Buffer.alloc(5000))]);
      expect(walk(large, 'explicit', { limits, handling: () => 'skip' })).toHaveLength(1);
    });

    it('passes over 5 GB and more by counting', () => {
      const recorder = new Recorder(() => 'skip');
      const walker = new ElementWalker(SYNTAX.explicit, recorder);
      const piece = Buffer.alloc(64 * 1024 * 1024);
      for (const tag of [0x00091001, 0x00091002]) {
        walker.push(header(tag, 'UN', 0xfffffffe, 'explicit'));
        for (let left = 0xfffffffe; left > 0; left -= piece.length)
          walker.push(piece.subarray(0, Math.min(left, piece.length)));
      }
      walker.push(encode([e(0x00100010, 'PN', 'AB')]));
      walker.finish();
      expect(recorder.events.at(-1)).toBe(`00100010 PN 2 @${2 * (12 + 0xfffffffe)} d0`);
    });

    it('does not wait for what a length claims', () => {
      const walker = new ElementWalker(SYNTAX.explicit, new Recorder());
      walker.push(header(0x00091001, 'UN', 1.5 * 2 ** 30, 'explicit'));
      walker.push(Buffer.alloc(1000));
      expect(() => {
        walker.finish();
      }).toThrow(refusal('truncated'));
    });
  });
});
