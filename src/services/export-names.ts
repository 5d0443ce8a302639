import { createHash } from 'node:crypto';

/** What PS3.5 9.1 lets a UID be; nothing else that a peer sent becomes a name. */
const PLAIN_UID = /^[0-9]+(?:\.[0-9]+)*$/;

/** The name of a file or folder for a UID: itself, or for one of other characters a digest of it. */
export function fileNameOf(uid: string): string {
  if (uid.length <= 64 && PLAIN_UID.test(uid)) return uid;
  return `uid-${createHash('sha256').update(uid).digest('hex').slice(0, 32)}`;
}

/** Whom and what an instance belongs to. */
export interface InstancePlace {
  /** Whatever tells patients apart. */
  readonly patient: string;
  readonly StudyInstanceUID: string;
  readonly SeriesInstanceUID: string;
  readonly SOPInstanceUID: string;
}

interface Numbered {
  readonly name: string;
  readonly below: Map<string, Numbered>;
}

/**
 * Names for media (PS3.10 8.2): components of at most eight characters, capital letters and digits, numbered in the order in which
 * patients, studies, series and instances come.
 */
export class MediaNames {
  private readonly patients = new Map<string, Numbered>();
  private readonly instances = new Map<Numbered, number>();

  /** Components of the file's path, and of the folders that stand for its patient, study and series. */
  next({ patient, StudyInstanceUID, SeriesInstanceUID }: InstancePlace): string[] {
    const patientFolder = numbered(this.patients, patient, 'PAT');
    const study = numbered(patientFolder.below, StudyInstanceUID, 'STU');
    const series = numbered(study.below, SeriesInstanceUID, 'SER');
    const number = (this.instances.get(series) ?? 0) + 1;
    this.instances.set(series, number);
    return ['DICOM', patientFolder.name, study.name, series.name, component('IMG', number)];
  }
}

function numbered(known: Map<string, Numbered>, key: string, prefix: string): Numbered {
  let found = known.get(key);
  if (found === undefined) {
    found = { name: component(prefix, known.size + 1), below: new Map() };
    known.set(key, found);
  }
  return found;
}

/** PAT00001, and with more digits fewer letters. */
function component(prefix: string, number: number): string {
  const digits = String(number).padStart(5, '0');
  return prefix.slice(0, Math.max(0, 8 - digits.length)) + digits;
}
