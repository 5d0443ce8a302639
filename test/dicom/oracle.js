"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.oracle = oracle;
const node_child_process_1 = require("node:child_process");
const node_path_1 = __importDefault(require("node:path"));
/** Asks test/support/pydicom-oracle.py. */
function oracle(command, ...args) {
    const script = node_path_1.default.join(__dirname, '..', 'support', 'pydicom-oracle.py');
    const output = (0, node_child_process_1.execFileSync)('/usr/bin/python3', [script, command, ...args], {
        encoding: 'utf8',
        maxBuffer: 64 * 1024 * 1024,
        timeout: 20_000,
        stdio: ['ignore', 'pipe', 'ignore'],
    });
    return JSON.parse(output);
}
