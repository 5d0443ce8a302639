import { execFileSync } from 'node:child_process';
import path from 'node:path';

/** Asks test/support/pydicom-oracle.py. */
export function oracle(command: string, args: readonly string[] = [], input = ''): unknown {
  const script = path.join(__dirname, '..', 'support', 'pydicom-oracle.py');
  const output = execFileSync('/usr/bin/python3', [script, command, ...args], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    timeout: 20_000,
    input,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  return JSON.parse(output) as unknown;
}
