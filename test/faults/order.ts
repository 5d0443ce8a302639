import { Command } from '../support/wire';

/**
 * The order oracle (Success only after the sync): reads a strace log of the node made with
 * `-f -y -xx -s 512 -e trace=fdatasync,write,writev,sendto,sendmsg` and finds, for each C-STORE response with status
 * 0000 that was written to a socket, the fdatasync of that instance's file that ended before the write began.
 */
export const STRACE_OPTIONS = [
  '-f',
  '-qq',
  '-y',
  '-xx',
  '-s',
  '512',
  '-e',
  'trace=fdatasync,write,writev,sendto,sendmsg',
] as const;

export interface OrderReport {
  /** SOP Instance UIDs in the order of their responses. */
  readonly responses: readonly string[];
  readonly violations: readonly string[];
}

/** @param fileOf name of the stored file of an instance, by SOP Instance UID. */
export function checkOrder(trace: string, fileOf: ReadonlyMap<string, string>): OrderReport {
  const synced = new Set<string>();
  const pending = new Map<string, string>();
  const responses: string[] = [];
  const violations: string[] = [];
  for (const line of trace.split('\n')) {
    const call = /^(\d+)\s+(.*)$/.exec(line);
    if (call === null) continue;
    const [, thread, text] = call;
    const resumed = /^<\.\.\. fdatasync resumed>.*= 0$/.test(text!);
    if (resumed) {
      synced.add(pending.get(thread!) ?? '');
      pending.delete(thread!);
      continue;
    }
    const sync = /^fdatasync\(\d+<([^>]*)>/.exec(text!);
    if (sync !== null) {
      const file = unescape(sync[1]!).split('/').pop() ?? '';
      if (text!.endsWith('= 0')) synced.add(file);
      else pending.set(thread!, file);
      continue;
    }
    // A write is judged when it begins.
    if (!/^(write|writev|sendto|sendmsg)\(\d+<(TCP|socket|\\x)/.test(text!)) continue;
    for (const uid of successesIn(text!)) {
      responses.push(uid);
      const file = fileOf.get(uid);
      if (file === undefined) violations.push(`${uid} was acknowledged and has no file`);
      else if (!synced.has(file)) violations.push(`${uid} was acknowledged before ${file} was synced`);
    }
  }
  return { responses, violations };
}

/** strace -xx writes every string, paths too, as \xNN. */
function unescape(text: string): string {
  return text.replace(/\\x([0-9a-f]{2})/g, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
}

/** SOP Instance UIDs of C-STORE responses of status 0000 in the strings of a write. */
function successesIn(text: string): string[] {
  const strings = [...text.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map((match) => unescape(match[1]!));
  const bytes = Buffer.from(strings.join(''), 'latin1');
  const uids: string[] = [];
  for (let at = 0; at + 12 <= bytes.length;) {
    const length = bytes.readUInt32BE(at + 2);
    if (bytes[at] !== 4 || at + 6 + length > bytes.length) break;
    for (let pdv = at + 6; pdv < at + 6 + length;) {
      const size = bytes.readUInt32BE(pdv);
      if (bytes[pdv + 5] === 3) {
        const command = new Command(bytes.subarray(pdv + 6, pdv + 4 + size));
        if (command.field === 0x8001 && command.status === 0) uids.push(command.text(0x1000) ?? '');
      }
      pdv += 4 + size;
    }
    at += 6 + length;
  }
  return uids;
}
