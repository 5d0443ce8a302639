import type { Located, NodeApi } from '../admin/api';
import type { Selection } from '../catalog/query-types';
import { EXIT, IsocenterError } from '../errors';
import { fileCalls } from '../store/file-calls';
import { readDataSetOf } from '../store/stored-file';
import type { OutgoingInstance } from '../services/outgoing';
import { storedInstance } from '../services/outgoing-store';
import type { SelectionOptions } from './retrieve-question';

const PAGE = 500;

/** What the options name in our own store. @throws IsocenterError (exit 2) where they name nothing */
export function selectionOf({ patient, study, series, instance }: SelectionOptions): Selection {
  const selection: Selection = {
    ...(patient === undefined ? {} : { PatientID: patient }),
    ...(study === undefined ? {} : { StudyInstanceUID: study }),
    ...(series === undefined ? {} : { SeriesInstanceUID: series }),
    ...(instance === undefined ? {} : { SOPInstanceUID: instance }),
  };
  if (Object.keys(selection).length > 0) return selection;
  throw new IsocenterError('USAGE', 'nothing says which instances are meant', {
    exitCode: EXIT.usage,
    hint: 'give --study UID, --series UID, --instance UID or --patient ID; isocenter find lists what is stored',
  });
}

/** Every current instance that a selection names. @throws IsocenterError `UID_UNKNOWN` where there is none */
export async function locateAll(api: NodeApi, selection: Selection): Promise<Located[]> {
  const found: Located[] = [];
  let after: string | undefined;
  do {
    const page = await api.locate(selection, { limit: PAGE, ...(after === undefined ? {} : { after }) });
    for (const row of page.rows) found.push(row);
    after = page.next;
  } while (after !== undefined);
  if (found.length > 0) return found;
  throw new IsocenterError('UID_UNKNOWN', 'No stored instance is of that', {
    hint: 'isocenter find --help shows how to look for one',
  });
}

/** The instance as it goes out: read from its file, which this command may open as well as the node may, and checked against its seal. */
export function outgoing(located: Located): OutgoingInstance {
  return storedInstance(
    { readDataSet: (file, _place, pieceLength) => readDataSetOf(fileCalls, located.path, file, pieceLength) },
    located,
  );
}
