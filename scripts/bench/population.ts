/**
 * What a department with 40 studies a day holds after years: 10 instances a study in two series, 2.5 studies a patient over the years,
 * 20 patients called Smith or alike whatever the size, 40 more with "mit" within their names, and one study with a series of 2000 images.
 */
import { createRequire } from 'node:module';
import type { Arrival } from '../../src/catalog/types';
import type * as DataSetModule from '../../src/dicom/data-set';
import type * as Dictionary from '../../src/dicom/dictionary';
import type { InstanceHeader } from '../../src/dicom/types';
import type * as Fill from './fill';

const load = createRequire(process.argv[1]!);
const { arrivalOf, digits, uidOf } = load('./fill.ts') as typeof Fill;
const { encodeDataSet } = load('../../dist/dicom/data-set.js') as typeof DataSetModule;
const { tagOf, vrOf } = load('../../dist/dicom/dictionary.js') as typeof Dictionary;

export const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
export const CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2';

export const INSTANCES_A_STUDY = 10;
export const LONG_SERIES = 2000;
export const STUDIES_A_DAY = 40;
const STUDIES_A_PATIENT = 2.5;
const SMITHS = 20;
const INNER = 40;

const FIRST_DAY = Date.UTC(2018, 0, 1);
const SMITH_NAMES = ['SMITH', 'SMITHERS', 'SMITHSON', 'SMITH-JONES'];
const INNER_NAMES = ['SCHMITT', 'HAMMITT', 'DMITRIEV', 'LEMITRE'];
/** No two of them make "mit". */
const SYLLABLES = 'BA KO RU LE NA DO SE VA GRI HO PEL TAN MAR LIN FEN SUR DAL KES ROM WEI'.split(' ');
const GIVEN = 'ANNA JOHN MARIA PAUL LENA OMAR INES HUGO VERA KARL NINA IVAN RUTH LUIS EMMA JEAN'.split(' ');
const MODALITIES = ['CT', 'CT', 'MR', 'CR', 'US', 'CT', 'MR', 'DX'];
const DESCRIPTIONS = ['THORAX', 'ABDOMEN', 'HEAD', 'KNEE LEFT', 'KNEE RIGHT', 'SPINE', 'PELVIS', 'HEART'];

export interface Study {
  readonly index: number;
  readonly StudyInstanceUID: string;
  readonly StudyDate: string;
  readonly AccessionNumber: string;
  readonly PatientID: string;
  readonly PatientName: string;
}

export class Population {
  readonly instances: number;
  /** The one with the long series is the last. */
  readonly studies: number;
  readonly patients: number;
  readonly days: number;

  /** @param instances At least 5000, in tens. */
  constructor(instances: number) {
    this.instances = instances;
    const usual = (instances - LONG_SERIES) / INSTANCES_A_STUDY;
    if (!Number.isInteger(usual) || usual < 300) throw new RangeError('a size is at least 5000, in tens');
    this.studies = usual + 1;
    this.patients = Math.floor(usual / STUDIES_A_PATIENT);
    this.days = Math.floor(usual / STUDIES_A_DAY);
  }

  study(index: number): Study {
    const long = index === this.studies - 1;
    // Spreads the studies of a patient over the years; 7919 is prime.
    const patient = long ? this.patients : (index * 7919) % this.patients;
    return {
      index,
      StudyInstanceUID: uidOf('study', index),
      StudyDate: this.day(Math.floor(index / STUDIES_A_DAY)),
      AccessionNumber: `A${digits(index, 8)}`,
      PatientID: `P${digits(patient, 7)}`,
      PatientName: this.name(patient),
    };
  }

  /** A date as it stands in keys, counted from the first. */
  day(number: number): string {
    return new Date(FIRST_DAY + number * 86_400_000).toISOString().slice(0, 10).replaceAll('-', '');
  }

  /** Of a usual study 0 or 1, of the last one 0. */
  seriesUid(study: number, series: number): string {
    return uidOf(`series ${series} of study`, study);
  }

  /** Studies whose name has `text` at its beginning, or anywhere. */
  named(text: string, anywhere: boolean): number {
    let count = 0;
    for (let index = 0; index < this.studies; index++) {
      const { PatientName } = this.study(index);
      if (anywhere ? PatientName.includes(text) : PatientName.startsWith(text)) count++;
    }
    return count;
  }

  *arrivals(firstSegment: number): Generator<Arrival> {
    for (let index = 0; index < this.instances; index++)
      yield arrivalOf(index, this.header(index), firstSegment);
  }

  /** An object without pixels that says the same, in Explicit VR Little Endian. */
  dataSet(index: number): Buffer {
    const { values } = this.header(index);
    const elements = Object.entries(values).map(([keyword, value]) => {
      const tag = tagOf(keyword)!;
      const vr = vrOf(tag);
      const text = String(value);
      const padded = text.length % 2 === 0 ? text : `${text}${vr === 'UI' ? '\0' : ' '}`;
      return { tag, vr, value: Buffer.from(padded, 'latin1') };
    });
    return encodeDataSet(
      elements.sort((a, b) => a.tag - b.tag),
      EXPLICIT_LITTLE_ENDIAN,
    );
  }

  header(index: number): InstanceHeader {
    const usual = this.instances - LONG_SERIES;
    const long = index >= usual;
    const study = this.study(long ? this.studies - 1 : Math.floor(index / INSTANCES_A_STUDY));
    const within = long ? index - usual : index % INSTANCES_A_STUDY;
    const series = long || within < INSTANCES_A_STUDY / 2 ? 0 : 1;
    const minutes = 420 + (study.index % STUDIES_A_DAY) * 18;
    const time = `${digits(Math.floor(minutes / 60), 2)}${digits(minutes % 60, 2)}00`;
    const { StudyInstanceUID, StudyDate, AccessionNumber, PatientID, PatientName } = study;
    const SeriesInstanceUID = this.seriesUid(study.index, series);
    const SOPInstanceUID = uidOf('instance', index);
    const description = DESCRIPTIONS[study.index % DESCRIPTIONS.length]!;
    return {
      SOPClassUID: CT_IMAGE_STORAGE,
      SOPInstanceUID,
      StudyInstanceUID,
      SeriesInstanceUID,
      values: {
        PatientID,
        PatientName,
        PatientBirthDate: `19${digits(30 + (Number(PatientID.slice(1)) % 70), 2)}0101`,
        PatientSex: Number(PatientID.slice(1)) % 2 === 0 ? 'F' : 'M',
        StudyInstanceUID,
        StudyDate,
        StudyTime: time,
        AccessionNumber,
        StudyID: String(study.index),
        StudyDescription: description,
        ReferringPhysicianName: `REFERRER^${GIVEN[study.index % GIVEN.length]!}`,
        InstitutionName: 'PHANTOM HOSPITAL',
        SeriesInstanceUID,
        Modality: long ? 'CT' : MODALITIES[study.index % MODALITIES.length]!,
        SeriesNumber: series + 1,
        SeriesDescription: `${description} ${series + 1}`,
        SeriesDate: StudyDate,
        SeriesTime: time,
        BodyPartExamined: 'CHEST',
        SOPInstanceUID,
        SOPClassUID: CT_IMAGE_STORAGE,
        InstanceNumber: within + 1,
        ContentDate: StudyDate,
        ContentTime: time,
        ImageType: 'ORIGINAL\\PRIMARY\\AXIAL',
      },
    };
  }

  private name(patient: number): string {
    const given = GIVEN[patient % GIVEN.length]!;
    if (patient === this.patients) return `LONG^${given}`;
    const smith = spread(patient, this.patients, SMITHS, 0);
    if (smith !== undefined) return `${SMITH_NAMES[smith % SMITH_NAMES.length]!}^${given}`;
    const inner = spread(patient, this.patients, INNER, 1);
    if (inner !== undefined) return `${INNER_NAMES[inner % INNER_NAMES.length]!}^${given}`;
    const part = (divisor: number): string => SYLLABLES[Math.floor(patient / divisor) % SYLLABLES.length]!;
    return `${part(1)}${part(20)}${part(400)}^${given}`;
  }
}

/** The number of one of `count` patients that stand evenly among all, `offset` behind each place; else undefined. */
function spread(patient: number, patients: number, count: number, offset: number): number | undefined {
  const step = Math.floor(patients / count);
  const number = Math.floor(patient / step);
  return patient % step === offset && number < count ? number : undefined;
}
