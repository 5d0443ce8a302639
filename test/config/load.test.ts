import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { additionProblem } from '../../src/dicom/attributes';
import { keywords, tagOf } from '../../src/dicom/dictionary';
import { destinationOf } from '../../src/config/config';
import { loadConfig, parseConfig } from '../../src/config/load';
import { checkPlaces } from '../../src/config/places';
import { problemLines } from '../../src/config/problems';
import { ROOT_KEYS, keysOf, remote, sections } from '../../src/config/schema';
import { effective, effectiveYaml, origins } from '../../src/config/show';

const SHIPPED = join(__dirname, '..', '..', 'config', 'isocenter.yaml');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'isocenter-config-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const configOf = (text: string, environment: Record<string, string> = {}) =>
  parseConfig('/etc/isocenter/f.yaml', text, environment).config;

describe('the configuration that is shipped', () => {
  it('loads without a warning, lets this machine in and nobody else', () => {
    const { config, warnings } = loadConfig(SHIPPED, {});
    expect(warnings).toEqual([]);
    expect(config.aeTitles).toEqual(['ISOCENTER']);
    expect(config.listen).toEqual({ host: '0.0.0.0', port: 11112 });
    expect(config.access).toEqual({ unknownCallers: 'refuse', calledAeTitle: 'check' });
    expect(config.storage.directory).toBe(resolve(SHIPPED, '../../data'));
    expect(config.remotes.map(({ hosts }) => hosts)).toEqual([['127.0.0.0/8'], ['::1']]);
  });

  it('says what the defaults are: without its sections the same comes out', () => {
    const { config } = loadConfig(SHIPPED, {});
    const bare = parseConfig(SHIPPED, 'version: 1', {}).config;
    expect({ ...config, remotes: [] }).toEqual(bare);
  });
});

describe('the sample of the interface', () => {
  const sample = `version: 1
aeTitles: [ISOCENTER]
listen:
  host: 0.0.0.0
  port: 11112
  tls:
    port: 2762
    certificate: tls/node.crt
    clientCertificate: required
storage:
  directory: ../data
  reserve: 5%
  duplicates: refuse
access:
  unknownCallers: refuse
  calledAeTitle: check
remotes:
  local: { aeTitle: "*", host: 127.0.0.0/8, allow: [echo, store, find, get, move, commit] }
  ct1:   { aeTitle: CT_ROOM1, host: 10.0.4.21, port: 104, allow: [echo, store, commit] }
  pacs:  { aeTitle: OLDPACS, host: pacs.example, port: 11112, tls: false, allow: [echo, find, get, move], charset: ISO_IR 100 }
  mr:    { aeTitle: "MR_*", host: 10.0.5.0/24, allow: [echo, store] }
limits:   { associations: 200, associationsPerRemote: 20, pduLength: 131072, findMatches: 0 }
timeouts: { association: 10s, idle: 60s, response: 120s, writeStall: 60s, pending: 5s }
admin:    { host: 127.0.0.1, port: 8042 }
log:      { level: info, format: text }
`;

  it('is refused for TLS alone', () => {
    expect(() => parseConfig('f.yaml', sample, {})).toThrow(
      expect.objectContaining({
        message:
          'f.yaml:6:3: listen.tls: not available in this version: the node would speak without encryption; take the key out',
      }),
    );
  });

  it('loads without it, and says which keys have no effect yet', () => {
    const { config, warnings } = parseConfig('f.yaml', sample.replace(/ {2}tls:\n( {4}.*\n)+/, ''), {});
    expect(problemLines('f.yaml', warnings)).toEqual([
      'f.yaml:16:63: remotes.pacs.tls: tls has no effect in this version',
      'f.yaml:20:1: admin: admin has no effect in this version',
    ]);
    expect(config.remotes.map((one) => destinationOf(one))).toEqual([
      { missing: 'an aeTitle without * and ?' },
      { name: 'ct1', aeTitle: 'CT_ROOM1', host: '10.0.4.21', port: 104 },
      { name: 'pacs', aeTitle: 'OLDPACS', host: 'pacs.example', port: 11112 },
      { missing: 'an aeTitle without * and ?' },
    ]);
    expect(config.timeouts).toMatchObject({
      association: 10_000,
      idle: 60_000,
      response: 120_000,
      writeStall: 60_000,
      commit: 60_000,
      pending: 5000,
    });
  });
});

describe('keys for queries', () => {
  it('are handed on, and stay away where they are not set', () => {
    const config = configOf(`version: 1
limits: { findMatches: 5000 }
remotes:
  a: { aeTitle: A, host: 10.0.0.1, charset: 'ISO_IR 100', lenient: true, findMatches: 10 }
  b: { aeTitle: B, host: 10.0.0.2 }`);
    expect(config.limits.findMatches).toBe(5000);
    expect(config.remotes[0]).toMatchObject({ charset: 'ISO_IR 100', lenient: true, findMatches: 10 });
    for (const key of ['charset', 'lenient', 'findMatches'])
      expect(config.remotes[1]).not.toHaveProperty(key);
    expect(configOf('version: 1').limits.findMatches).toBe(0);
  });
});

describe('keys for retrieves', () => {
  it('are handed on, and stay away where they are not set', () => {
    const config = configOf(`version: 1
remotes:
  a: { aeTitle: A, host: 10.0.0.1, destinations: [b, b], associations: 4, transcode: never }
  b: { aeTitle: B, host: 10.0.0.2, port: 104, destinations: [] }
  c: { aeTitle: C, host: 10.0.0.3 }`);
    const [a, b, c] = config.remotes;
    expect(a).toMatchObject({ destinations: ['b'], associations: 4, transcode: 'never' });
    expect(b?.destinations).toEqual([]);
    for (const key of ['destinations', 'associations', 'transcode']) expect(c).not.toHaveProperty(key);
    expect(config.timeouts.pending).toBe(5000);
  });

  it('are bounded', () => {
    for (const key of ['associations: 0', 'associations: 65', 'transcode: jpeg'])
      expect(() => configOf(`version: 1\nremotes: { a: { aeTitle: A, host: h, ${key} } }`)).toThrow(
        /remotes\.a\./,
      );
  });
});

describe('forwardTo and retryFailed', () => {
  it('are handed on, without what is there twice', () => {
    const config = configOf(`version: 1
remotes:
  a: { aeTitle: A, host: 10.0.0.1, forwardTo: [b, c, b] }
  b: { aeTitle: B, host: 10.0.0.2, port: 104, forwardTo: c }
  c: { aeTitle: C, host: 10.0.0.3, port: 104, retryFailed: true }`);
    const [a, b, c] = config.remotes;
    expect(a?.forwardTo).toEqual(['b', 'c']);
    expect(b?.forwardTo).toEqual(['c']);
    expect(c).toMatchObject({ retryFailed: true });
    expect(c).not.toHaveProperty('forwardTo');
    expect(a).not.toHaveProperty('retryFailed');
  });
});

describe('keys for storage commitment', () => {
  it('are handed on, shown, and checked', () => {
    const text = `version: 1
timeouts: { commit: 5m }
remotes:
  a: { aeTitle: A, host: 10.0.0.1, port: 104, commit: same-association }
  b: { aeTitle: B, host: 10.0.0.2, port: 104, commit: new-association }
  c: { aeTitle: C, host: 10.0.0.3 }`;
    const loaded = parseConfig('f.yaml', text, {});
    expect(loaded.warnings).toEqual([]);
    expect(loaded.config.timeouts.commit).toBe(300_000);
    expect(loaded.config.remotes.map(({ commit }) => commit)).toEqual([
      'same-association',
      'new-association',
      undefined,
    ]);
    expect(parseConfig('f.yaml', effectiveYaml(loaded, false), {}).config).toEqual(loaded.config);
    expect(() => parseConfig('f.yaml', text.replace('port: 104, commit: new', 'commit: new'), {})).toThrow(
      'a new association needs a port: add it, or write same-association',
    );
  });
});

describe('values', () => {
  it('have units', () => {
    const config = configOf(`version: 1
storage: { reserve: 1.5GiB }
limits: { pduLength: 64KiB }
timeouts: { association: 500ms, idle: 2m, response: 1h, writeStall: 1.5s, pending: 2s }
log: { size: 1MB }`);
    expect(config.storage.reserve).toEqual({ bytes: 1.5 * 2 ** 30 });
    expect(config.limits.pduLength).toBe(65_536);
    expect(config.timeouts).toMatchObject({
      association: 500,
      idle: 120_000,
      response: 3_600_000,
      writeStall: 1500,
      commit: 60_000,
      pending: 2000,
    });
    expect(config.log.size).toBe(1_000_000);
  });

  it('that are paths start at the folder of the file', () => {
    const config = configOf('version: 1\nstorage: {directory: d}\nlog: {file: ../n.log}');
    expect(config.storage.directory).toBe('/etc/isocenter/d');
    expect(config.log.file).toBe('/etc/n.log');
  });

  it('come from the environment, as text of one scalar', () => {
    const text = `version: 1
aeTitles: ["\${AET}"]
listen: { port: "\${PORT:-11113}" }
remotes:
  a: { aeTitle: "\${TITLE:-00123}", host: "\${HOST}", unknownSyntaxes: "\${FLAG}" }
storage: { directory: "$\${x}/\${AET}" }`;
    const environment = { AET: '007', HOST: '10.0.0.1', FLAG: 'false', TITLE: '' };
    const config = configOf(text, environment);
    expect(config.aeTitles).toEqual(['007']);
    expect(config.listen.port).toBe(11113);
    expect(config.remotes[0]).toMatchObject({
      aeTitle: '00123',
      hosts: ['10.0.0.1'],
      unknownSyntaxes: false,
    });
    expect(config.storage.directory).toBe('/etc/isocenter/${x}/007');
    expect(() => configOf(text, { ...environment, HOST: '10.0.0.1, allow: [store]' })).toThrow(
      /remotes\.a\.host: "10\.0\.0\.1, allow: \[store\]": this is neither/,
    );
  });

  it('keep the order of the remotes, and cannot be changed', () => {
    const config = configOf(
      'version: 1\nremotes:\n  z: {aeTitle: A, host: h}\n  b: {aeTitle: B, host: [h, i]}',
    );
    expect(config.remotes.map(({ name }) => name)).toEqual(['z', 'b']);
    expect(() => (config.remotes[1]?.hosts as string[]).push('x')).toThrow(TypeError);
    expect(() => Object.assign(config.listen, { port: 1 })).toThrow(TypeError);
  });

  it('may be shared by an alias, and sections may be empty', () => {
    const config = configOf(
      'version: 1\nlog:\nremotes:\n  a: {aeTitle: A, host: h, allow: &all [echo, store]}\n  b: {aeTitle: B, host: h, allow: *all}',
    );
    expect(config.remotes[1]?.allow).toEqual(['echo', 'store']);
    expect(configOf('version: 1\nremotes:\n').remotes).toEqual([]);
  });
});

describe('the file', () => {
  it('may start with a byte order mark and end lines with CR LF', () => {
    const file = join(folder, 'f.yaml');
    writeFileSync(file, '\ufeffversion: 1\r\naeTitles: [A]\r\n');
    expect(loadConfig(file, {}).config.aeTitles).toEqual(['A']);
  });

  it.each<[string, (file: string) => void, RegExp]>([
    ['missing', () => undefined, /cannot be read: ENOENT/],
    ['UTF-16', (file) => writeFileSync(file, '\ufeffversion: 1', 'utf16le'), /is not UTF-8 text/],
    ['Latin-1', (file) => writeFileSync(file, 'version: 1 # \xe9', 'latin1'), /is not UTF-8 text/],
    [
      'larger than 1 MiB',
      (file) => {
        writeFileSync(file, '');
        truncateSync(file, 1024 * 1024 + 1);
      },
      /is larger than 1 MiB/,
    ],
  ])('is refused when %s', (_what, prepare, message) => {
    const file = join(folder, 'f.yaml');
    prepare(file);
    expect(() => loadConfig(file, {})).toThrow(
      expect.objectContaining({
        code: 'CONFIG_UNREADABLE',
        exitCode: 78,
        message: expect.stringMatching(message),
      }),
    );
  });

  it('whatever it holds, loads or is refused with a place', () => {
    const words = fc.constantFrom(
      ...ROOT_KEYS,
      ...Object.keys(keysOf(remote) ?? {}),
      'host',
      'port',
      ':',
      ': ',
      '\n',
      '\n  ',
      '- ',
      '[',
      ']',
      '{',
      '}',
      '"',
      '*',
      '&a',
      '*a',
      '!',
      '|',
      '>',
      '#',
      '~',
      '1',
      '10s',
      '5%',
      '${A}',
      '${',
      '%',
      '\t',
      ',',
      '?',
      '<<',
      '---',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(words, fc.string()), { maxLength: 40 }), (parts) => {
        try {
          parseConfig('f.yaml', parts.join(''), { A: 'x' });
        } catch (error) {
          expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
          for (const line of (error as Error).message.split('\n'))
            expect(line).toMatch(/^f\.yaml:(\d+:\d+:)? /);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('what is shown', () => {
  const text = `version: 1
aeTitles: [A, "00123"]
listen: { port: "\${PORT}" }
storage: { reserve: 1500MB }
remotes:
  ct1: { aeTitle: "CT*", host: [10.0.0.1, h], port: 104, allow: [store], calledAeTitle: A, duplicates: replace, unknownSyntaxes: false, defaultCharset: ISO_IR 100 }
timeouts: { idle: 90s, response: 1500ms }
log: { file: x.log }
`;
  const loaded = parseConfig('/etc/isocenter/f.yaml', text, { PORT: '104' });

  it('is a configuration with the same effect', () => {
    for (const withOrigins of [false, true]) {
      const again = parseConfig('/etc/isocenter/f.yaml', effectiveYaml(loaded, withOrigins), {});
      expect(again.config).toEqual(loaded.config);
      expect(again.warnings).toEqual([]);
    }
    const json = JSON.stringify(effective(loaded.config));
    expect(parseConfig('/etc/isocenter/f.yaml', json, {}).config).toEqual(loaded.config);
  });

  it('says where each value comes from', () => {
    const all = new Map(origins(loaded).map(({ path, ...rest }) => [path, rest]));
    expect(all.get('listen.port')).toEqual({
      value: 104,
      origin: 'environment',
      line: 3,
      variables: ['PORT'],
    });
    expect(all.get('listen.host')).toEqual({ value: '0.0.0.0', origin: 'default' });
    expect(all.get('remotes.ct1.host')).toEqual({ value: ['10.0.0.1', 'h'], origin: 'file', line: 6 });
    expect(effectiveYaml(loaded, true)).toContain('port: 104 # environment PORT, line 3\n');
    expect(effectiveYaml(loaded, true)).toContain('idle: 90s # file, line 7\n');
  });
});

describe('the schema', () => {
  it('describes every key', () => {
    const bare: string[] = [];
    const look = (
      shape: Readonly<Record<string, { description?: string | undefined }>>,
      path: string,
    ): void => {
      for (const [key, schema] of Object.entries(shape)) {
        if (schema.description === undefined) bare.push(`${path}${key}`);
        look(keysOf(schema as never) ?? {}, `${path}${key}.`);
      }
    };
    look(sections, '');
    look(keysOf(remote) ?? {}, 'remotes.NAME.');
    expect(bare).toEqual([]);
  });
});

describe('places', () => {
  const problemsAt = (directory: string) =>
    checkPlaces(parseConfig(join(folder, 'f.yaml'), `version: 1\nstorage: {directory: ${directory}}`, {}));

  it('may be missing where they can be made', () => {
    expect(problemsAt('a/b/c')).toEqual([]);
  });

  it('are named where a file is in the way', () => {
    writeFileSync(join(folder, 'plain'), '');
    expect(problemsAt('plain')).toEqual([
      { line: 2, column: 22, path: ['storage', 'directory'], message: `${folder}/plain is not a folder` },
    ]);
    expect(problemsAt('plain/a')[0]?.message).toBe(`${folder}/plain is not a folder`);
  });
});

describe('attributes of the catalog', () => {
  const problemsOf = (text: string): string[] => {
    try {
      configOf(text);
      return [];
    } catch (error) {
      return (error as Error).message.split('\n').map((line) => line.replace('/etc/isocenter/f.yaml:', ''));
    }
  };

  it('are none unless they are named, and are read with their level', () => {
    expect(configOf('version: 1').catalog).toEqual({ attributes: [] });
    expect(configOf('version: 1\ncatalog:').catalog).toEqual({ attributes: [] });
    const text = `version: 1
catalog:
  attributes:
    - { keyword: StudyComments, level: study }
    - { keyword: ManufacturerModelName, level: series }
    - { keyword: PatientComments, level: patient }
    - { keyword: ViewCodeSequence, level: instance }
`;
    const config = configOf(text);
    expect(config.catalog.attributes.map(({ keyword, level }) => `${keyword} ${level}`)).toEqual([
      'StudyComments study',
      'ManufacturerModelName series',
      'PatientComments patient',
      'ViewCodeSequence instance',
    ]);
    const shown = effectiveYaml(parseConfig('f.yaml', text, {}), false);
    expect(configOf(shown).catalog).toEqual(config.catalog);
  });

  it('are refused one by one, each with what mends it', () => {
    expect(
      problemsOf(`version: 1
catalog:
  attributes:
    - { keyword: StudyComment, level: study }
    - { keyword: PatientID, level: patient }
    - { keyword: NumberOfStudyRelatedSeries, level: study }
    - { keyword: PixelData, level: instance }
    - { keyword: TransferSyntaxUID, level: instance }
    - { keyword: QueryRetrieveLevel, level: study }
    - { keyword: StudyComments, level: studies }
    - { keyword: StationAETitle, levl: series }
    - { keyword: PatientAge, level: study }
    - { keyword: PatientAge, level: series }
    - InstitutionAddress
    - { keyword: 00104000, level: patient }
`),
    ).toEqual([
      '4:18: catalog.attributes[0].keyword: "StudyComment" is not a keyword of the standard such as StudyComments - did you mean "StudyComments"?',
      '5:18: catalog.attributes[1].keyword: PatientID is kept already, at patient level: take the entry out',
      '6:18: catalog.attributes[2].keyword: NumberOfStudyRelatedSeries is answered already, at study level: take the entry out',
      `7:18: catalog.attributes[3].keyword: PixelData has values of OW, which can't be searched: only text, numbers and sequences can`,
      '8:18: catalog.attributes[4].keyword: TransferSyntaxUID is no part of a data set',
      '9:18: catalog.attributes[5].keyword: QueryRetrieveLevel belongs to queries themselves',
      '10:40: catalog.attributes[6].level: "studies" is not one of patient, study, series, instance - did you mean "study"?',
      '11:7: catalog.attributes[7].level: is missing',
      '11:34: catalog.attributes[7].levl: unknown key - did you mean "level"?',
      '14:7: catalog.attributes[10]: this has to be a group of keys',
      '15:18: catalog.attributes[11].keyword: 00104000 is a number to YAML: quote it, "00104000"',
    ]);
    expect(
      problemsOf(`version: 1
catalog:
  attributes:
    - { keyword: PatientAge, level: study }
    - { keyword: PatientAge, level: series }
`),
    ).toEqual(['5:18: catalog.attributes[1].keyword: PatientAge is there twice: take one out']);
    expect(problemsOf('version: 1\ncatalog: { attributes: StudyComments }')).toEqual([
      '2:24: catalog.attributes: this has to be a list of entries such as { keyword: StudyComments, level: study }',
    ]);
  });

  it('are at most 64', () => {
    const many = [...keywords()].filter(
      (keyword) => keyword.endsWith('Sequence') && additionProblem(tagOf(keyword)!) === undefined,
    );
    const text = (count: number): string =>
      `version: 1\ncatalog: { attributes: [ ${many
        .slice(0, count)
        .map((keyword) => `{ keyword: ${keyword}, level: study }`)
        .join(', ')} ] }`;
    expect(problemsOf(text(65))).toEqual(['2:24: catalog.attributes: at most 64 attributes can be added']);
    expect(problemsOf(text(64))).toEqual([]);
  });
});
