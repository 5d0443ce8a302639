/** A C-FIND requestor on one association, the same for every server: the node's own upper layer and DIMSE, as built. */
import { createRequire } from 'node:module';
import type * as DataSetModule from '../../src/dicom/data-set';
import type * as Dictionary from '../../src/dicom/dictionary';
import type * as SessionModule from '../../src/dimse/session';
import type * as Requestor from '../../src/net/requestor';
import type { Association } from '../../src/net/types';

const load = createRequire(process.argv[1]!);
const { encodeDataSet } = load('../../dist/dicom/data-set.js') as typeof DataSetModule;
const { tagOf, vrOf } = load('../../dist/dicom/dictionary.js') as typeof Dictionary;
const { Session } = load('../../dist/dimse/session.js') as typeof SessionModule;
const { connect } = load('../../dist/net/requestor.js') as typeof Requestor;

const STUDY_ROOT_FIND = '1.2.840.10008.5.1.4.1.2.2.1';
const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const C_FIND = 0x0020;

/** Keys by keyword; `QueryRetrieveLevel` among them. */
export type Keys = Readonly<Record<string, string>>;

export interface Asked {
  /** Milliseconds to the first response, of whatever kind, and to the final one. */
  readonly first: number;
  readonly final: number;
  readonly rows: number;
  readonly status: number;
  /** Milliseconds from C-CANCEL to the final response; undefined where none was sent. */
  readonly cancelled: number | undefined;
}

export interface AskOptions {
  /** C-CANCEL goes out with so many responses. */
  readonly cancelAfter?: number;
  /** Waits with each response in hand; the next one is not read before. */
  readonly onRow?: (count: number) => void | Promise<void>;
}

export interface OpenOptions {
  readonly SOPClassUIDs?: readonly string[];
  /** Keys of upper levels may be left out, where the server agrees. */
  readonly relational?: boolean;
}

export class FindClient {
  private readonly association: Association;
  private readonly session: InstanceType<typeof SessionModule.Session>;

  private constructor(association: Association) {
    this.association = association;
    this.session = new Session(association);
  }

  /** Opens an association for Study Root, and for storing objects of the classes given. */
  static async open(
    port: number,
    calledAETitle: string,
    { SOPClassUIDs = [], relational = false }: OpenOptions = {},
  ): Promise<FindClient> {
    const association = await connect({
      host: '127.0.0.1',
      port,
      callingAETitle: 'BENCH',
      calledAETitle,
      implementation: { classUID: '2.25.208141519734110396552913160713562904811', versionName: 'BENCH' },
      maximumLength: 131_072,
      timeouts: { association: 30_000, idle: 600_000, writeStall: 60_000, release: 5000, abortGrace: 1000 },
      contexts: [STUDY_ROOT_FIND, ...SOPClassUIDs].map((abstractSyntax, index) => ({
        id: 2 * index + 1,
        abstractSyntax,
        transferSyntaxes: [EXPLICIT_LITTLE_ENDIAN],
      })),
      ...(relational
        ? { extendedNegotiation: [{ sopClass: STUDY_ROOT_FIND, information: Buffer.from([1]) }] }
        : {}),
    });
    return new FindClient(association);
  }

  async ask(keys: Keys, options: AskOptions = {}): Promise<Asked> {
    const cancel = new AbortController();
    let rows = 0;
    let first: number | undefined;
    let cancelSent: number | undefined;
    const identifier = encodeKeys(keys);
    const started = performance.now();
    const { status } = await this.session.scu.request(
      { CommandField: C_FIND, AffectedSOPClassUID: STUDY_ROOT_FIND, Priority: 0 },
      1,
      identifier,
      {
        signal: cancel.signal,
        onPending: () => {
          first ??= performance.now() - started;
          rows++;
          if (rows === options.cancelAfter) {
            cancelSent = performance.now();
            cancel.abort();
          }
          return options.onRow?.(rows);
        },
      },
    );
    const ended = performance.now();
    const final = ended - started;
    const cancelled = cancelSent === undefined ? undefined : ended - cancelSent;
    return { first: first ?? final, final, rows, status, cancelled };
  }

  /** @throws Error unless the answer is Success. */
  async store(SOPClassUID: string, SOPInstanceUID: string, dataSet: Buffer): Promise<void> {
    const context = [...this.association.contexts.values()].find((row) => row.abstractSyntax === SOPClassUID);
    if (context === undefined) throw new Error(`no presentation context for ${SOPClassUID}`);
    const { status } = await this.session.scu.store(
      { contextId: context.id, SOPClassUID, SOPInstanceUID },
      dataSet,
    );
    if (status !== 0) throw new Error(`C-STORE was answered ${status.toString(16)}`);
  }

  release(): Promise<void> {
    return this.association.release();
  }
}

function encodeKeys(keys: Keys): Buffer {
  const elements = Object.entries(keys).map(([keyword, value]) => {
    const tag = tagOf(keyword);
    if (tag === undefined) throw new Error(`no attribute ${keyword}`);
    const vr = vrOf(tag);
    const padded = value.length % 2 === 0 ? value : `${value}${vr === 'UI' ? '\0' : ' '}`;
    return { tag, vr, value: Buffer.from(padded, 'latin1') };
  });
  return encodeDataSet(
    elements.sort((a, b) => a.tag - b.tag),
    EXPLICIT_LITTLE_ENDIAN,
  );
}
