// Runs files by LiteRT.js in Node.js: `node node.mjs PACKAGES FOLDER RESULTS FILE…`, with PACKAGES a folder node_modules.
import fs from 'node:fs';
import path from 'node:path';

import {load} from '../../../export/verification/litert_js.mjs';
import {runAll} from './litert.mjs';

const [packages, folder, results, ...names] = process.argv.slice(2);
const write = (line) => fs.appendFileSync(results, JSON.stringify(line) + '\n');
const core = await load(packages);
const {version} = JSON.parse(fs.readFileSync(path.join(packages, '@litertjs/core/package.json')));
write({version: `@litertjs/core ${version}, Node.js ${process.versions.node}`});
const cases = JSON.parse(fs.readFileSync(path.join(folder, 'cases.json')));
await runAll(core, 'wasm', cases, names, (name) => new Uint8Array(fs.readFileSync(path.join(folder, name))), write);
process.exit(0);
