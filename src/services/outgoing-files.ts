import { IsocenterError } from '../errors';
import { openFile, readFully, reasonOf, type IdentifiedFile } from './dicom-files';
import type { OutgoingInstance } from './outgoing';

/** Read in one piece, so that what is wrong with it is known before its first byte is handed out. */
const WHOLE = 4 * 1024 * 1024;

/** A file that somebody named, on its way out. It has no seal: only its length is checked against what it was when it was looked at. */
export function fileInstance(path: string, file: IdentifiedFile): OutgoingInstance {
  const { SOPClassUID, SOPInstanceUID, TransferSyntaxUID, size, dataSetOffset } = file;
  return {
    name: path,
    SOPClassUID,
    SOPInstanceUID,
    TransferSyntaxUID,
    dataSetLength: size - dataSetOffset,
    read: () => read(path, file),
  };
}

async function* read(path: string, file: IdentifiedFile): AsyncGenerator<Buffer> {
  const handle = await openFile(path).catch((cause: unknown) => {
    throw new IsocenterError('FILE_CHANGED', reasonOf(cause), { cause });
  });
  try {
    const length = file.size - file.dataSetOffset;
    if (length <= WHOLE) {
      const whole = await readFully(handle, file.dataSetOffset, length);
      if (whole.length < length) {
        throw new IsocenterError('FILE_CHANGED', 'the file became shorter since it was looked at');
      }
      yield whole;
      return;
    }
    const source = file.read(handle);
    for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) yield chunk;
  } finally {
    await handle.close();
  }
}
