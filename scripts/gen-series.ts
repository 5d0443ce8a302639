#!/usr/bin/env -S node --disable-warning=MODULE_TYPELESS_PACKAGE_JSON
/**
 * Synthetic DICOM series for tests and load: phantoms with ellipses and noise, deterministic by seed. The bytes are written here
 * and nowhere else, without any code of the node, so that its reader is tested against an independent writer.
 *
 *   node scripts/gen-series.ts OUT --kind ct --instances 500 --studies 4      one .dcm file an instance, in OUT/study-NNNN/
 *   node scripts/gen-series.ts OUT --kind multiframe --bytes 2147483648       one file with 2 GiB of pixels
 *
 * Node runs this file as it stands (its types are erasable), which is why it imports from node: only: a relative import would need the
 * extension `.ts` for node and no extension for the compiler. Scripts load it as scripts/bench/ does, see there.
 */
import { once } from 'node:events';
import { createWriteStream, mkdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

export const KINDS = ['ct', 'mr', 'small', 'multiframe'] as const;
/** `ct` 512 × 512 × 16 bits; `mr` 256 × 256 × 16; `small` about 2 KB in all; `multiframe` frames of 512 × 512 × 16. */
export type Kind = (typeof KINDS)[number];

export const SYNTAXES = {
  explicit: '1.2.840.10008.1.2.1',
  implicit: '1.2.840.10008.1.2',
} as const;

export interface SeriesOptions {
  readonly kind: Kind;
  /** Same seed, same bytes. Default 1. */
  readonly seed?: number;
  /** Instances in all, dealt out evenly: the first study gets the first of them. Default 1. */
  readonly instances?: number;
  /** Studies in all, dealt out evenly among the patients. Default 1. */
  readonly studies?: number;
  /** Series of each study. Default 1. */
  readonly series?: number;
  /** Default: as many as there are studies. */
  readonly patients?: number;
  /** Pixel bytes of one `multiframe` instance: rounded down to whole frames of 512 KiB, at most 4 GiB - 512 KiB. Default 16 MiB. */
  readonly bytes?: number;
  /** Default `explicit`. */
  readonly syntax?: keyof typeof SYNTAXES;
}

/** One instance. Its bytes are made while they are read, and can be read again. */
export interface GeneratedInstance {
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
  readonly StudyInstanceUID: string;
  readonly SeriesInstanceUID: string;
  readonly PatientID: string;
  readonly TransferSyntaxUID: string;
  /** From 0, over all studies. */
  readonly study: number;
  readonly dataSetLength: number;
  /** The data set alone, as C-STORE sends it. */
  dataSet(): Generator<Buffer>;
  /** Preamble, file meta group and data set (PS3.10 7.1). */
  file(): Generator<Buffer>;
}

/** Deterministic 32-bit numbers (sfc32, a public-domain generator by Chris Doty-Humphrey). */
export function randomSource(seed: number): () => number {
  let a = seed >>> 0;
  let b = 0x9e3779b9;
  let c = 0x243f6a88;
  let counter = 1;
  const next = (): number => {
    const sum = (a + b + counter) >>> 0;
    counter = (counter + 1) >>> 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) >>> 0;
    c = (((c << 21) | (c >>> 11)) + sum) >>> 0;
    return sum;
  };
  for (let warmUp = 0; warmUp < 12; warmUp++) next();
  return next;
}

/** A UID under 2.25 from a random version 4 UUID (PS3.5 B.2): 44 characters at most. */
export function randomUid(random: () => number): string {
  const half = (): bigint => (BigInt(random()) << 32n) | BigInt(random());
  const high = (half() & ~0xf000n) | 0x4000n;
  const low = (half() & 0x3fffffffffffffffn) | 0x8000000000000000n;
  return `2.25.${((high << 64n) | low).toString()}`;
}

/** VRs with a 32-bit length field in explicit encoding (PS3.5 7.1.2). */
const LONG_FORM = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV']);

type Value = string | number | readonly number[] | Buffer;

/** Collects encoded elements; the caller keeps them in tag order. */
class ElementWriter {
  private readonly parts: Buffer[] = [];
  private readonly explicit: boolean;

  constructor(explicit: boolean) {
    this.explicit = explicit;
  }

  add(tag: number, vr: string, value: Value): this {
    const bytes = encodeValue(vr, value);
    return this.header(tag, vr, bytes.length).raw(bytes);
  }

  /** The head of an element whose `length` value bytes the caller supplies. */
  header(tag: number, vr: string, length: number): this {
    const long = !this.explicit || LONG_FORM.has(vr);
    const head = Buffer.alloc(this.explicit && long ? 12 : 8);
    head.writeUInt16LE(tag >>> 16, 0);
    head.writeUInt16LE(tag & 0xffff, 2);
    if (this.explicit) head.write(vr, 4, 'latin1');
    if (long) head.writeUInt32LE(length, head.length - 4);
    else head.writeUInt16LE(length, 6);
    return this.raw(head);
  }

  raw(bytes: Buffer): this {
    this.parts.push(bytes);
    return this;
  }

  bytes(): Buffer {
    return Buffer.concat(this.parts);
  }
}

function encodeValue(vr: string, value: Value): Buffer {
  if (Buffer.isBuffer(value)) return value;
  if (typeof value === 'string') {
    const text = Buffer.from(value, 'latin1');
    if (text.length % 2 === 0) return text;
    return Buffer.concat([text, Buffer.from(vr === 'UI' ? '\0' : ' ', 'latin1')]);
  }
  const numbers = typeof value === 'number' ? [value] : value;
  if (vr === 'US' || vr === 'AT') {
    const bytes = Buffer.alloc(numbers.length * 2);
    numbers.forEach((number, index) => bytes.writeUInt16LE(number, index * 2));
    return bytes;
  }
  const bytes = Buffer.alloc(numbers.length * 4);
  numbers.forEach((number, index) => bytes.writeUInt32LE(number, index * 4));
  return bytes;
}

/** What differs between the kinds. */
interface Shape {
  readonly SOPClassUID: string;
  readonly Modality: string;
  readonly rows: number;
  readonly columns: number;
  readonly title: string;
}

const SHAPES: Readonly<Record<Kind, Shape>> = {
  ct: {
    SOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
    Modality: 'CT',
    rows: 512,
    columns: 512,
    title: 'THORAX 1.0 B31f',
  },
  mr: {
    SOPClassUID: '1.2.840.10008.5.1.4.1.1.4',
    Modality: 'MR',
    rows: 256,
    columns: 256,
    title: 't2_tse_tra',
  },
  small: { SOPClassUID: '1.2.840.10008.5.1.4.1.1.2', Modality: 'CT', rows: 16, columns: 32, title: 'SCOUT' },
  multiframe: {
    SOPClassUID: '1.2.840.10008.5.1.4.1.1.7.3',
    Modality: 'OT',
    rows: 512,
    columns: 512,
    title: 'CINE RUN',
  },
};

/**
 * A body with two cavities and a bright spine in 12 bits, noise on top. An image is this template, rolled by whole rows: every slice has
 * bytes of its own and nothing is computed twice.
 */
function phantom(shape: Shape, random: () => number): Buffer {
  const { rows, columns } = shape;
  const ellipses = [
    { x: 0, y: 0, a: 0.85, b: 0.7, value: 1040 },
    { x: -0.38, y: 0, a: 0.28, b: 0.42, value: 180 },
    { x: 0.38, y: 0, a: 0.28, b: 0.42, value: 200 },
    { x: 0, y: 0.48, a: 0.12, b: 0.14, value: 1900 },
  ];
  const pixels = Buffer.alloc(rows * columns * 2);
  for (let row = 0; row < rows; row++) {
    const y = (2 * row) / rows - 1;
    for (let column = 0; column < columns; column++) {
      const x = (2 * column) / columns - 1;
      let value = 24;
      for (const { x: cx, y: cy, a, b, value: inside } of ellipses) {
        if (((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 <= 1) value = inside;
      }
      pixels.writeUInt16LE(value + (random() & 31), (row * columns + column) * 2);
    }
  }
  return pixels;
}

const FAMILY = ['Garcia', 'Muller', 'Nguyen', 'Okafor', 'Smith', 'Svensson', 'Tanaka', 'Weber'];
const GIVEN = ['Alex', 'Chris', 'Jordan', 'Kim', 'Maria', 'Robin', 'Sam', 'Toni'];

interface Patient {
  readonly PatientID: string;
  readonly name: string;
  readonly birth: string;
  readonly sex: string;
}

interface Study {
  readonly patient: Patient;
  readonly uid: string;
  readonly frame: string;
  readonly series: readonly string[];
  readonly date: string;
  readonly time: string;
  readonly number: number;
}

const digits = (value: number, width: number): string => String(value).padStart(width, '0');

/** A date between 1930 and `lastYear`. */
function randomDate(random: () => number, firstYear: number, years: number): string {
  return `${firstYear + (random() % years)}${digits(1 + (random() % 12), 2)}${digits(1 + (random() % 28), 2)}`;
}

function makePatient(random: () => number, seed: number, index: number): Patient {
  return {
    PatientID: `SYN${digits(seed, 3)}-${digits(index + 1, 6)}`,
    name: `${FAMILY[random() % FAMILY.length]!}^${GIVEN[random() % GIVEN.length]!}`,
    birth: randomDate(random, 1930, 80),
    sex: random() & 1 ? 'F' : 'M',
  };
}

/** Every element before the pixels, in tag order. */
function headerBytes(
  kind: Kind,
  explicit: boolean,
  study: Study,
  seriesIndex: number,
  instanceNumber: number,
  SOPInstanceUID: string,
  frames: number,
): Buffer {
  const shape = SHAPES[kind];
  const { patient } = study;
  const spacing = kind === 'mr' ? '0.9\\0.9' : '0.75\\0.75';
  const z = String(-200 + instanceNumber * 1.5);
  const w = new ElementWriter(explicit)
    .add(0x00080005, 'CS', 'ISO_IR 100')
    .add(0x00080008, 'CS', kind === 'multiframe' ? 'DERIVED\\SECONDARY' : imageType(kind))
    .add(0x00080016, 'UI', shape.SOPClassUID)
    .add(0x00080018, 'UI', SOPInstanceUID)
    .add(0x00080020, 'DA', study.date)
    .add(0x00080021, 'DA', study.date)
    .add(0x00080022, 'DA', study.date)
    .add(0x00080023, 'DA', study.date)
    .add(0x00080030, 'TM', study.time)
    .add(0x00080031, 'TM', study.time)
    .add(0x00080032, 'TM', study.time)
    .add(0x00080033, 'TM', study.time)
    .add(0x00080050, 'SH', `ACC${digits(study.number + 1, 8)}`)
    .add(0x00080060, 'CS', shape.Modality);
  if (kind === 'multiframe') w.add(0x00080064, 'CS', 'WSD');
  w.add(0x00080070, 'LO', 'Synthetic')
    .add(0x00080080, 'LO', 'Phantom Hospital')
    .add(0x00080090, 'PN', 'Referrer^Pat')
    .add(0x00081030, 'LO', `${shape.Modality} study ${study.number + 1}`)
    .add(0x0008103e, 'LO', shape.title)
    .add(0x00081090, 'LO', 'Generator 1')
    .add(0x00100010, 'PN', patient.name)
    .add(0x00100020, 'LO', patient.PatientID)
    .add(0x00100030, 'DA', patient.birth)
    .add(0x00100040, 'CS', patient.sex)
    .add(0x00180015, 'CS', 'CHEST');
  if (kind === 'mr') {
    w.add(0x00180020, 'CS', 'SE')
      .add(0x00180021, 'CS', 'NONE')
      .add(0x00180022, 'CS', '')
      .add(0x00180023, 'CS', '2D');
  }
  if (kind !== 'multiframe') w.add(0x00180050, 'DS', '1.5');
  if (kind === 'ct' || kind === 'small') w.add(0x00180060, 'DS', '120');
  if (kind === 'mr') w.add(0x00180080, 'DS', '4000').add(0x00180081, 'DS', '90').add(0x00180091, 'IS', '15');
  w.add(0x00181030, 'LO', shape.title);
  if (kind === 'multiframe') w.add(0x00181063, 'DS', '40');
  else w.add(0x00185100, 'CS', 'HFS');
  w.add(0x0020000d, 'UI', study.uid)
    .add(0x0020000e, 'UI', study.series[seriesIndex]!)
    .add(0x00200010, 'SH', String(study.number + 1))
    .add(0x00200011, 'IS', String(seriesIndex + 1))
    .add(0x00200012, 'IS', '1')
    .add(0x00200013, 'IS', String(instanceNumber));
  if (kind === 'multiframe') {
    w.add(0x00200020, 'CS', '');
  } else {
    w.add(0x00200032, 'DS', `-192\\-192\\${z}`)
      .add(0x00200037, 'DS', '1\\0\\0\\0\\1\\0')
      .add(0x00200052, 'UI', study.frame)
      .add(0x00201040, 'LO', '')
      .add(0x00201041, 'DS', z);
  }
  w.add(0x00280002, 'US', 1).add(0x00280004, 'CS', 'MONOCHROME2');
  if (kind === 'multiframe') w.add(0x00280008, 'IS', String(frames)).add(0x00280009, 'AT', [0x0018, 0x1063]);
  w.add(0x00280010, 'US', shape.rows).add(0x00280011, 'US', shape.columns);
  if (kind !== 'multiframe') w.add(0x00280030, 'DS', spacing);
  w.add(0x00280100, 'US', 16).add(0x00280101, 'US', 12).add(0x00280102, 'US', 11).add(0x00280103, 'US', 0);
  if (kind === 'multiframe') w.add(0x00280301, 'CS', 'NO');
  w.add(0x00281050, 'DS', '1064').add(0x00281051, 'DS', '400');
  if (kind !== 'mr') {
    w.add(0x00281052, 'DS', kind === 'multiframe' ? '0' : '-1024').add(0x00281053, 'DS', '1');
    w.add(0x00281054, 'LO', kind === 'multiframe' ? 'US' : 'HU');
  }
  if (kind === 'multiframe') w.add(0x20500020, 'CS', 'IDENTITY');
  return w.bytes();
}

const imageType = (kind: Kind): string =>
  kind === 'mr' ? 'ORIGINAL\\PRIMARY\\OTHER' : 'ORIGINAL\\PRIMARY\\AXIAL';

function metaBytes(SOPClassUID: string, SOPInstanceUID: string, TransferSyntaxUID: string): Buffer {
  const group = new ElementWriter(true)
    .add(0x00020001, 'OB', Buffer.from([0, 1]))
    .add(0x00020002, 'UI', SOPClassUID)
    .add(0x00020003, 'UI', SOPInstanceUID)
    .add(0x00020010, 'UI', TransferSyntaxUID)
    .add(0x00020012, 'UI', '2.25.80302813137786398554742050926734630921')
    .add(0x00020013, 'SH', 'SYNTHETIC_1')
    .bytes();
  return new ElementWriter(true)
    .raw(Buffer.alloc(128))
    .raw(Buffer.from('DICM', 'latin1'))
    .add(0x00020000, 'UL', group.length)
    .raw(group)
    .bytes();
}

/**
 * Instances one after the other, grouped by study and series; memory does not grow with their number or size.
 * @throws RangeError for a count below 1, more studies than instances, or more pixels than one element holds.
 */
export function* generateSeries(options: SeriesOptions): Generator<GeneratedInstance> {
  const { kind, seed = 1, instances = 1, studies = 1, series = 1, syntax = 'explicit' } = options;
  const { patients = studies, bytes = 16 * 1024 * 1024 } = options;
  for (const [name, value] of Object.entries({ instances, studies, series, patients })) {
    if (!Number.isInteger(value) || value < 1) throw new RangeError(`${name} must be a whole number above 0`);
  }
  if (studies * series > instances) throw new RangeError('fewer instances than series');
  if (patients > studies) throw new RangeError('fewer studies than patients');
  const shape = SHAPES[kind];
  const random = randomSource(seed);
  const template = phantom(shape, random);
  const frames = kind === 'multiframe' ? Math.floor(bytes / template.length) : 1;
  const pixelLength = frames * template.length;
  if (frames < 1 || pixelLength > 0xfffffffe) {
    throw new RangeError(`bytes must be between ${template.length} and 4294967294`);
  }
  const explicit = syntax === 'explicit';
  const TransferSyntaxUID = SYNTAXES[syntax];
  const pixelHead = new ElementWriter(explicit).header(0x7fe00010, 'OW', pixelLength).bytes();
  let patient = makePatient(random, seed, 0);
  let patientIndex = 0;
  for (let study = 0, first = 0; study < studies; study++) {
    const belongsTo = Math.floor((study * patients) / studies);
    if (belongsTo !== patientIndex) patient = makePatient(random, seed, (patientIndex = belongsTo));
    const current: Study = {
      patient,
      uid: randomUid(random),
      frame: randomUid(random),
      series: Array.from({ length: series }, () => randomUid(random)),
      date: randomDate(random, 2015, 10),
      time: `${digits(random() % 24, 2)}${digits(random() % 60, 2)}${digits(random() % 60, 2)}`,
      number: study,
    };
    const end = Math.floor(((study + 1) * instances) / studies);
    for (let index = first; index < end; index++) {
      const seriesIndex = Math.floor(((index - first) * series) / (end - first));
      const SOPInstanceUID = randomUid(random);
      const header = headerBytes(
        kind,
        explicit,
        current,
        seriesIndex,
        index - first + 1,
        SOPInstanceUID,
        frames,
      );
      const head = Buffer.concat([header, pixelHead]);
      const roll = (index % shape.rows) * shape.columns * 2;
      const dataSet = function* (): Generator<Buffer> {
        yield head;
        for (let frame = 0; frame < frames; frame++) {
          yield template.subarray(roll);
          if (roll > 0) yield template.subarray(0, roll);
        }
      };
      yield {
        SOPClassUID: shape.SOPClassUID,
        SOPInstanceUID,
        StudyInstanceUID: current.uid,
        SeriesInstanceUID: current.series[seriesIndex]!,
        PatientID: patient.PatientID,
        TransferSyntaxUID,
        study,
        dataSetLength: head.length + pixelLength,
        dataSet,
        file: function* (): Generator<Buffer> {
          yield metaBytes(shape.SOPClassUID, SOPInstanceUID, TransferSyntaxUID);
          yield* dataSet();
        },
      };
    }
    first = end;
  }
}

/** Writes every instance to a file of its own under `folder`/study-NNNN/. Returns their number. */
export async function writeSeries(folder: string, options: SeriesOptions): Promise<number> {
  let count = 0;
  for (const instance of generateSeries(options)) {
    const place = path.join(folder, `study-${digits(instance.study + 1, 4)}`);
    mkdirSync(place, { recursive: true });
    const stream = createWriteStream(path.join(place, `${digits(++count, 7)}.dcm`), { flags: 'wx' });
    for (const chunk of instance.file()) {
      if (!stream.write(chunk)) await once(stream, 'drain');
    }
    stream.end();
    await once(stream, 'finish');
  }
  return count;
}

const USAGE = `\
Usage: node scripts/gen-series.ts OUT [--kind ct|mr|small|multiframe] [--instances N] [--studies N] [--series N]
         [--patients N] [--seed N] [--bytes N] [--syntax explicit|implicit]
Examples:
  node scripts/gen-series.ts /tmp/ct --kind ct --instances 500 --studies 4
  node scripts/gen-series.ts /tmp/big --kind multiframe --bytes 2147483648
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      kind: { type: 'string', default: 'ct' },
      syntax: { type: 'string', default: 'explicit' },
      instances: { type: 'string' },
      studies: { type: 'string' },
      series: { type: 'string' },
      patients: { type: 'string' },
      seed: { type: 'string' },
      bytes: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const kind = KINDS.find((name) => name === values.kind);
  const [folder] = positionals;
  if (values.help || folder === undefined || kind === undefined || !(values.syntax in SYNTAXES)) {
    (values.help ? process.stdout : process.stderr).write(USAGE);
    return values.help ? 0 : 2;
  }
  const numbers: Record<string, number> = {};
  for (const name of ['instances', 'studies', 'series', 'patients', 'seed', 'bytes'] as const) {
    const text = values[name];
    if (text !== undefined) numbers[name] = Number(text);
  }
  const syntax = values.syntax as keyof typeof SYNTAXES;
  const count = await writeSeries(folder, { kind, syntax, ...numbers });
  process.stdout.write(`${count} instances in ${folder}\n`);
  return 0;
}

if (process.argv[1]?.endsWith('gen-series.ts') === true) {
  main().then(
    (code) => (process.exitCode = code),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    },
  );
}
