import { relative } from 'node:path';

/** sun_path of Linux holds 108 bytes with its end mark. */
export const SOCKET_PATH_LIMIT = 107;

/** The shorter way to a socket: often the one from the folder that the process runs in. Undefined where none is short enough. */
export function socketPath(path: string): string | undefined {
  const fromHere = relative(process.cwd(), path);
  const shorter = fromHere.length < path.length ? fromHere : path;
  return Buffer.byteLength(shorter) > SOCKET_PATH_LIMIT ? undefined : shorter;
}
