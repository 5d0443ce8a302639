"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_fs_1 = __importDefault(require("node:fs"));
const node_path_1 = __importDefault(require("node:path"));
const attributes_1 = require("../../src/dicom/attributes");
const json_model_1 = require("../../src/dicom/json-model");
const charset_1 = require("../../src/dicom/charset");
const data_set_1 = require("../../src/dicom/data-set");
const dictionary_1 = require("../../src/dicom/dictionary");
const header_1 = require("../../src/dicom/header");
const part10_1 = require("../../src/dicom/part10");
const uids_1 = require("../../src/dicom/uids");
const values_1 = require("../../src/dicom/values");
const vr_1 = require("../../src/dicom/vr");
const data_sets_1 = require("../support/data-sets");
const tools_1 = require("../support/tools");
const oracle_1 = require("./oracle");
/** Files that can't be taken, and why. */
const REFUSED = {
    'test_files/MR_truncated.dcm': 'its pixel data are cut',
    'test_files/rtplan_truncated.dcm': 'cut inside a sequence',
    'test_files/SC_rgb_jpeg.dcm': 'its data set is implicit under an explicit transfer syntax',
    'test_files/no_meta.dcm': 'a stray byte stands before the data set',
};
const UIDS = ['SOPClassUID', 'SOPInstanceUID', 'StudyInstanceUID', 'SeriesInstanceUID'];
function open(file) {
    const bytes = node_fs_1.default.readFileSync(file);
    const decoded = (0, part10_1.decodeFileMeta)(bytes);
    if (decoded === 'need-more')
        throw new Error('no file meta group could be read');
    const dataSet = bytes.subarray(decoded.dataSetOffset);
    return { dataSet, uid: decoded.meta.TransferSyntaxUID ?? (0, part10_1.guessTransferSyntax)(dataSet) };
}
async function readHeader(dataSet, uid, pieces) {
    const reader = new header_1.HeaderReader({ transferSyntaxUID: uid });
    for (let at = 0; at < dataSet.length; at += pieces)
        await reader.push(dataSet.subarray(at, at + pieces));
    return reader.finish();
}
/** UIDs for a data set that lacks them, so that the rest of it can be looked at. */
function withUids(dataSet, uid) {
    const { explicit, littleEndian } = (0, uids_1.encodingOf)(uid);
    const uids = [0x00080016, 0x00080018, 0x0020000d, 0x0020000e].map((tag) => ({
        tag,
        vr: 'UI',
        value: '1.2\0',
    }));
    return Buffer.concat([(0, data_sets_1.encode)(uids, !explicit ? 'implicit' : littleEndian ? 'explicit' : 'big'), dataSet]);
}
/** Every text of a data set by its path, as the oracle writes it. */
function texts(elements, around, prefix = '') {
    const set = (0, json_model_1.characterSetOf)(elements) ?? around;
    const found = {};
    for (const element of elements) {
        if ((0, dictionary_1.isPrivate)(element.tag))
            continue;
        const name = prefix + element.tag.toString(16).toUpperCase().padStart(8, '0');
        if ((0, data_set_1.isSequence)(element)) {
            element.items.forEach((item, index) => Object.assign(found, texts(item, set, `${name}[${index}].`)));
        }
        else {
            const vr = element.vr === 'UN' ? (0, dictionary_1.vrOf)(element.tag) : element.vr;
            if ((0, vr_1.valueRepresentation)(vr)?.text === true)
                found[name] = (0, values_1.textValues)(element.value, vr, set).join('\\');
        }
    }
    return found;
}
/** pydicom keeps some padding, and drops empty component groups at the end of names. */
function plain(text) {
    return text
        .split('\\')
        .map((value) => value.replace(/^ +|[ \0]+$/g, '').replace(/=+$/, ''))
        .join('\\');
}
(0, tools_1.describeInterop)(['pydicom'], "pydicom's sample files", () => {
    let files = [];
    let answers = new Map();
    beforeAll(async () => {
        files = await (0, tools_1.pydicomFiles)();
        const table = attributes_1.ATTRIBUTES.filter((row) => row.kind === 'stored').map(({ keyword, vr }) => [keyword, vr]);
        const read = (0, oracle_1.oracle)('files', JSON.stringify(table), ...files);
        answers = new Map(files.map((file, index) => [file, read[index]]));
    });
    function nameOf(file) {
        return node_path_1.default.relative(tools_1.PYDICOM_DATA, file);
    }
    it('are read as pydicom reads them, whole and in odd pieces', async () => {
        expect(files.length).toBeGreaterThan(80);
        const differences = [];
        let compared = 0;
        for (const file of files) {
            const name = nameOf(file);
            const answer = answers.get(file);
            if (name in REFUSED)
                continue;
            const { dataSet, uid } = open(file);
            if (uid === undefined) {
                differences.push(`${name}: no transfer syntax`);
                continue;
            }
            expect([name, answer.error]).toEqual([name, undefined]);
            if (answer.transferSyntax !== null)
                expect([name, uid]).toEqual([name, answer.transferSyntax]);
            expect([name, (0, uids_1.transferSyntax)(uid)]).toEqual([
                name,
                expect.objectContaining({ explicit: answer.explicit, littleEndian: answer.littleEndian }),
            ]);
            const complete = UIDS.every((keyword) => (answer.values[keyword] ?? '') !== '');
            const whole = complete ? dataSet : withUids(dataSet, uid);
            const header = await readHeader(whole, uid, whole.length);
            expect(await readHeader(whole, uid, 7)).toEqual(header);
            for (const { keyword, vr, kind } of attributes_1.ATTRIBUTES) {
                if (kind !== 'stored' || vr === 'SQ' || (!complete && UIDS.includes(keyword)))
                    continue;
                const ours = plain(String(header.values[keyword] ?? ''));
                const theirs = plain(answer.values[keyword] ?? '');
                if (ours !== theirs)
                    differences.push(`${name} ${keyword}: ${JSON.stringify(ours)} but ${JSON.stringify(theirs)}`);
                compared++;
            }
        }
        expect(differences).toEqual([]);
        expect(compared).toBeGreaterThan(2000);
    });
    it('yield every text at every depth as pydicom decodes it', () => {
        const differences = [];
        let compared = 0;
        for (const file of files) {
            const name = nameOf(file);
            if (name in REFUSED)
                continue;
            const { dataSet, uid } = open(file);
            const elements = (0, data_set_1.decodeDataSet)(dataSet, uid ?? '');
            const ours = texts(elements, (0, charset_1.parseCharacterSet)([]));
            for (const [where, text] of Object.entries(answers.get(file).texts)) {
                compared++;
                if (plain(ours[where] ?? 'absent') !== plain(text))
                    differences.push(`${name} ${where}: ${JSON.stringify(ours[where])} but ${JSON.stringify(text)}`);
            }
        }
        expect(differences).toEqual([]);
        expect(compared).toBeGreaterThan(1500);
    });
    it('give a document title in the DICOM JSON model', async () => {
        const { dataSet, uid } = open(node_path_1.default.join(tools_1.PYDICOM_DATA, 'test_files', 'test-SR.dcm'));
        const header = await readHeader(dataSet, uid, 1);
        const json = JSON.parse(String(header.values['ConceptNameCodeSequence']));
        expect(json).toEqual([
            {
                '00080100': { vr: 'SH', Value: [expect.any(String)] },
                '00080102': { vr: 'SH', Value: [expect.any(String)] },
                '00080104': { vr: 'LO', Value: [expect.any(String)] },
            },
        ]);
        const elements = (0, data_set_1.decodeDataSet)(dataSet, uid);
        const title = elements.find(({ tag }) => tag === 0x0040a043);
        if (!(0, data_set_1.isSequence)(title))
            throw new Error('no sequence');
        expect(json).toEqual((0, json_model_1.itemsToJson)(title.items, (0, charset_1.parseCharacterSet)([])));
    });
    it.each(Object.entries(REFUSED))('refuse %s: %s', async (name) => {
        const { dataSet, uid } = open(node_path_1.default.join(tools_1.PYDICOM_DATA, name));
        if (uid === undefined)
            return;
        await expect(readHeader(dataSet, uid, 512)).rejects.toMatchObject({ code: 'DICOM_PARSE' });
    });
});
