import { rm } from 'node:fs/promises';
import type { NodeApi } from '../admin/api';
import { DimseError } from '../errors';
import { FolderSink } from '../services/retrieve-scu-files';
import type { GetEvent, GetSink, ReceivedInstance } from '../services/retrieve-scu-receive';

export interface StoreSinkOptions {
  readonly api: NodeApi;
  /** Of our own: a received instance rests there until the store has it. */
  readonly directory: string;
  readonly aeTitle: string;
}

const NEVER = new AbortController().signal;

/** Our own store, by the way that `import` goes: the peer is answered when the instance is safe there, and what the store said. */
export class StoreSink implements GetSink {
  private readonly api: NodeApi;
  private readonly files: FolderSink;

  constructor({ api, directory, aeTitle }: StoreSinkOptions) {
    this.api = api;
    this.files = new FolderSink({
      directory,
      aeTitle,
      force: true,
      temporary: true,
      onUnwritable: () => undefined,
    });
  }

  async has(SOPInstanceUID: string): Promise<boolean> {
    const { rows } = await this.api.locate({ SOPInstanceUID: [SOPInstanceUID] }, { limit: 1 });
    return rows.some(({ damaged }) => damaged === undefined);
  }

  async take(instance: ReceivedInstance): Promise<GetEvent> {
    const { SOPInstanceUID, bytes, path = '' } = await this.files.take(instance);
    try {
      for await (const { outcome, reason } of this.api.importPaths([path], NEVER)) {
        if (outcome === 'stored') return { SOPInstanceUID, outcome: 'fetched', bytes };
        if (outcome === 'duplicate') return { SOPInstanceUID, outcome: 'present', bytes };
        throw outcome === 'quarantined'
          ? new DimseError(0x0111, 'Other bytes under this SOP Instance UID: "quarantine list"')
          : new DimseError(0xa700, `Not stored: ${reason ?? outcome}`.slice(0, 64));
      }
    } finally {
      await rm(path, { force: true });
    }
    throw new DimseError(0xa700, 'Not stored; see the log of the node');
  }
}
