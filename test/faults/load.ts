import { imageObject, UID_ROOT } from '../support/data-sets';
import type { SentObject } from '../support/data-sets';

/**
 * Objects of one round: of 1 KiB to 300 KB, eight series in four studies of two patients, so that associations meet in
 * the same patient, study and counters.
 */
export function roundObject(round: number, association: number, index: number): SentObject {
  const study = `${UID_ROOT}.5.${round}.${association >> 1}`;
  const series = `${study}.${association}`;
  return imageObject({
    PatientID: `ROUND${round}-${association >> 2}`,
    StudyInstanceUID: study,
    SeriesInstanceUID: series,
    SOPInstanceUID: `${series}.${index + 1}`,
    InstanceNumber: String(index + 1),
    size: [16, 64, 128, 384][(index + association) % 4]!,
    seed: round * 1_000_003 + association * 10_007 + index,
  });
}
