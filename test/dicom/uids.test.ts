import {
  encodingOf,
  IMPLEMENTATION_CLASS_UID,
  IMPLEMENTATION_VERSION_NAME,
  isStorableUid,
  isStorageClass,
  PRIVATE_INFORMATION_CREATOR_UID,
  STORAGE_CLASSES,
  storageClassKeyword,
  TRANSFER_SYNTAXES,
  transferSyntax,
  trimUid,
  UID,
} from '../../src/dicom/uids';
import { describeInterop } from '../support/tools';
import { oracle } from './oracle';

describe('storage classes', () => {
  it.each([
    ['1.2.840.10008.5.1.4.1.1.2', 'CTImageStorage'],
    ['1.2.840.10008.5.1.4.1.1.3', 'UltrasoundMultiFrameImageStorageRetired'],
    ['1.2.840.10008.5.1.4.1.1.5', 'NuclearMedicineImageStorageRetired'],
    ['1.2.840.10008.5.1.4.1.1.66.7', 'LabelMapSegmentationStorage'],
    ['1.2.840.10008.5.1.4.38.1', 'HangingProtocolStorage'],
    ['1.2.840.10008.5.1.1.29', 'HardcopyGrayscaleImageStorage'],
  ])('have %s as %s', (uid, keyword) => {
    expect(isStorageClass(uid)).toBe(true);
    expect(storageClassKeyword(uid)).toBe(keyword);
  });

  it.each([
    UID.Verification,
    UID.StorageCommitmentPushModel,
    UID.MediaStorageDirectoryStorage,
    UID.StudyRootQueryRetrieveInformationModelFind,
    UID.ModalityWorklistInformationModelFind,
    '1.2.840.10008.5.1.4.38.2',
    '1.2.840.10008.5.1.4.34.6.1',
    '1.2.3.99',
    '',
  ])('do not have %s', (uid) => {
    expect(isStorageClass(uid)).toBe(false);
  });

  it('are each named once', () => {
    expect(new Set(STORAGE_CLASSES.map(({ uid }) => uid)).size).toBe(STORAGE_CLASSES.length);
    expect(new Set(STORAGE_CLASSES.map(({ keyword }) => keyword)).size).toBe(STORAGE_CLASSES.length);
  });
});

describeInterop(['pydicom'], 'UIDs beside those of pydicom', () => {
  it('leave out no storage class and no transfer syntax, and know each by the same name', () => {
    const known = oracle('uids') as [string, string, string, string, string, string][];
    const missing = known.filter(
      ([uid, name, type]) =>
        type === 'SOP Class' &&
        / Storage( |$)/.test(name) &&
        !uid.startsWith('1.2.840.10008.1.') &&
        !isStorageClass(uid),
    );
    expect(missing).toEqual([]);
    const keywords = new Map(known.map(([uid, , , , , keyword]) => [uid, keyword]));
    for (const { uid, keyword } of STORAGE_CLASSES) expect([keyword, undefined]).toContain(keywords.get(uid));
    for (const [keyword, uid] of Object.entries(UID))
      expect([keyword, undefined]).toContain(keywords.get(uid));
    // Video over RTP, mail and XML carry no data set that DIMSE could bring; Papyrus is a file format of its own.
    const foreign = /^1\.2\.840\.10008\.1\.(2\.[67]\.|20$)/;
    const syntaxes = known.filter(([uid, , type]) => type === 'Transfer Syntax' && !foreign.test(uid));
    expect(syntaxes.length).toBeGreaterThan(40);
    expect(syntaxes.filter(([uid]) => transferSyntax(uid) === undefined)).toEqual([]);
  });
});

describe('transfer syntaxes', () => {
  it('tell how a data set is read', () => {
    expect(transferSyntax(UID.ImplicitVRLittleEndian)).toMatchObject({ explicit: false, littleEndian: true });
    expect(transferSyntax(UID.ExplicitVRBigEndian)).toMatchObject({ explicit: true, littleEndian: false });
    expect(transferSyntax(UID.DeflatedExplicitVRLittleEndian)).toMatchObject({
      deflated: true,
      encapsulated: false,
    });
    expect(transferSyntax('1.2.840.10008.1.2.8.1')).toMatchObject({ deflated: false, encapsulated: true });
    expect(transferSyntax('1.2.840.10008.1.2.4.201')).toMatchObject({ encapsulated: true, jpip: false });
  });

  it('have all that are stored as received, and mark the JPIP references', () => {
    const suffixes = ['', '.1', '.2', '.1.99', '.5', '.8.1'];
    for (const range of [
      [50, 51],
      [57, 57],
      [70, 70],
      [80, 81],
      [90, 93],
      [100, 108],
      [110, 112],
      [201, 203],
    ] as const)
      for (let last = range[0]; last <= range[1]; last++) suffixes.push(`.4.${last}`);
    for (let last = 100; last <= 106; last++) suffixes.push(`.4.${last}.1`);
    expect(suffixes.filter((suffix) => transferSyntax(`1.2.840.10008.1.2${suffix}`)?.jpip !== false)).toEqual(
      [],
    );
    const jpip = TRANSFER_SYNTAXES.filter((row) => row.jpip).map(({ uid }) => uid.slice(-3));
    expect(jpip).toEqual(['.94', '.95', '204', '205']);
  });

  it('read an unknown one as Explicit VR Little Endian', () => {
    expect(transferSyntax('1.2.3')).toBeUndefined();
    expect(encodingOf('1.2.3')).toMatchObject({ explicit: true, littleEndian: true, deflated: false });
  });
});

describe('our own UIDs', () => {
  it('are valid and fit their fields', () => {
    for (const uid of [IMPLEMENTATION_CLASS_UID, PRIVATE_INFORMATION_CREATOR_UID]) {
      expect(uid).toMatch(/^2\.25\.[1-9]\d*$/);
      expect(uid.length).toBeLessThanOrEqual(64);
      expect(BigInt(uid.slice(5)) < 1n << 128n).toBe(true);
    }
    expect(IMPLEMENTATION_VERSION_NAME).toMatch(/^ISOCENTER_\w+$/);
    expect(IMPLEMENTATION_VERSION_NAME.length).toBeLessThanOrEqual(16);
  });
});

describe('isStorableUid', () => {
  it.each(['1.2.3', 'not-a-uid', '1.2..3', '0001', '1'.repeat(64), 'A_B:C'])('takes %s', (uid) => {
    expect(isStorableUid(uid)).toBe(true);
  });

  it.each(['', '1'.repeat(65), '1.2\\3', '../1', '1.*', '1.?', '1.2\0', '1.2\n', '1.2é', '1.2\u007f'])(
    'refuses %j',
    (uid) => {
      expect(isStorableUid(uid)).toBe(false);
    },
  );
});

test('trimUid takes off trailing NUL and spaces', () => {
  expect(trimUid('1.2\0')).toBe('1.2');
  expect(trimUid('1.2 \0 ')).toBe('1.2');
  expect(trimUid(' 1.2')).toBe(' 1.2');
  expect(trimUid('\0\0')).toBe('');
});
