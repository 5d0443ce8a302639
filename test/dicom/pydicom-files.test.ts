import fs from 'node:fs';
import path from 'node:path';
import { ATTRIBUTES } from '../../src/dicom/attributes';
import { characterSetOf, itemsToJson } from '../../src/dicom/json-model';
import { parseCharacterSet, type CharacterSet } from '../../src/dicom/charset';
import { decodeDataSet, isSequence, type DataSet } from '../../src/dicom/data-set';
import { isPrivate, vrOf } from '../../src/dicom/dictionary';
import { HeaderReader } from '../../src/dicom/header';
import { decodeFileMeta, guessTransferSyntax } from '../../src/dicom/part10';
import type { InstanceHeader } from '../../src/dicom/types';
import { encodingOf, transferSyntax } from '../../src/dicom/uids';
import { textValues } from '../../src/dicom/values';
import { valueRepresentation } from '../../src/dicom/vr';
import { encode } from '../support/data-sets';
import { describeInterop, PYDICOM_DATA, pydicomFiles } from '../support/tools';
import { oracle } from './oracle';

interface Answer {
  readonly error?: string;
  readonly values: Readonly<Record<string, string>>;
  readonly texts: Readonly<Record<string, string>>;
  readonly explicit: boolean;
  readonly littleEndian: boolean;
  readonly transferSyntax: string | null;
}

/** Files that can't be taken, and why. */
const REFUSED: Readonly<Record<string, string>> = {
  'test_files/MR_truncated.dcm': 'its pixel data are cut',
  'test_files/rtplan_truncated.dcm': 'cut inside a sequence',
  'test_files/SC_rgb_jpeg.dcm': 'its data set is implicit under an explicit transfer syntax',
  'test_files/no_meta.dcm': 'a stray byte stands before the data set',
};

const UIDS = ['SOPClassUID', 'SOPInstanceUID', 'StudyInstanceUID', 'SeriesInstanceUID'];

function open(file: string): { dataSet: Buffer; uid: string | undefined } {
  const bytes = fs.readFileSync(file);
  const decoded = decodeFileMeta(bytes);
  if (decoded === 'need-more') throw new Error('no file meta group could be read');
  const dataSet = bytes.subarray(decoded.dataSetOffset);
  return { dataSet, uid: decoded.meta.TransferSyntaxUID ?? guessTransferSyntax(dataSet) };
}

async function readHeader(dataSet: Buffer, uid: string, pieces: number): Promise<InstanceHeader> {
  const reader = new HeaderReader({ transferSyntaxUID: uid });
  for (let at = 0; at < dataSet.length; at += pieces) await reader.push(dataSet.subarray(at, at + pieces));
  return reader.finish();
}

/** UIDs for a data set that lacks them, so that the rest of it can be looked at. */
function withUids(dataSet: Buffer, uid: string): Buffer {
  const { explicit, littleEndian } = encodingOf(uid);
  const uids = [0x00080016, 0x00080018, 0x0020000d, 0x0020000e].map((tag) => ({
    tag,
    vr: 'UI',
    value: '1.2\0',
  }));
  return Buffer.concat([encode(uids, !explicit ? 'implicit' : littleEndian ? 'explicit' : 'big'), dataSet]);
}

/** Every text of a data set by its path, as the oracle writes it. */
function texts(elements: DataSet, around: CharacterSet, prefix = ''): Record<string, string> {
  const set = characterSetOf(elements) ?? around;
  const found: Record<string, string> = {};
  for (const element of elements) {
    if (isPrivate(element.tag)) continue;
    const name = prefix + element.tag.toString(16).toUpperCase().padStart(8, '0');
    if (isSequence(element)) {
      element.items.forEach((item, index) => Object.assign(found, texts(item, set, `${name}[${index}].`)));
    } else {
      const vr = element.vr === 'UN' ? vrOf(element.tag) : element.vr;
      if (valueRepresentation(vr)?.text === true) found[name] = textValues(element.value, vr, set).join('\\');
    }
  }
  return found;
}

/** pydicom keeps some padding, and drops empty component groups at the end of names. */
function plain(text: string): string {
  return text
    .split('\\')
    .map((value) => value.replace(/^ +|[ \0]+$/g, '').replace(/=+$/, ''))
    .join('\\');
}

describeInterop(['pydicom'], "pydicom's sample files", () => {
  let files: string[] = [];
  let answers = new Map<string, Answer>();

  beforeAll(async () => {
    files = await pydicomFiles();
    const table = ATTRIBUTES.filter((row) => row.kind === 'stored').map(({ keyword, vr }) => [keyword, vr]);
    const read = oracle('files', [JSON.stringify(table), ...files]) as Answer[];
    answers = new Map(files.map((file, index) => [file, read[index]!]));
  });

  function nameOf(file: string): string {
    return path.relative(PYDICOM_DATA, file);
  }

  it('are read as pydicom reads them, whole and in odd pieces', async () => {
    expect(files.length).toBeGreaterThan(80);
    const differences: string[] = [];
    let compared = 0;
    for (const file of files) {
      const name = nameOf(file);
      const answer = answers.get(file)!;
      if (name in REFUSED) continue;
      const { dataSet, uid } = open(file);
      if (uid === undefined) {
        differences.push(`${name}: no transfer syntax`);
        continue;
      }
      expect([name, answer.error]).toEqual([name, undefined]);
      if (answer.transferSyntax !== null) expect([name, uid]).toEqual([name, answer.transferSyntax]);
      expect([name, transferSyntax(uid)]).toEqual([
        name,
        expect.objectContaining({ explicit: answer.explicit, littleEndian: answer.littleEndian }),
      ]);
      const complete = UIDS.every((keyword) => (answer.values[keyword] ?? '') !== '');
      const whole = complete ? dataSet : withUids(dataSet, uid);
      const header = await readHeader(whole, uid, whole.length);
      expect(await readHeader(whole, uid, 7)).toEqual(header);
      for (const { keyword, vr, kind } of ATTRIBUTES) {
        if (kind !== 'stored' || vr === 'SQ' || (!complete && UIDS.includes(keyword))) continue;
        const ours = plain(String(header.values[keyword] ?? ''));
        const theirs = plain(answer.values[keyword] ?? '');
        if (ours !== theirs)
          differences.push(`${name} ${keyword}: ${JSON.stringify(ours)} but ${JSON.stringify(theirs)}`);
        compared++;
      }
    }
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(2000);
  });

  it('yield every text at every depth as pydicom decodes it', () => {
    const differences: string[] = [];
    let compared = 0;
    for (const file of files) {
      const name = nameOf(file);
      if (name in REFUSED) continue;
      const { dataSet, uid } = open(file);
      const elements = decodeDataSet(dataSet, uid ?? '');
      const ours = texts(elements, parseCharacterSet([]));
      for (const [where, text] of Object.entries(answers.get(file)!.texts)) {
        compared++;
        if (plain(ours[where] ?? 'absent') !== plain(text))
          differences.push(`${name} ${where}: ${JSON.stringify(ours[where])} but ${JSON.stringify(text)}`);
      }
    }
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(1500);
  });

  it('give a document title in the DICOM JSON model', async () => {
    const { dataSet, uid } = open(path.join(PYDICOM_DATA, 'test_files', 'test-SR.dcm'));
    const header = await readHeader(dataSet, uid!, 1);
    const json = JSON.parse(String(header.values['ConceptNameCodeSequence'])) as unknown;
    expect(json).toEqual([
      {
        '00080100': { vr: 'SH', Value: [expect.any(String)] },
        '00080102': { vr: 'SH', Value: [expect.any(String)] },
        '00080104': { vr: 'LO', Value: [expect.any(String)] },
      },
    ]);
    const elements = decodeDataSet(dataSet, uid!);
    const title = elements.find(({ tag }) => tag === 0x0040a043)!;
    if (!isSequence(title)) throw new Error('no sequence');
    expect(json).toEqual(itemsToJson(title.items, parseCharacterSet([])));
  });

  it.each(Object.entries(REFUSED))('refuse %s: %s', async (name) => {
    const { dataSet, uid } = open(path.join(PYDICOM_DATA, name));
    if (uid === undefined) return;
    await expect(readHeader(dataSet, uid, 512)).rejects.toMatchObject({ code: 'DICOM_PARSE' });
  });
});
