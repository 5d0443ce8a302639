import fsp from 'node:fs/promises';
import path from 'node:path';
import { SOP, TS, UID_ROOT, type SentObject } from './data-sets';
import { metaText, parsePart10 } from './stored-files';
import { pydicom, pydicomFiles, type OracleHeader } from './tools';

export interface Sample {
  readonly file: string;
  readonly header: OracleHeader;
  readonly object: SentObject;
  /** Has the four UIDs without which nothing can be filed, and ends where its last element ends. */
  readonly complete: boolean;
}

/** Cut off on purpose in the middle of an element, and one with implicit bytes under an explicit syntax: DCMTK can't read them either. */
const BROKEN = ['MR_truncated.dcm', 'rtplan_truncated.dcm', 'SC_rgb_jpeg.dcm'];

/** The samples of pydicom as they would come over the wire: data set bytes as in the file. */
export async function samples(): Promise<Sample[]> {
  const files = await pydicomFiles();
  const headers = await pydicom.headers(files);
  return Promise.all(
    files.map(async (file, index) => {
      const bytes = await fsp.readFile(file);
      const parsed = parsePart10(bytes);
      const header = headers[index]!;
      const { SOPClassUID, SOPInstanceUID, StudyInstanceUID, SeriesInstanceUID } = header;
      const guess = header.implicit ? TS.implicit : header.littleEndian ? TS.explicit : TS.big;
      const syntax = parsed && metaText(parsed, 0x00020010);
      return {
        file,
        header,
        complete:
          !BROKEN.includes(path.basename(file)) &&
          [SOPClassUID, SOPInstanceUID, StudyInstanceUID, SeriesInstanceUID].every(
            (uid) => uid !== undefined && uid !== '',
          ),
        object: {
          SOPClassUID: SOPClassUID ?? SOP.ct,
          SOPInstanceUID: SOPInstanceUID ?? `${UID_ROOT}.86.${index}`,
          StudyInstanceUID: StudyInstanceUID ?? '',
          SeriesInstanceUID: SeriesInstanceUID ?? '',
          transferSyntax: syntax === undefined || syntax === '' ? guess : syntax,
          dataSet: bytes.subarray(parsed?.dataSetOffset ?? 0),
        },
      };
    }),
  );
}
