import { storageClassKeyword } from '../dicom/uids';

/**
 * Keys of directory records (PS3.3 F.5), by the type of record: `1` has a value, `2` may be empty, `C` is there where the instance has it.
 * (0008,0005) goes with each record that needs it.
 */
const ROWS = `
PATIENT           PatientID1 PatientName2
STUDY             StudyDate1 StudyTime1 StudyDescription2 StudyInstanceUID1 StudyID1 AccessionNumber2
SERIES            Modality1 SeriesInstanceUID1 SeriesNumber1 SeriesDescriptionC
IMAGE             InstanceNumber1 ImageTypeC RowsC ColumnsC NumberOfFramesC
RT DOSE           InstanceNumber1 DoseSummationType1 DoseCommentC
RT STRUCTURE SET  InstanceNumber1 StructureSetLabel1 StructureSetDate2 StructureSetTime2
RT PLAN           InstanceNumber1 RTPlanLabel1 RTPlanDate2 RTPlanTime2
RT TREAT RECORD   InstanceNumber1 TreatmentDate2 TreatmentTime2
PRESENTATION      PresentationCreationDate1 PresentationCreationTime1 InstanceNumber1 ContentLabel1 ContentDescription2 ContentCreatorName2 ReferencedSeriesSequenceC BlendingSequenceC
WAVEFORM          InstanceNumber1 ContentDate1 ContentTime1
SR DOCUMENT       InstanceNumber1 CompletionFlag1 VerificationFlag1 ContentDate1 ContentTime1 VerificationDateTimeC ConceptNameCodeSequence1 ContentSequenceC
KEY OBJECT DOC    InstanceNumber1 ContentDate1 ContentTime1 ConceptNameCodeSequence1 ContentSequenceC
SPECTROSCOPY      ImageType1 ContentDate1 ContentTime1 InstanceNumber1 ReferencedImageEvidenceSequenceC NumberOfFrames1 Rows1 Columns1 DataPointRows1 DataPointColumns1
RAW DATA          ContentDate1 ContentTime1 InstanceNumber2
REGISTRATION      ContentDate1 ContentTime1 InstanceNumber1 ContentLabel1 ContentDescription2 ContentCreatorName2
FIDUCIAL          ContentDate1 ContentTime1 InstanceNumber1 ContentLabel1 ContentDescription2 ContentCreatorName2
ENCAP DOC         ContentDate2 ContentTime2 InstanceNumber1 DocumentTitle2 HL7InstanceIdentifierC ConceptNameCodeSequence2 MIMETypeOfEncapsulatedDocument1
VALUE MAP         ContentDate1 ContentTime1 InstanceNumber1 ContentLabel1 ContentDescription2 ContentCreatorName2
STEREOMETRIC      ContentDate1 ContentTime1 InstanceNumber1 ContentLabel1 ContentDescription2 ContentCreatorName2
MEASUREMENT       InstanceNumber1 ContentDate1 ContentTime1
SURFACE           ContentDate1 ContentTime1 InstanceNumber1 ContentLabel1 ContentDescription2 ContentCreatorName2
SURFACE SCAN      ContentDate1 ContentTime1
TRACT             ContentDate1 ContentTime1 InstanceNumber1 ContentLabel1 ContentDescription2 ContentCreatorName2
ASSESSMENT        InstanceNumber1 InstanceCreationDate1 InstanceCreationTime2
RADIOTHERAPY      InstanceNumber1 UserContentLabelC UserContentLongLabelC ContentDescription2 ContentCreatorName2
PLAN
ANNOTATION        ContentDate1 ContentTime1 InstanceNumber1 ContentLabel1 ContentDescription2 ContentCreatorName2
HANGING PROTOCOL  HangingProtocolName1 HangingProtocolDescription1 HangingProtocolLevel1 HangingProtocolCreator1 HangingProtocolCreationDateTime1 HangingProtocolDefinitionSequence1 NumberOfPriorsReferenced1 HangingProtocolUserIdentificationCodeSequence2
PALETTE           ContentLabel1 ContentDescription2
IMPLANT           Manufacturer1 ImplantName1 ImplantSizeC ImplantPartNumber1
IMPLANT ASSY      ImplantAssemblyTemplateName1 Manufacturer1 ProcedureTypeCodeSequence1
IMPLANT GROUP     ImplantTemplateGroupName1 ImplantTemplateGroupIssuer1
INVENTORY         ContentDate1 ContentTime1
PRIVATE
`;

export type RecordType = 'PATIENT' | 'STUDY' | 'SERIES' | 'IMAGE' | 'PRIVATE' | (string & {});

export interface RecordKey {
  readonly keyword: string;
  readonly type: '1' | '2' | 'C';
}

/** Keys by the type of record, in the order of the standard. */
export const RECORD_KEYS: ReadonlyMap<RecordType, readonly RecordKey[]> = new Map(
  ROWS.trim()
    .split('\n')
    .map((row) => {
      const keys = row
        .slice(18)
        .split(' ')
        .filter((text) => text !== '');
      return [
        row.slice(0, 18).trim(),
        keys.map((text): RecordKey => ({
          keyword: text.slice(0, -1),
          type: text.slice(-1) as RecordKey['type'],
        })),
      ];
    }),
);

/** Dates and times that stand in for others that an instance lacks, the nearest first. */
export const SUBSTITUTES: Readonly<Record<string, readonly string[]>> = {
  StudyDate: ['SeriesDate', 'AcquisitionDate', 'ContentDate', 'InstanceCreationDate'],
  StudyTime: ['SeriesTime', 'AcquisitionTime', 'ContentTime', 'InstanceCreationTime'],
  ContentDate: ['InstanceCreationDate', 'AcquisitionDate', 'SeriesDate', 'StudyDate'],
  ContentTime: ['InstanceCreationTime', 'AcquisitionTime', 'SeriesTime', 'StudyTime'],
  PresentationCreationDate: ['ContentDate', 'InstanceCreationDate', 'StudyDate'],
  PresentationCreationTime: ['ContentTime', 'InstanceCreationTime', 'StudyTime'],
  InstanceCreationDate: ['ContentDate', 'StudyDate'],
  RTPlanLabel: ['RTPlanName'],
};

/** What is read from an instance for its records. */
export const HEADER_KEYWORDS: readonly string[] = [
  'SpecificCharacterSet',
  'IssuerOfPatientID',
  // It holds the Verification DateTime.
  'VerifyingObserverSequence',
  ...new Set([
    ...[...RECORD_KEYS.values()].flatMap((keys) => keys.map(({ keyword }) => keyword)),
    ...Object.values(SUBSTITUTES).flat(),
  ]),
];

/** Types of records that stand beside PATIENT, by the keyword of their storage class (PS3.3 table F.4-1). */
const AT_THE_ROOT: Readonly<Record<string, RecordType>> = {
  HangingProtocolStorage: 'HANGING PROTOCOL',
  ColorPaletteStorage: 'PALETTE',
  GenericImplantTemplateStorage: 'IMPLANT',
  ImplantAssemblyTemplateStorage: 'IMPLANT ASSY',
  ImplantTemplateGroupStorage: 'IMPLANT GROUP',
  InventoryStorage: 'INVENTORY',
};

/** Types of records below SERIES, by the keyword of their storage class; the first that fits, else IMAGE. */
const BELOW_SERIES: readonly (readonly [RegExp, RecordType])[] = [
  [/^RTDose/, 'RT DOSE'],
  [/^RTStructureSet/, 'RT STRUCTURE SET'],
  [/^RT(?:Ion)?Plan/, 'RT PLAN'],
  [/^RT.*(?:TreatmentRecord|TreatmentSummaryRecord)/, 'RT TREAT RECORD'],
  [/DeliveryInstruction(?:Storage|StorageTrial)$|Protocol(?:Approval)?Storage$/, 'PLAN'],
  [
    /^RTPhysicianIntent|^RTSegmentAnnotation|Radiation(?:Set|Record|RecordSet|SalvageRecord)?Storage$|^RT(?:Treatment|Patient)/,
    'RADIOTHERAPY',
  ],
  [/PresentationState|^BasicStructuredDisplay/, 'PRESENTATION'],
  [/Waveform(?:Storage|StorageTrial)$/, 'WAVEFORM'],
  [/^KeyObjectSelection/, 'KEY OBJECT DOC'],
  [/SRStorage|^ProcedureLog|^SpectaclePrescription|^MacularGrid/, 'SR DOCUMENT'],
  [/^MRSpectroscopy/, 'SPECTROSCOPY'],
  [/^RawData/, 'RAW DATA'],
  [/Registration/, 'REGISTRATION'],
  [/Fiducials/, 'FIDUCIAL'],
  [/^RealWorldValueMapping/, 'VALUE MAP'],
  [/^StereometricRelationship/, 'STEREOMETRIC'],
  [/^Encapsulated/, 'ENCAP DOC'],
  [/Measurements|^VisualAcuity|^IntraocularLensCalculations/, 'MEASUREMENT'],
  [/^SurfaceSegmentation/, 'SURFACE'],
  [/^SurfaceScan/, 'SURFACE SCAN'],
  [/^TractographyResults/, 'TRACT'],
  [/^ContentAssessment/, 'ASSESSMENT'],
  [/Annotations/, 'ANNOTATION'],
];

export interface RecordPlace {
  readonly type: RecordType;
  /** Beside PATIENT, with nothing above it. */
  readonly root: boolean;
}

/** The record of an instance; one of a class that the standard doesn't know is PRIVATE (PS3.3 F.5, F.6.1). */
export function recordOf(SOPClassUID: string): RecordPlace {
  const keyword = storageClassKeyword(SOPClassUID);
  if (keyword === undefined) return { type: 'PRIVATE', root: false };
  const atRoot = AT_THE_ROOT[keyword];
  if (atRoot !== undefined) return { type: atRoot, root: true };
  return { type: BELOW_SERIES.find(([pattern]) => pattern.test(keyword))?.[1] ?? 'IMAGE', root: false };
}
