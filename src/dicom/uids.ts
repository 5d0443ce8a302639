import { STORAGE_CLASS_ROWS } from './storage-classes';

/** UIDs of the standard that the code names, by their keyword in PS3.6 table A-1. */
export const UID = {
  DICOMApplicationContext: '1.2.840.10008.3.1.1.1',
  Verification: '1.2.840.10008.1.1',
  StorageCommitmentPushModel: '1.2.840.10008.1.20.1',
  StorageCommitmentPushModelInstance: '1.2.840.10008.1.20.1.1',
  MediaStorageDirectoryStorage: '1.2.840.10008.1.3.10',
  PatientRootQueryRetrieveInformationModelFind: '1.2.840.10008.5.1.4.1.2.1.1',
  PatientRootQueryRetrieveInformationModelMove: '1.2.840.10008.5.1.4.1.2.1.2',
  PatientRootQueryRetrieveInformationModelGet: '1.2.840.10008.5.1.4.1.2.1.3',
  StudyRootQueryRetrieveInformationModelFind: '1.2.840.10008.5.1.4.1.2.2.1',
  StudyRootQueryRetrieveInformationModelMove: '1.2.840.10008.5.1.4.1.2.2.2',
  StudyRootQueryRetrieveInformationModelGet: '1.2.840.10008.5.1.4.1.2.2.3',
  /** Retired, still asked for. */
  PatientStudyOnlyQueryRetrieveInformationModelFind: '1.2.840.10008.5.1.4.1.2.3.1',
  PatientStudyOnlyQueryRetrieveInformationModelMove: '1.2.840.10008.5.1.4.1.2.3.2',
  PatientStudyOnlyQueryRetrieveInformationModelGet: '1.2.840.10008.5.1.4.1.2.3.3',
  ModalityWorklistInformationModelFind: '1.2.840.10008.5.1.4.31',
  ModalityPerformedProcedureStep: '1.2.840.10008.3.1.2.3.3',
  InstanceAvailabilityNotification: '1.2.840.10008.5.1.4.33',
  ImplicitVRLittleEndian: '1.2.840.10008.1.2',
  ExplicitVRLittleEndian: '1.2.840.10008.1.2.1',
  DeflatedExplicitVRLittleEndian: '1.2.840.10008.1.2.1.99',
  ExplicitVRBigEndian: '1.2.840.10008.1.2.2',
} as const;

/** Derived from a UUID (PS3.5 B.2): nobody's registration can run out under it. */
export const IMPLEMENTATION_CLASS_UID = '2.25.129349617514064012363462847221409107843';
/** Creator of the private information in the file meta group, (0002,0100). */
export const PRIVATE_INFORMATION_CREATOR_UID = '2.25.328962745034732222925410142982440143604';
/** At most 16 characters (PS3.7 D.3.3.2.3). */
export const IMPLEMENTATION_VERSION_NAME = 'ISOCENTER_0_1';

/** How a transfer syntax encodes a data set (PS3.5 section 10, Annex A). */
export interface TransferSyntax {
  readonly uid: string;
  /** Name of PS3.6. */
  readonly name: string;
  readonly explicit: boolean;
  readonly littleEndian: boolean;
  /** Pixel data stand in fragments. */
  readonly encapsulated: boolean;
  /** The whole data set is compressed. */
  readonly deflated: boolean;
  /** Pixels are elsewhere: such an instance can't be kept. */
  readonly jpip: boolean;
}

type Kind = 'implicit' | 'explicit' | 'big-endian' | 'deflated' | 'encapsulated' | 'jpip' | 'jpip-deflated';

const SYNTAX_ROWS: readonly (readonly [string, Kind, string])[] = [
  ['', 'implicit', 'Implicit VR Little Endian'],
  ['.1', 'explicit', 'Explicit VR Little Endian'],
  ['.1.98', 'encapsulated', 'Encapsulated Uncompressed Explicit VR Little Endian'],
  ['.1.99', 'deflated', 'Deflated Explicit VR Little Endian'],
  ['.2', 'big-endian', 'Explicit VR Big Endian'],
  ['.4.50', 'encapsulated', 'JPEG Baseline (Process 1)'],
  ['.4.51', 'encapsulated', 'JPEG Extended (Process 2 and 4)'],
  ['.4.52', 'encapsulated', 'JPEG Extended (Process 3 and 5)'],
  ['.4.53', 'encapsulated', 'JPEG Spectral Selection, Non-Hierarchical (Process 6 and 8)'],
  ['.4.54', 'encapsulated', 'JPEG Spectral Selection, Non-Hierarchical (Process 7 and 9)'],
  ['.4.55', 'encapsulated', 'JPEG Full Progression, Non-Hierarchical (Process 10 and 12)'],
  ['.4.56', 'encapsulated', 'JPEG Full Progression, Non-Hierarchical (Process 11 and 13)'],
  ['.4.57', 'encapsulated', 'JPEG Lossless, Non-Hierarchical (Process 14)'],
  ['.4.58', 'encapsulated', 'JPEG Lossless, Non-Hierarchical (Process 15)'],
  ['.4.59', 'encapsulated', 'JPEG Extended, Hierarchical (Process 16 and 18)'],
  ['.4.60', 'encapsulated', 'JPEG Extended, Hierarchical (Process 17 and 19)'],
  ['.4.61', 'encapsulated', 'JPEG Spectral Selection, Hierarchical (Process 20 and 22)'],
  ['.4.62', 'encapsulated', 'JPEG Spectral Selection, Hierarchical (Process 21 and 23)'],
  ['.4.63', 'encapsulated', 'JPEG Full Progression, Hierarchical (Process 24 and 26)'],
  ['.4.64', 'encapsulated', 'JPEG Full Progression, Hierarchical (Process 25 and 27)'],
  ['.4.65', 'encapsulated', 'JPEG Lossless, Hierarchical (Process 28)'],
  ['.4.66', 'encapsulated', 'JPEG Lossless, Hierarchical (Process 29)'],
  ['.4.70', 'encapsulated', 'JPEG Lossless, Non-Hierarchical, First-Order Prediction'],
  ['.4.80', 'encapsulated', 'JPEG-LS Lossless Image Compression'],
  ['.4.81', 'encapsulated', 'JPEG-LS Lossy (Near-Lossless) Image Compression'],
  ['.4.90', 'encapsulated', 'JPEG 2000 Image Compression (Lossless Only)'],
  ['.4.91', 'encapsulated', 'JPEG 2000 Image Compression'],
  ['.4.92', 'encapsulated', 'JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)'],
  ['.4.93', 'encapsulated', 'JPEG 2000 Part 2 Multi-component Image Compression'],
  ['.4.94', 'jpip', 'JPIP Referenced'],
  ['.4.95', 'jpip-deflated', 'JPIP Referenced Deflate'],
  ['.4.100', 'encapsulated', 'MPEG2 Main Profile / Main Level'],
  ['.4.100.1', 'encapsulated', 'Fragmentable MPEG2 Main Profile / Main Level'],
  ['.4.101', 'encapsulated', 'MPEG2 Main Profile / High Level'],
  ['.4.101.1', 'encapsulated', 'Fragmentable MPEG2 Main Profile / High Level'],
  ['.4.102', 'encapsulated', 'MPEG-4 AVC/H.264 High Profile / Level 4.1'],
  ['.4.102.1', 'encapsulated', 'Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1'],
  ['.4.103', 'encapsulated', 'MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1'],
  ['.4.103.1', 'encapsulated', 'Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1'],
  ['.4.104', 'encapsulated', 'MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video'],
  ['.4.104.1', 'encapsulated', 'Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video'],
  ['.4.105', 'encapsulated', 'MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video'],
  ['.4.105.1', 'encapsulated', 'Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video'],
  ['.4.106', 'encapsulated', 'MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2'],
  ['.4.106.1', 'encapsulated', 'Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2'],
  ['.4.107', 'encapsulated', 'HEVC/H.265 Main Profile / Level 5.1'],
  ['.4.108', 'encapsulated', 'HEVC/H.265 Main 10 Profile / Level 5.1'],
  ['.4.110', 'encapsulated', 'JPEG XL Lossless'],
  ['.4.111', 'encapsulated', 'JPEG XL JPEG Recompression'],
  ['.4.112', 'encapsulated', 'JPEG XL'],
  ['.4.201', 'encapsulated', 'High-Throughput JPEG 2000 Image Compression (Lossless Only)'],
  ['.4.202', 'encapsulated', 'High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)'],
  ['.4.203', 'encapsulated', 'High-Throughput JPEG 2000 Image Compression'],
  ['.4.204', 'jpip', 'JPIP HTJ2K Referenced'],
  ['.4.205', 'jpip-deflated', 'JPIP HTJ2K Referenced Deflate'],
  ['.5', 'encapsulated', 'RLE Lossless'],
  ['.8.1', 'encapsulated', 'Deflated Image Frame Compression'],
];

/** Every transfer syntax that this node knows, in the order of PS3.6. */
export const TRANSFER_SYNTAXES: readonly TransferSyntax[] = SYNTAX_ROWS.map(([suffix, kind, name]) => ({
  uid: UID.ImplicitVRLittleEndian + suffix,
  name,
  explicit: kind !== 'implicit',
  littleEndian: kind !== 'big-endian',
  encapsulated: kind === 'encapsulated',
  deflated: kind === 'deflated' || kind === 'jpip-deflated',
  jpip: kind === 'jpip' || kind === 'jpip-deflated',
}));

const syntaxes: ReadonlyMap<string, TransferSyntax> = new Map(TRANSFER_SYNTAXES.map((row) => [row.uid, row]));

/** The row of a transfer syntax, or undefined for one that isn't in the table. */
export function transferSyntax(uid: string): TransferSyntax | undefined {
  return syntaxes.get(uid);
}

/** How a data set of this syntax is read: an unknown syntax as Explicit VR Little Endian (PS3.5 A.4: all newer ones are). */
export function encodingOf(uid: string): TransferSyntax {
  return (
    syntaxes.get(uid) ?? {
      uid,
      name: 'Unknown',
      explicit: true,
      littleEndian: true,
      encapsulated: false,
      deflated: false,
      jpip: false,
    }
  );
}

export interface StorageClass {
  readonly uid: string;
  readonly keyword: string;
}

/** Storage SOP classes of PS3.6, retired ones included, by UID. */
export const STORAGE_CLASSES: readonly StorageClass[] = STORAGE_CLASS_ROWS.split('\n').map((row) => {
  const space = row.indexOf(' ');
  return { uid: `1.2.840.10008.5.1.${row.slice(0, space)}`, keyword: row.slice(space + 1) };
});

const storageClasses: ReadonlyMap<string, StorageClass> = new Map(
  STORAGE_CLASSES.map((row) => [row.uid, row]),
);

/** A SOP class of PS3.6 whose instances are stored by C-STORE; private classes are not in the table. */
export function isStorageClass(uid: string): boolean {
  return storageClasses.has(uid);
}

/** Keyword of a storage class, or undefined. */
export function storageClassKeyword(uid: string): string | undefined {
  return storageClasses.get(uid)?.keyword;
}

/** A UID without its padding: trailing NUL (PS3.5 9.1), and the spaces that some writers use instead. */
export function trimUid(uid: string): string {
  let end = uid.length;
  while (end > 0 && (uid.charCodeAt(end - 1) === 0 || uid.charCodeAt(end - 1) === 0x20)) end--;
  return uid.slice(0, end);
}

/**
 * A UID that can be kept and matched as it is: 1 to 64 printable ASCII characters, none of `\ / * ?`. It need not be a valid
 * UID: refusing a scanner's odd identifiers would lose its images. Expects a trimmed one.
 */
export function isStorableUid(uid: string): boolean {
  return /^[\x20-\x7e]{1,64}$/.test(uid) && !/[\\/*?]/.test(uid);
}
