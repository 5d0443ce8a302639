import { deflateRawSync } from 'node:zlib';

/**
 * A byte builder for data sets (PS3.5 7), independent of src/ and of every library: what it makes is the yardstick.
 * It encodes what it is told to, malformed or not.
 */
export type Encoding = 'explicit' | 'implicit' | 'big';

/** Text is written as Latin-1; give a Buffer for other character sets. Numbers are written by the VR. */
export type Value = string | Buffer | readonly number[] | Sequence;

export interface Sequence {
  readonly items: readonly (readonly Element[])[];
  /** Sequence and items with undefined length and delimiters. */
  readonly undefinedLength?: boolean;
}

export interface Element {
  readonly tag: number;
  readonly vr: string;
  readonly value: Value;
  /** Written in the length field instead of the true one. */
  readonly claimedLength?: number;
}

export const TS = {
  implicit: '1.2.840.10008.1.2',
  explicit: '1.2.840.10008.1.2.1',
  big: '1.2.840.10008.1.2.2',
  deflated: '1.2.840.10008.1.2.1.99',
  jpegBaseline: '1.2.840.10008.1.2.4.50',
  jpegLossless: '1.2.840.10008.1.2.4.70',
  jpegLs: '1.2.840.10008.1.2.4.80',
  j2kLossless: '1.2.840.10008.1.2.4.90',
  rle: '1.2.840.10008.1.2.5',
  mpeg4: '1.2.840.10008.1.2.4.102',
} as const;

export const SOP = {
  verification: '1.2.840.10008.1.1',
  ct: '1.2.840.10008.5.1.4.1.1.2',
  mr: '1.2.840.10008.5.1.4.1.1.4',
  cr: '1.2.840.10008.5.1.4.1.1.1',
  us: '1.2.840.10008.5.1.4.1.1.6.1',
  sc: '1.2.840.10008.5.1.4.1.1.7',
  sr: '1.2.840.10008.5.1.4.1.1.88.11',
  multiFrame: '1.2.840.10008.5.1.4.1.1.7.2',
} as const;

/** All UIDs of the fixtures stand under this root (2.25: PS3.5 B.2). */
export const UID_ROOT = '2.25.7701';

const LONG_VRS = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV']);
const UNDEFINED = 0xffffffff;

export function encode(elements: readonly Element[], encoding: Encoding = 'explicit'): Buffer {
  return Buffer.concat(elements.map((element) => encodeElement(element, encoding)));
}

function encodeElement(element: Element, encoding: Encoding): Buffer {
  const { tag, vr, value } = element;
  let bytes: Buffer;
  let length: number | undefined;
  if (typeof value === 'object' && 'items' in value) {
    bytes = encodeItems(value, encoding);
    if (value.undefinedLength === true) length = UNDEFINED;
  } else {
    bytes = valueBytes(vr, value, encoding);
  }
  return Buffer.concat([header(tag, vr, element.claimedLength ?? length ?? bytes.length, encoding), bytes]);
}

/** Tag, VR and length field of an element. */
export function header(tag: number, vr: string, length: number, encoding: Encoding): Buffer {
  const tagBytes = encodeTag(tag, encoding);
  if (encoding === 'implicit' || vr === '') return Buffer.concat([tagBytes, u32(length, encoding)]);
  const vrBytes = Buffer.from(vr, 'latin1');
  return LONG_VRS.has(vr)
    ? Buffer.concat([tagBytes, vrBytes, Buffer.alloc(2), u32(length, encoding)])
    : Buffer.concat([tagBytes, vrBytes, u16(length & 0xffff, encoding)]);
}

function encodeItems(sequence: Sequence, encoding: Encoding): Buffer {
  const open = sequence.undefinedLength === true;
  const parts = sequence.items.flatMap((item) => {
    const content = encode(item, encoding);
    const start = header(0xfffee000, '', open ? UNDEFINED : content.length, encoding);
    return open ? [start, content, header(0xfffee00d, '', 0, encoding)] : [start, content];
  });
  if (open) parts.push(header(0xfffee0dd, '', 0, encoding));
  return Buffer.concat(parts);
}

function valueBytes(vr: string, value: string | Buffer | readonly number[], encoding: Encoding): Buffer {
  if (Buffer.isBuffer(value)) return value;
  if (typeof value === 'string') {
    const bytes = Buffer.from(value, 'latin1');
    if (bytes.length % 2 === 0) return bytes;
    return Buffer.concat([bytes, Buffer.from(vr === 'UI' || vr === 'OB' ? '\0' : ' ')]);
  }
  const four = vr === 'UL' || vr === 'SL';
  return Buffer.concat(value.map((number) => (four ? u32(number, encoding) : u16(number, encoding))));
}

function encodeTag(tag: number, encoding: Encoding): Buffer {
  return Buffer.concat([u16(tag >>> 16, encoding), u16(tag & 0xffff, encoding)]);
}

function u16(value: number, encoding: Encoding): Buffer {
  const bytes = Buffer.alloc(2);
  if (encoding === 'big') bytes.writeUInt16BE(value & 0xffff);
  else bytes.writeUInt16LE(value & 0xffff);
  return bytes;
}

function u32(value: number, encoding: Encoding): Buffer {
  const bytes = Buffer.alloc(4);
  if (encoding === 'big') bytes.writeUInt32BE(value >>> 0);
  else bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

export interface ObjectFields {
  readonly SOPClassUID?: string;
  readonly SOPInstanceUID?: string;
  readonly StudyInstanceUID?: string;
  readonly SeriesInstanceUID?: string;
  readonly PatientID?: string;
  readonly PatientName?: string | Buffer;
  readonly SpecificCharacterSet?: string;
  readonly StudyDate?: string;
  readonly StudyTime?: string;
  readonly AccessionNumber?: string;
  readonly StudyDescription?: string;
  readonly Modality?: string;
  readonly SeriesNumber?: string;
  readonly InstanceNumber?: string;
  /** Rows = Columns; pixel data of 2 bytes a pixel. 0 leaves the pixel module out. */
  readonly size?: number;
  /** First value of the pixel pattern, to make two objects differ. */
  readonly seed?: number;
  readonly pixelData?: Buffer;
  /** Written among the others in the order of the tags; replaces an element of the same tag. */
  readonly extra?: readonly Element[];
  /** Tags to leave out. */
  readonly without?: readonly number[];
}

/** Elements of a small image object, in the order of the tags. */
export function imageElements(fields: ObjectFields = {}): Element[] {
  const size = fields.size ?? 16;
  const elements: Element[] = [];
  const put = (tag: number, vr: string, value: Value | undefined): void => {
    if (value !== undefined) elements.push({ tag, vr, value });
  };
  put(0x00080005, 'CS', fields.SpecificCharacterSet);
  put(0x00080016, 'UI', fields.SOPClassUID ?? SOP.ct);
  put(0x00080018, 'UI', fields.SOPInstanceUID ?? `${UID_ROOT}.1.1.1`);
  put(0x00080020, 'DA', fields.StudyDate);
  put(0x00080030, 'TM', fields.StudyTime);
  put(0x00080050, 'SH', fields.AccessionNumber ?? '');
  put(0x00080060, 'CS', fields.Modality ?? 'CT');
  put(0x00080090, 'PN', '');
  put(0x00081030, 'LO', fields.StudyDescription);
  put(0x00100010, 'PN', fields.PatientName ?? 'TEST^OBJECT');
  put(0x00100020, 'LO', fields.PatientID ?? 'TESTID');
  put(0x00100030, 'DA', '');
  put(0x00100040, 'CS', '');
  put(0x0020000d, 'UI', fields.StudyInstanceUID ?? `${UID_ROOT}.1`);
  put(0x0020000e, 'UI', fields.SeriesInstanceUID ?? `${UID_ROOT}.1.1`);
  put(0x00200010, 'SH', '');
  put(0x00200011, 'IS', fields.SeriesNumber ?? '1');
  put(0x00200013, 'IS', fields.InstanceNumber ?? '1');
  if (size > 0) {
    put(0x00280002, 'US', [1]);
    put(0x00280004, 'CS', 'MONOCHROME2');
    put(0x00280010, 'US', [size]);
    put(0x00280011, 'US', [size]);
    put(0x00280100, 'US', [16]);
    put(0x00280101, 'US', [16]);
    put(0x00280102, 'US', [15]);
    put(0x00280103, 'US', [0]);
    put(0x7fe00010, 'OW', fields.pixelData ?? pattern(size * size * 2, fields.seed ?? 0));
  }
  const extra = fields.extra ?? [];
  const replaced = new Set(extra.map(({ tag }) => tag).concat(fields.without ?? []));
  return [...elements.filter(({ tag }) => !replaced.has(tag)), ...extra].sort((a, b) => a.tag - b.tag);
}

/** Bytes that differ for each seed and aren't all alike. */
export function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = (seed * 2654435761 + 12345) >>> 0;
  for (let at = 0; at + 4 <= length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt32LE(state, at);
  }
  return bytes;
}

/** Encapsulated pixel data (PS3.5 A.4): an empty offset table and one fragment a frame. */
export function encapsulated(fragments: readonly Buffer[]): Buffer {
  return Buffer.concat([
    header(0x7fe00010, 'OB', UNDEFINED, 'explicit'),
    header(0xfffee000, '', 0, 'explicit'),
    ...fragments.flatMap((fragment) => [header(0xfffee000, '', fragment.length, 'explicit'), fragment]),
    header(0xfffee0dd, '', 0, 'explicit'),
  ]);
}

/** One object as it goes over the wire. */
export interface SentObject {
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
  readonly StudyInstanceUID: string;
  readonly SeriesInstanceUID: string;
  readonly transferSyntax: string;
  readonly dataSet: Buffer;
}

/** An object in one of the syntaxes; encapsulated ones get a made-up fragment, which the node has no business reading. */
export function imageObject(fields: ObjectFields = {}, transferSyntax: string = TS.explicit): SentObject {
  const identity = {
    SOPClassUID: fields.SOPClassUID ?? SOP.ct,
    SOPInstanceUID: fields.SOPInstanceUID ?? `${UID_ROOT}.1.1.1`,
    StudyInstanceUID: fields.StudyInstanceUID ?? `${UID_ROOT}.1`,
    SeriesInstanceUID: fields.SeriesInstanceUID ?? `${UID_ROOT}.1.1`,
  };
  return { ...identity, transferSyntax, dataSet: encodeAs(imageElements(fields), transferSyntax) };
}

function encodeAs(elements: readonly Element[], transferSyntax: string): Buffer {
  switch (transferSyntax) {
    case TS.implicit:
      return encode(elements, 'implicit');
    case TS.big:
      return encode(elements, 'big');
    case TS.explicit:
      return encode(elements, 'explicit');
    case TS.deflated:
      return deflateRawSync(encode(elements, 'explicit'));
    default: {
      const pixels = elements.find(({ tag }) => tag === 0x7fe00010);
      const rest = encode(elements.filter(({ tag }) => tag !== 0x7fe00010));
      if (pixels === undefined || !Buffer.isBuffer(pixels.value)) return rest;
      return Buffer.concat([rest, encapsulated([pixels.value])]);
    }
  }
}

/** A Part-10 file (PS3.10 7.1) around a data set. */
export function part10(object: SentObject): Buffer {
  const meta = encode([
    { tag: 0x00020001, vr: 'OB', value: Buffer.from([0, 1]) },
    { tag: 0x00020002, vr: 'UI', value: object.SOPClassUID },
    { tag: 0x00020003, vr: 'UI', value: object.SOPInstanceUID },
    { tag: 0x00020010, vr: 'UI', value: object.transferSyntax },
    { tag: 0x00020012, vr: 'UI', value: `${UID_ROOT}.9` },
  ]);
  return Buffer.concat([
    Buffer.alloc(128),
    Buffer.from('DICM'),
    encode([{ tag: 0x00020000, vr: 'UL', value: [meta.length] }]),
    meta,
    object.dataSet,
  ]);
}

/** Bytes of ISO 2022 IR 87 and GB18030 names, as the examples of PS3.5 Annexes H and J write them. */
const YAMADA = Buffer.concat([
  Buffer.from('Yamada^Tarou='),
  Buffer.from('1b2442', 'hex'),
  Buffer.from('3b334544', 'hex'),
  Buffer.from('1b28425e1b2442', 'hex'),
  Buffer.from('42404f3a', 'hex'),
  Buffer.from('1b28423d1b2442', 'hex'),
  Buffer.from('2464245e2440', 'hex'),
  Buffer.from('1b28425e1b2442', 'hex'),
  Buffer.from('243f246d2426', 'hex'),
  Buffer.from('1b2842', 'hex'),
]);
const WANG = Buffer.concat([
  Buffer.from('Wang^XiaoDong='),
  Buffer.from('cdf5', 'hex'),
  Buffer.from('^'),
  Buffer.from('d0a1b6ab', 'hex'),
  Buffer.from(' '),
]);

/** What `find` has to say of the patients of the fixtures, in Unicode. */
export const FIXTURE_NAMES: Readonly<Record<string, string>> = {
  PID1: 'DOE^JOHN',
  PID2: 'Doe^Jane^Q',
  PID3: 'Müller^Jörg',
  PID4: 'Yamada^Tarou=山田^太郎=やまだ^たろう',
  PID5: 'Wang^XiaoDong=王^小东',
  PID6: 'SMITH^A',
  PID7: 'Buc^Jérôme',
};

/**
 * S1 to S8: the studies that the conformance cases speak of. `instances` of S8 may be fewer than its 2000; `uncompressed` leaves out the
 * compression of S2 and S4, for peers that wouldn't take them.
 */
export function fixtures(instances = 2000, uncompressed = false): Record<string, SentObject[]> {
  const study = (number: number, count: number, common: ObjectFields, syntax: string = TS.explicit) =>
    Array.from({ length: count }, (_, index) =>
      imageObject(
        {
          ...common,
          StudyInstanceUID: `${UID_ROOT}.${number}`,
          SeriesInstanceUID: `${UID_ROOT}.${number}.${common.SeriesNumber ?? '1'}`,
          SOPInstanceUID: `${UID_ROOT}.${number}.${common.SeriesNumber ?? '1'}.${index + 1}`,
          InstanceNumber: String(index + 1),
          seed: number * 10000 + index,
        },
        uncompressed ? TS.explicit : syntax,
      ),
    );
  const s1 = {
    PatientName: 'DOE^JOHN',
    PatientID: 'PID1',
    StudyDate: '20240101',
    StudyTime: '101500',
    AccessionNumber: 'ACC1',
    StudyDescription: 'CHEST CT',
    extra: [{ tag: 0x00100040, vr: 'CS', value: 'M ' }],
  };
  const requestAttributes: Element = {
    tag: 0x00400275,
    vr: 'SQ',
    value: { items: [[{ tag: 0x00400009, vr: 'SH', value: 'SPS1' }]] },
  };
  return {
    S1: [
      ...study(1, 3, { ...s1, extra: [...s1.extra, requestAttributes] }),
      ...study(1, 1, { ...s1, SOPClassUID: SOP.sr, Modality: 'SR', SeriesNumber: '2', size: 0 }),
    ],
    S2: study(
      2,
      2,
      {
        PatientName: 'DOE^JOHN',
        PatientID: 'PID1',
        StudyDate: '20240105',
        StudyTime: '235959.5',
        AccessionNumber: 'ACC2',
        SOPClassUID: SOP.mr,
        Modality: 'MR',
      },
      TS.j2kLossless,
    ),
    S3: study(3, 1, {
      PatientName: 'Doe^Jane^Q',
      PatientID: 'PID2',
      StudyDate: '20240110',
      StudyTime: '000000',
      AccessionNumber: 'ACC3',
      SOPClassUID: SOP.cr,
      Modality: 'CR',
    }),
    S4: study(
      4,
      1,
      {
        SpecificCharacterSet: 'ISO_IR 100',
        PatientName: Buffer.from('Müller^Jörg ', 'latin1'),
        PatientID: 'PID3',
        StudyDate: '20240110',
        StudyTime: '120000',
        SOPClassUID: SOP.us,
        Modality: 'US',
      },
      TS.rle,
    ),
    S5: study(5, 1, {
      SpecificCharacterSet: '\\ISO 2022 IR 87',
      PatientName: YAMADA,
      PatientID: 'PID4',
      StudyDate: '20231201',
      StudyTime: '080000',
    }),
    S6: study(6, 1, {
      SpecificCharacterSet: 'GB18030',
      PatientName: WANG,
      PatientID: 'PID5',
      StudyDate: '20231202',
      StudyTime: '090000',
    }),
    S7: study(7, 1, { PatientName: 'SMITH^A', PatientID: 'PID6' }),
    S8: study(8, instances, {
      SpecificCharacterSet: 'ISO_IR 192',
      PatientName: Buffer.from('Buc^Jérôme', 'utf8'),
      PatientID: 'PID7',
      StudyDate: '20231203',
      StudyTime: '130000',
      size: 4,
    }),
  };
}
