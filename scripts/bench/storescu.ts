/** DCMTK's storescu as the sender, and its output read for what its exit code doesn't tell. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import type * as Targets from './targets';

const { PEER_ENVIRONMENT } = createRequire(process.argv[1]!)('./targets.ts') as typeof Targets;

export interface Sending {
  readonly seconds: number;
  /** Lines that tell of a failure: storescu exits 0 after many of them. */
  readonly complaints: readonly string[];
}

/** Runs one storescu for each folder, all at once, and waits for the last; each is killed after `limit` seconds. */
export async function sendFolders(
  folders: readonly string[],
  port: number,
  calledAETitle: string,
  limit = 180,
): Promise<Sending> {
  const complaints: string[] = [];
  const started = performance.now();
  await Promise.all(
    folders.map(async (folder) => {
      const words = [
        '-R',
        '+sd',
        '+r',
        '-aec',
        calledAETitle,
        '--max-pdu',
        '131072',
        '127.0.0.1',
        String(port),
      ];
      const child = spawn('storescu', [...words, folder], {
        env: PEER_ENVIRONMENT,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let text = '';
      const listen = (chunk: Buffer): void => {
        text += chunk.toString('latin1');
      };
      child.stdout.on('data', listen);
      child.stderr.on('data', listen);
      const late = setTimeout(() => child.kill('SIGKILL'), limit * 1000);
      const [code] = (await once(child, 'close')) as [number | null];
      clearTimeout(late);
      complaints.push(...text.split('\n').filter((line) => /^[EF]: /.test(line)));
      if (code !== 0) complaints.push(`storescu ended with ${code ?? 'a signal'}`);
    }),
  );
  return { seconds: (performance.now() - started) / 1000, complaints };
}
