import { parseConfig } from '../../src/config/load';

/** The lines that a broken configuration is refused with; `FILE:` is left out. */
function linesOf(text: string, environment: Record<string, string> = {}): string[] {
  try {
    parseConfig('f.yaml', text, environment);
  } catch (error) {
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', exitCode: 78 });
    return (error as Error).message.split('\n').map((line) => line.replace(/^f\.yaml:/, ''));
  }
  return [];
}

/** A remote named `a` on line 3, after aeTitle and host. */
const remote = (keys: string): string => `version: 1\nremotes:\n  a: {aeTitle: A, host: h${keys}}`;
const after = (line: string): string => `version: 1\n${line}`;

describe('a broken configuration', () => {
  it.each<[string, string, string[]]>([
    // Keys
    [
      'a key that is misspelt',
      after('limits: { asociations: 5 }'),
      ['2:11: limits.asociations: unknown key - did you mean "associations"?'],
    ],
    [
      'a key with swapped letters',
      after('listen:\n  prot: 104'),
      ['3:3: listen.prot: unknown key - did you mean "port"?'],
    ],
    [
      'a key of another style',
      remote(', called_ae_title: A'),
      ['3:28: remotes.a.called_ae_title: unknown key - did you mean "calledAeTitle"?'],
    ],
    [
      'a key in the wrong place',
      after('port: 104'),
      ['2:1: port: unknown key - it belongs under listen or a remote'],
    ],
    ['a key like nothing', after('zzzzqq: 1'), ['2:1: zzzzqq: unknown key']],
    ['a key in capitals', after('Remotes: {}'), ['2:1: Remotes: unknown key - did you mean "remotes"?']],
    ['a prototype as key', after('__proto__: {a: 1}'), ['2:1: __proto__: unknown key']],
    [
      'a key that is there twice',
      'version: 1\nversion: 1',
      ['2:1: version: this key is there twice, first on line 1'],
    ],
    [
      'a remote that is there twice',
      `${remote('')}\n  a: {aeTitle: B, host: h}`,
      ['4:3: remotes.a: this key is there twice, first on line 3'],
    ],
    [
      'a merge key',
      after('storage: {<<: {a: 1}}'),
      [
        '2:11: storage.<<: merge keys are not supported: write the keys out, or use an alias for a single value',
      ],
    ],
    [
      'a key without a value',
      after('listen:\n  port:'),
      ['3:3: listen.port: there is no value: write one, or take the line out'],
    ],
    [
      'a list entry without a value',
      after('aeTitles: [~]'),
      ['2:12: aeTitles[0]: a list entry without a value'],
    ],
    // The whole
    ['an empty file', '', ['1:1: the file is empty: start from the config/isocenter.yaml that is shipped']],
    ['a list', '- a', ['1:1: a configuration is keys with values, such as "version: 1"']],
    ['no version', 'aeTitles: [A]', ['1:1: version: is missing']],
    ['another version', 'version: 2', ['1:10: version: this isocenter reads version 1']],
    [
      'a group where a value belongs',
      after('listen: {port: {a: 1}}'),
      ['2:16: listen.port: this has to be a whole number from 0 to 65535, not a group of keys'],
    ],
    ['a value where a group belongs', after('listen: 5'), ['2:9: listen: this has to be a group of keys']],
    [
      'a list of remotes',
      after('remotes: [a]'),
      ['2:10: remotes: this has to be a group of names, each with the keys of a remote'],
    ],
    // AE titles
    [
      'an unquoted numeric AE title',
      after('aeTitles: [00123]'),
      ['2:12: aeTitles[0]: 00123 is a number to YAML: quote it, "00123"'],
    ],
    [
      'an unquoted truth value as AE title',
      remote('').replace('aeTitle: A', 'aeTitle: true'),
      ['3:16: remotes.a.aeTitle: true is a truth value to YAML: quote it, "true"'],
    ],
    [
      'a title of 22 characters',
      after('aeTitles: ["THIS_TITLE_IS_TOO_LONG"]'),
      [
        '2:12: aeTitles[0]: "THIS_TITLE_IS_TOO_LONG": an AE title has at most 16 characters, and this one has 22',
      ],
    ],
    [
      'a title with a leading space',
      after('aeTitles: [" X"]'),
      ['2:12: aeTitles[0]: " X": an AE title has no leading or trailing spaces, they are not significant'],
    ],
    [
      'a title with a backslash',
      after('aeTitles: ["A\\\\B"]'),
      ['2:12: aeTitles[0]: "A\\B": an AE title cannot hold a backslash'],
    ],
    [
      'a title with a control character',
      after('aeTitles: ["A\\x1bB"]'),
      ['2:12: aeTitles[0]: "A\\x1bB": an AE title holds ASCII letters, digits and punctuation only'],
    ],
    [
      'a wildcard of our own',
      after('aeTitles: ["CT*"]'),
      [
        '2:12: aeTitles[0]: "CT*": * and ? are wildcards and have no meaning here; access.calledAeTitle: ignore answers to any title',
      ],
    ],
    ['a title twice', after('aeTitles: [A, B, A]'), ['2:18: aeTitles[2]: "A" is there twice: take one out']],
    ['no title', after('aeTitles: []'), ['2:11: aeTitles: needs at least one entry']],
    [
      'an unquoted *',
      remote('').replace('aeTitle: A', 'aeTitle: *'),
      ['3:16: a * alone is an alias to YAML: write "*" in quotes'],
    ],
    [
      'an unquoted title that starts with *',
      remote('').replace('aeTitle: A', 'aeTitle: *_CT'),
      ['3:16: remotes.a.aeTitle: this starts with *, which YAML reads as an alias: write "*_CT"'],
    ],
    // Values
    [
      'a port out of range',
      after('listen: {port: 70000}'),
      ['2:16: listen.port: "70000" is not a whole number from 0 to 65535'],
    ],
    [
      'a duration without a unit',
      after('timeouts: {idle: 10}'),
      ['2:18: timeouts.idle: "10" has no unit: write a unit, 10s'],
    ],
    [
      'a duration of another unit',
      after('timeouts: {idle: 10 parsecs}'),
      ['2:18: timeouts.idle: "10 parsecs" is not a duration such as 500ms, 10s, 2m or 1h'],
    ],
    [
      'durations out of range',
      after('timeouts: {idle: 48h, response: 0s}'),
      [
        '2:18: timeouts.idle: "48h" is not between 1ms and 24h',
        '2:33: timeouts.response: "0s" is not between 1ms and 24h',
      ],
    ],
    [
      'a reserve that is neither',
      after('storage: {reserve: 5}'),
      ['2:20: storage.reserve: "5" is not a share from 0% to 90% or a size such as 2GiB'],
    ],
    [
      'a size that is none',
      after('limits: {pduLength: big}'),
      ['2:21: limits.pduLength: "big" is not a size such as 131072, 128KiB or 20MiB'],
    ],
    [
      'a PDU length out of range',
      after('limits: {pduLength: 1GiB}'),
      ['2:21: limits.pduLength: "1GiB" is not a size from 4KiB to 1MiB'],
    ],
    [
      'a word that is nearly one',
      after('storage: {duplicates: refused}'),
      ['2:23: storage.duplicates: "refused" is not one of refuse, replace - did you mean "refuse"?'],
    ],
    [
      'a right that is none',
      remote(', allow: [echo, stroe]'),
      [
        '3:42: remotes.a.allow[1]: "stroe" is not one of echo, store, find, get, move, commit - did you mean "store"?',
      ],
    ],
    [
      'a truth value that is none',
      remote(', unknownSyntaxes: yes'),
      ['3:45: remotes.a.unknownSyntaxes: "yes" is not true or false'],
    ],
    [
      'a character set by another name',
      remote(', defaultCharset: UTF-8'),
      [
        '3:44: remotes.a.defaultCharset: "UTF-8" is not a DICOM character set such as ISO_IR 100 - did you mean "ISO_IR 192"?',
      ],
    ],
    // Hosts
    [
      'an address out of range in a list',
      remote('').replace('host: h', 'host: [10.0.0.1, 10.0.0.300]'),
      ['3:36: remotes.a.host[1]: "10.0.0.300": this is not an IPv4 address'],
    ],
    [
      'a prefix length out of range',
      remote('').replace('host: h', 'host: 10.0.0.0/33'),
      ['3:25: remotes.a.host: "10.0.0.0/33": the prefix length after / is a number from 0 to 32'],
    ],
    [
      'a port in the host',
      remote('').replace('host: h', 'host: "pacs:104"'),
      ['3:25: remotes.a.host: "pacs:104": the port has a key of its own: port'],
    ],
    [
      'a numeric host',
      remote('').replace('host: h', 'host: 10.0'),
      ['3:25: remotes.a.host: 10.0 is a number to YAML: quote it, "10.0"'],
    ],
    [
      'any host as *',
      remote('').replace('host: h', 'host: "*"'),
      ['3:25: remotes.a.host: "*": for any address write 0.0.0.0/0, and "::/0" for IPv6'],
    ],
    [
      'a range to listen on',
      after('listen: {host: 10.0.0.0/8}'),
      ['2:16: listen.host: "10.0.0.0/8" is a range: listen on one address, 0.0.0.0 or "::" for all'],
    ],
    // Remotes
    [
      'a remote with nothing',
      after('remotes:\n  ct1:'),
      ['3:3: remotes.ct1: this remote has no keys: it needs aeTitle and host'],
    ],
    [
      'a remote without what it needs',
      after('remotes:\n  ct1: {}'),
      ['3:3: remotes.ct1.aeTitle: is missing', '3:3: remotes.ct1.host: is missing'],
    ],
    [
      'a name that starts with a digit',
      after('remotes:\n  1ct: {aeTitle: A, host: h}'),
      [
        '3:3: remotes.1ct: the name of a remote starts with a letter and holds letters, digits, _ and - (at most 64)',
      ],
    ],
    [
      'the name of strangers',
      after('remotes:\n  unknown: {aeTitle: A, host: h}'),
      ['3:3: remotes.unknown: this name is kept for callers that are no remote: choose another'],
    ],
    [
      'two remotes for the same caller',
      `${remote('')}\n  b: {aeTitle: A, host: H}`,
      [
        '4:16: remotes.b.aeTitle: the same title and host as remotes.a on line 3, which is found first: give both the rights in one',
      ],
    ],
    [
      'a called title that is not ours',
      remote(', calledAeTitle: ISOCENTR'),
      [
        '3:43: remotes.a.calledAeTitle: "ISOCENTR" is not among aeTitles: this remote could never get in - did you mean "ISOCENTER"?',
      ],
    ],
    [
      'destinations that can not be called',
      after(
        'remotes:\n  pattern: {aeTitle: "A*", host: h, port: 1}\n  range: {aeTitle: R, host: 10.0.0.0/8, port: 1}\n  b: {aeTitle: B, host: h, destinations: [pattern, range, patern], forwardTo: [b, rnge, range]}\n  c: {aeTitle: C, host: h, forwardTo: b}',
      ),
      [
        '5:43: remotes.b.destinations[0]: "pattern" can\'t be sent to: it needs an aeTitle without * and ?',
        '5:52: remotes.b.destinations[1]: "range" can\'t be sent to: it needs a single address or name as host',
        '5:59: remotes.b.destinations[2]: there is no remote "patern" - did you mean "pattern"?',
        '5:80: remotes.b.forwardTo[0]: it would get back what it stores: name another remote',
        '5:83: remotes.b.forwardTo[1]: there is no remote "rnge" - did you mean "range"?',
        '5:89: remotes.b.forwardTo[2]: "range" can\'t be sent to: it needs a single address or name as host',
        '6:39: remotes.c.forwardTo: "b" can\'t be sent to: it needs a port',
      ],
    ],
    [
      'commitment to a remote that can not be called',
      remote(', commit: new-association'),
      ['3:36: remotes.a.commit: a new association needs a port: add it, or write same-association'],
    ],
    // Promises that this version can't keep
    [
      'TLS',
      after('listen: {tls: {port: 2762}, plain: false}'),
      [
        '2:15: listen.tls: not available in this version: the node would speak without encryption; take the key out',
        '2:36: listen.plain: not available in this version: the node would speak without encryption; take the key out',
      ],
    ],
    [
      'protection of a remote',
      remote(', tls: true, certificate: x, user: {a: 1}'),
      [
        '3:33: remotes.a.tls: not available in this version: the node would speak without encryption; take the key out',
        '3:52: remotes.a.certificate: not available in this version: nobody would check it; take the key out',
        '3:61: remotes.a.user: not available in this version: nobody would check it; take the key out',
      ],
    ],
    // Variables
    [
      'a variable that is not set',
      after('log:\n  level: ${NOPE}'),
      ['3:10: log.level: the environment variable NOPE is not set: set it, or write ${NOPE:-default}'],
    ],
    [
      'a variable that is not closed',
      after('log:\n  format: ${bad'),
      ['3:11: log.format: a variable is written ${NAME} or ${NAME:-default}; for the text "${" write "$${"'],
    ],
    [
      'an unquoted variable in { }',
      after('log: {level: ${NOPE}}'),
      ['2:15: inside { } or [ ] a ${VARIABLE} has to stand in quotes: "${VARIABLE}"'],
    ],
    // YAML
    ['a tab', after('listen:\n\tport: 1'), ['3:1: a tab in the indentation: YAML allows spaces only']],
    [
      'no space after a colon',
      after('port:104'),
      ['2:1: a key is followed by a colon and a space, as in "port: 11112"'],
    ],
    [
      'two documents',
      'version: 1\n---\nversion: 1',
      ['2:1: a second document starts here (---): one file is one configuration'],
    ],
    [
      'an unknown tag',
      after('aeTitles: !x [A]'),
      ['2:11: Unresolved tag: !x: tags (words that start with !) have no meaning here'],
    ],
    ['a key that is a list', after('remotes: {? [x] : 1}'), ['2:13: remotes: a key has to be a word']],
    [
      'Windows line ends',
      'version: 1\r\nlisten:\r\n  port: x\r\n',
      ['3:9: listen.port: "x" is not a whole number from 0 to 65535'],
    ],
  ])('with %s', (_what, text, lines) => {
    expect(linesOf(text)).toEqual(lines);
  });

  it('names all its problems at once, in the order of the file', () => {
    const text = [
      'version: 1',
      'aeTitles: [00123]',
      'listn: {}',
      'timeouts: { idle: 10 }',
      'remotes:',
      '  a: { aeTitle: A, host: h, alow: [echo] }',
      '  b: { aeTitle: B, host: h, forwardTo: c }',
      'log: { level: loud }',
    ].join('\n');
    expect(linesOf(text)).toEqual([
      '2:12: aeTitles[0]: 00123 is a number to YAML: quote it, "00123"',
      '3:1: listn: unknown key - did you mean "listen"?',
      '4:19: timeouts.idle: "10" has no unit: write a unit, 10s',
      '6:29: remotes.a.alow: unknown key - did you mean "allow"?',
      '7:40: remotes.b.forwardTo: there is no remote "c"',
      '8:15: log.level: "loud" is not one of error, warn, info, debug',
    ]);
  });

  it('cannot make the report endless', () => {
    const keys = Array.from({ length: 200 }, (_, i) => `zz${i}: 1`).join('\n');
    const lines = linesOf(after(keys));
    expect(lines).toHaveLength(51);
    expect(lines[50]).toBe(' and 150 more');
  });

  it('cannot expand to more than it is', () => {
    const layers = Array.from({ length: 12 }, (_, i) => `a${i}: &a${i} [${`*a${i - 1},`.repeat(9)}]`);
    const text = after(['a0: &a0 [x]', ...layers.slice(1)].join('\n'));
    expect(linesOf(text).join()).toMatch(/expands to too many values|nested too deeply/);
    expect(linesOf(after('listen: &a\n  port: *a')).join()).toContain('nested too deeply');
    expect(linesOf(after(`a: ${'['.repeat(100_000)}`)).length).toBeGreaterThan(0);
  });

  it('puts no control character of its own on the terminal', () => {
    const lines = linesOf(after('"\\e[2J\\u202e": 1\nremotes: {"\\e[2J": {}}\nlog: {level: "\\e[2J"}'));
    expect(lines.join('')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(lines).toHaveLength(5);
  });
});
