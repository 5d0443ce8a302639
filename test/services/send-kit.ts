import { IsocenterError } from '../../src/errors';
import type { OutgoingInstance, Transcoder } from '../../src/services/outgoing';
import { SOP, TS, UID_ROOT } from '../support/data-sets';
import { sha256 } from '../support/ledger-scu';

let serial = 0;

export interface Made extends OutgoingInstance {
  readonly sha256: string;
  /** Times that it was opened, and closed again. */
  opened: number;
  closed: number;
}

interface Making {
  readonly SOPClassUID?: string;
  readonly TransferSyntaxUID?: string;
  readonly bytes?: number;
  /** Bytes of a chunk. */
  readonly chunk?: number;
  /** `before` the first chunk or in place of the `last` one. */
  readonly damaged?: 'before' | 'last';
  /** Waited for before the first chunk. */
  readonly gate?: Promise<unknown>;
}

/** An instance in memory, its content a function of its number. */
export function made(making: Making = {}): Made {
  const number = ++serial;
  const { bytes = 1000, chunk = 256 * 1024, damaged } = making;
  const content = Buffer.alloc(bytes, `${number} `);
  const one: Made = {
    name: `instance ${number}`,
    SOPClassUID: making.SOPClassUID ?? SOP.ct,
    SOPInstanceUID: `${UID_ROOT}.900.${number}`,
    TransferSyntaxUID: making.TransferSyntaxUID ?? TS.explicit,
    dataSetLength: bytes,
    sha256: sha256(content),
    opened: 0,
    closed: 0,
    async *read(allocate) {
      one.opened++;
      try {
        await making.gate;
        if (damaged === 'before') throw new IsocenterError('FILE_DAMAGED', 'it has other bytes than sealed');
        for (let at = 0; at < bytes; at += chunk) {
          if (damaged === 'last' && at + chunk >= bytes)
            throw new IsocenterError('FILE_DAMAGED', 'it has other bytes than sealed');
          const part = content.subarray(at, at + chunk);
          const memory = allocate?.(part.length) ?? Buffer.alloc(part.length);
          part.copy(memory);
          yield memory;
        }
      } finally {
        one.closed++;
      }
    },
  };
  return one;
}

/** Marks what it transcodes; `fails` before the first byte or after it. */
export function transcoder(
  targets: Record<string, readonly string[]>,
  fails?: 'before' | 'after',
): Transcoder {
  return {
    targets: (from) => targets[from] ?? [],
    async *transcode(dataSet, from, to) {
      if (fails === 'before') throw new IsocenterError('TRANSCODE_FAILED', 'it has no pixels');
      yield Buffer.from(`${from} to ${to}:`);
      if (fails === 'after') throw new IsocenterError('TRANSCODE_FAILED', 'a frame is broken');
      yield* dataSet;
    },
  };
}

export function transcoded(instance: Made, to: string): Promise<string> {
  return digestOf(transcoder({}).transcode(instance.read(), instance.TransferSyntaxUID, to));
}

async function digestOf(source: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of source) parts.push(part);
  return sha256(Buffer.concat(parts));
}
