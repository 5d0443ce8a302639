'use strict';
/**
 * Writes src/dicom/dictionary-data.ts from dcmjs's copy of PS3.6. Run by hand after dcmjs has been updated; a test holds the file
 * to what this script would write. Loading dcmjs itself would cost every start 40 ms and several megabytes.
 */
const fs = require('node:fs');
const path = require('node:path');

/** The VRs that PS3.6 leaves open, as the implicit syntaxes read them: the widest reading that alters no byte. */
const AMBIGUOUS = { ox: 'OW', xs: 'US', lt: 'OW', up: 'UL' };

function generate() {
  const { nameMap } = require('dcmjs').data.DicomMetaDictionary;
  const rows = new Map();
  for (const entry of Object.values(nameMap)) {
    const tag = entry.tag.replace(/[(),]/g, '').toUpperCase();
    const vr = AMBIGUOUS[entry.vr] ?? entry.vr;
    // Item and delimiter tags carry no VR; group lengths follow a rule.
    if (!/^[0-9A-F]{8}$/.test(tag) || !/^[A-Z]{2}$/.test(vr) || tag.startsWith('FFFE')) continue;
    const retired = entry.name.startsWith('RETIRED_');
    const keyword = entry.name.replace(/^RETIRED_/, '');
    if (!retired || !rows.has(tag)) rows.set(tag, { tag, vr, keyword, retired });
  }
  // A retired attribute must not take the keyword of one in force.
  const current = new Set([...rows.values()].filter((row) => !row.retired).map((row) => row.keyword));
  const lines = [...rows.values()]
    .filter((row) => !row.retired || !current.has(row.keyword))
    .sort((a, b) => (a.tag < b.tag ? -1 : 1))
    .map((row) => `${row.tag}${row.vr}${row.keyword}`);
  return [
    '// Written by scripts/generate-dictionary.js; do not edit.',
    '/** One attribute of PS3.6 a line: tag (8 hexadecimal digits), VR, keyword. Repeating groups stand under their first group. */',
    `export const DICTIONARY = \`${lines.join('\n')}\`;`,
    '',
  ].join('\n');
}

module.exports = { generate };

if (require.main === module) {
  fs.writeFileSync(path.join(__dirname, '..', 'src', 'dicom', 'dictionary-data.ts'), generate());
}
