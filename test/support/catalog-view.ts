import type { NodeProcess } from './node-process';

/** The catalog as a sysadmin sees it: what the commands print with --json. */
export type Row = Readonly<Record<string, string | number | null>>;

/** Rows of `isocenter find LEVEL --json`, whether they come as an array or as lines. */
export async function find(
  node: Pick<NodeProcess, 'cli'>,
  level: 'patients' | 'studies' | 'series' | 'instances',
  args: readonly string[] = [],
): Promise<Row[]> {
  const result = await node.cli(['find', level, '--json', '--limit', '0', ...args], 60_000);
  if (result.code !== 0)
    throw new Error(`find ${level} exited with ${String(result.code)}:\n${result.output}`);
  return rowsOf(result.stdout);
}

export function rowsOf(text: string): Row[] {
  const trimmed = text.trim();
  if (trimmed === '') return [];
  if (trimmed.startsWith('[')) return JSON.parse(trimmed) as Row[];
  return trimmed.split('\n').map((line) => JSON.parse(line) as Row);
}

/** SOP Instance UIDs that `find` lists. */
export async function instanceUids(node: Pick<NodeProcess, 'cli'>): Promise<string[]> {
  return (await find(node, 'instances')).map((row) => String(row['SOPInstanceUID']));
}
