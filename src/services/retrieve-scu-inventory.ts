import type { DataElement } from '../dicom/data-set';
import { tagOf, vrOf } from '../dicom/dictionary';
import type { Session } from '../dimse/session';
import { STATUS, statusMeaning, statusText } from '../dimse/status';
import { IsocenterError } from '../errors';
import { find, FIND_MODELS, type FindRow } from './find-scu';

/** More than anybody fetches at once; a peer that answers without end is stopped here. */
const MAX_INSTANCES = 1_000_000;
const QUERY_RETRIEVE_LEVEL = 0x00080052;

/** Unique keys of what is asked for, as bytes of text. */
export interface UniqueKeys {
  readonly PatientID?: string;
  readonly StudyInstanceUID?: readonly string[];
  readonly SeriesInstanceUID?: readonly string[];
  readonly SOPInstanceUID?: readonly string[];
}

/** An instance that the peer says it has. */
export interface ListedInstance {
  readonly StudyInstanceUID: string;
  readonly SeriesInstanceUID: string;
  readonly SOPInstanceUID: string;
  /** Empty where the peer doesn't say. */
  readonly SOPClassUID: string;
}

export interface InventoryRequest {
  readonly root: 'study' | 'patient';
  readonly keys: UniqueKeys;
  readonly signal: AbortSignal;
  readonly onInstance?: (count: number) => void;
}

/**
 * Asks a peer with C-FIND, study by study and series by series, which instances there are of what is to be fetched. No level is left out: peers
 * need not know relational queries (PS3.4 C.4.1.2.2.1).
 * @throws IsocenterError `INVENTORY_FAILED` where the peer doesn't tell; those of `Scu`
 */
export async function takeInventory(session: Session, request: InventoryRequest): Promise<ListedInstance[]> {
  const inventory = new Inventory(session, request);
  const { keys } = request;
  const studies = keys.StudyInstanceUID ?? (await inventory.studies());
  const found: ListedInstance[] = [];
  for (const study of studies) {
    for (const series of await inventory.series(study)) {
      for (const instance of await inventory.instances(study, series)) {
        if (found.push(instance) > MAX_INSTANCES) throw failed('there are more than a million instances');
      }
      request.onInstance?.(found.length);
    }
  }
  return found;
}

class Inventory {
  private readonly session: Session;
  private readonly request: InventoryRequest;
  /** PatientID is a unique key of Patient Root alone. */
  private readonly above: Readonly<Record<string, string>>;

  constructor(session: Session, request: InventoryRequest) {
    this.session = session;
    this.request = request;
    const { PatientID } = request.keys;
    this.above = request.root === 'patient' && PatientID !== undefined ? { PatientID } : {};
  }

  async studies(): Promise<string[]> {
    const { PatientID } = this.request.keys;
    if (PatientID === undefined) throw failed('no study and no patient is given');
    return this.values('STUDY', 'StudyInstanceUID', { PatientID }, {});
  }

  async series(StudyInstanceUID: string): Promise<readonly string[]> {
    const wanted = this.request.keys.SeriesInstanceUID;
    const known = await this.values('SERIES', 'SeriesInstanceUID', this.above, { StudyInstanceUID });
    return wanted === undefined ? known : known.filter((uid) => wanted.includes(uid));
  }

  async instances(StudyInstanceUID: string, SeriesInstanceUID: string): Promise<ListedInstance[]> {
    const wanted = this.request.keys.SOPInstanceUID;
    const upper = { ...this.above, StudyInstanceUID, SeriesInstanceUID };
    const listed = await this.ask('IMAGE', { ...upper, SOPInstanceUID: '', SOPClassUID: '' });
    return listed.flatMap((row) => {
      const SOPInstanceUID = textOf(row, 'SOPInstanceUID');
      if (SOPInstanceUID === '' || wanted?.includes(SOPInstanceUID) === false) return [];
      return [
        { StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, SOPClassUID: textOf(row, 'SOPClassUID') },
      ];
    });
  }

  private async values(
    level: string,
    keyword: string,
    above: Readonly<Record<string, string>>,
    keys: Readonly<Record<string, string>>,
  ): Promise<string[]> {
    const rows = await this.ask(level, { ...above, ...keys, [keyword]: '' });
    return [...new Set(rows.map((row) => textOf(row, keyword)))].filter((value) => value !== '');
  }

  private async ask(level: string, keys: Readonly<Record<string, string>>): Promise<FindRow[]> {
    const rows: FindRow[] = [];
    const outcome = await find(this.session, {
      model: FIND_MODELS[this.request.root],
      identifier: [
        { tag: QUERY_RETRIEVE_LEVEL, vr: 'CS', value: Buffer.from(level, 'latin1') },
        ...Object.entries(keys).map(([keyword, value]) => key(keyword, value)),
      ],
      limit: MAX_INSTANCES,
      signal: this.request.signal,
      onMatch: (row) => void rows.push(row),
    });
    const { status } = outcome;
    if (status !== STATUS.Success)
      throw failed(
        `it answered a query at level ${level} with ${statusText(status)} (${statusMeaning(status)})`,
      );
    return rows;
  }
}

function key(keyword: string, value: string): DataElement {
  const tag = tagOf(keyword) ?? 0;
  return { tag, vr: vrOf(tag), value: Buffer.from(value, 'latin1') };
}

function textOf(row: FindRow, keyword: string): string {
  const value = row[keyword];
  return typeof value === 'string' ? value : '';
}

function failed(why: string): IsocenterError {
  return new IsocenterError('INVENTORY_FAILED', why);
}
