/** (group << 16 | element) as an unsigned 32-bit number. */
export type Tag = number;

/** Value of one attribute as the catalog keeps it: text decoded to Unicode, several values joined by `\`, numbers of
 *  binary VRs as numbers, a sequence as JSON text (DICOM JSON model, PS3.18 F). Absent and empty are both left out. */
export type AttributeValue = string | number;

/** What the header of one instance says, by keyword of the attribute table (`attributes.ts`); only non-empty values. */
export interface InstanceHeader {
  readonly SOPClassUID: string;
  readonly SOPInstanceUID: string;
  readonly StudyInstanceUID: string;
  readonly SeriesInstanceUID: string;
  readonly values: Readonly<Record<string, AttributeValue>>;
}
