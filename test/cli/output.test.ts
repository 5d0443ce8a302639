import { PassThrough } from 'node:stream';
import { parseConfig } from '../../src/config/load';
import { type Column, displayWidth, printJson, printTable } from '../../src/cli/output';
import { resolvePeer } from '../../src/cli/peers';
import { Progress } from '../../src/cli/progress';

/** A terminal of so many columns, or a pipe. */
function streamOf(columns?: number) {
  const stream = new PassThrough();
  let text = '';
  stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const output = Object.assign(stream, {
    isTTY: columns !== undefined,
    columns,
  }) as unknown as NodeJS.WriteStream;
  return { output, text: () => text };
}

interface Row {
  name: string;
  count: number | null;
}
const columns: Column<Row>[] = [
  { title: 'NAME', value: (row) => row.name },
  { title: 'COUNT', value: (row) => row.count, align: 'right' },
];
const table = (rows: Row[], width?: number): string => {
  const { output, text } = streamOf(width);
  printTable(columns, rows, { stdout: output, stderr: output });
  return text();
};

describe('a table', () => {
  it('is aligned on a terminal', () => {
    expect(
      table(
        [
          { name: 'short', count: 7 },
          { name: 'a longer one', count: null },
          { name: 'x', count: 12345 },
        ],
        40,
      ),
    ).toBe('NAME          COUNT\nshort             7\na longer one\nx             12345\n');
  });

  it('counts wide characters as two columns and marks as none', () => {
    expect(displayWidth('山田^太郎')).toBe(9);
    expect(displayWidth('e\u0301')).toBe(1);
    expect(
      table(
        [
          { name: '山田^太郎', count: 1 },
          { name: 'Buc^Je\u0301ro\u0302me', count: 2 },
        ],
        40,
      ),
    ).toBe('NAME        COUNT\n山田^太郎       1\nBuc^Je\u0301ro\u0302me      2\n');
  });

  it('is cut to the width of the terminal, the widest column first', () => {
    const text = table(
      [
        { name: 'x'.repeat(100), count: 5 },
        { name: '漢'.repeat(50), count: 5 },
      ],
      30,
    );
    for (const line of text.trimEnd().split('\n')) expect(displayWidth(line)).toBeLessThanOrEqual(30);
    expect(text).toContain('x…');
    expect(text).toContain('漢…');
  });

  it('is whole, with tabs, in a pipe', () => {
    expect(table([{ name: 'x'.repeat(100), count: 5 }])).toBe(`NAME\tCOUNT\n${'x'.repeat(100)}\t5\n`);
  });

  it('has no control characters in it, on a terminal or in a pipe', () => {
    for (const width of [40, undefined])
      expect(table([{ name: 'A\x1b[2J\tB\nC', count: 1 }], width)).toContain('A\\x1b[2J\\x09B\\x0aC');
  });

  it('without rows is its heading', () => {
    expect(table([], 40)).toBe('NAME  COUNT\n');
  });
});

it('JSON is on one line in a pipe and indented on a terminal', () => {
  for (const [width, expected] of [
    [undefined, '{"a":1}\n'],
    [80, '{\n  "a": 1\n}\n'],
  ] as const) {
    const { output, text } = streamOf(width);
    printJson({ a: 1 }, { stdout: output, stderr: output });
    expect(text()).toBe(expected);
  }
});

describe('progress', () => {
  it('is a bar on a terminal, drawn in place and cleared', () => {
    let time = 0;
    const { output, text } = streamOf(60);
    const progress = new Progress({
      label: 'import',
      unit: 'files',
      total: 10,
      stream: output,
      now: () => time,
    });
    progress.update(5);
    time = 50;
    progress.update(6);
    time = 2000;
    progress.update(10, '1 failed');
    progress.clear();
    expect(text().split('\r')).toEqual([
      '',
      '[############------------] import: 5 of 10 files\x1b[K',
      '[########################] import: 10 of 10 files, 5.0 file\x1b[K',
      '\x1b[K',
    ]);
  });

  it('is a line each 10 s in a pipe', () => {
    let time = 0;
    const { output, text } = streamOf();
    const progress = new Progress({ label: 'reindex', unit: 'files', stream: output, now: () => time });
    for (let i = 0; i <= 25; i++) {
      time = i * 1000;
      progress.update(i * 10);
    }
    progress.clear();
    expect(text()).toBe('reindex: 100 files, 10.0 files/s\nreindex: 200 files, 10.0 files/s\n');
  });
});

describe('a peer', () => {
  const { config } = parseConfig(
    'f.yaml',
    'version: 1\nremotes:\n  ct1: {aeTitle: CT, host: ct.example, port: 104}\n  list: {aeTitle: CT, host: [a, b], port: 104}\n  bare: {aeTitle: CT, host: a}',
    {},
  );

  it.each([
    ['ct1', { name: 'ct1', aeTitle: 'CT', host: 'ct.example', port: 104 }],
    ['A B@10.0.0.1:104', { name: undefined, aeTitle: 'A B', host: '10.0.0.1', port: 104 }],
    ['A@B@pacs.example:11112', { name: undefined, aeTitle: 'A@B', host: 'pacs.example', port: 11112 }],
    ['A@[2001:db8::1]:104', { name: undefined, aeTitle: 'A', host: '2001:db8::1', port: 104 }],
  ])('%s is understood', (text, expected) => {
    expect(resolvePeer(config, text)).toEqual(expected);
  });

  it.each([
    ['ct2', 'PEER_UNKNOWN', /did you mean "ct1"/],
    ['list', 'PEER_INVALID', /needs a single address or name as host/],
    ['bare', 'PEER_INVALID', /needs a port/],
    ['@10.0.0.1:104', 'PEER_INVALID', /at least one character/],
    ['A@10.0.0.1', 'PEER_INVALID', /host and port are missing/],
    ['A@2001:db8::1:104', 'PEER_INVALID', /no brackets/],
    ['A@10.0.0.1:0', 'PEER_INVALID', /1 to 65535/],
    ['A@10.0.0.1:99999', 'PEER_INVALID', /1 to 65535/],
    ['A@10.0.0.300:104', 'PEER_INVALID', /not an IPv4 address/],
    ['A@10.0.0.0/8:104', 'PEER_INVALID', /range/],
    ['A@[pacs]:104', 'PEER_INVALID', /only an IPv6 address/],
    ['A*@10.0.0.1:104', 'PEER_INVALID', /\* or \?/],
    ['\x1b[2J@10.0.0.1:104', 'PEER_INVALID', /^"\\x1b\[2J@/],
  ])('%j is refused', (text, code, message) => {
    expect(() => resolvePeer(config, text)).toThrow(
      expect.objectContaining({ code, exitCode: 2, message: expect.stringMatching(message) }),
    );
  });
});
