// Runs files by LiteRT.js in Node.js: `node node.mjs PACKAGES FOLDER RESULTS FILE…`, with PACKAGES a folder node_modules.
import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';
import vm from 'node:vm';

import {runAll} from './litert.mjs';

const [packages, folder, results, ...names] = process.argv.slice(2);
const home = path.join(path.resolve(packages), '@litertjs/core');
// Node.js 20 has no relaxed SIMD, which the other builds of LiteRT.js need.
const build = path.join(home, 'wasm/litert_wasm_compat_internal.js');

// LiteRT.js takes the place where it is for a worker of a browser.
globalThis.self = globalThis;
globalThis.require = createRequire(build);
globalThis.__filename = build;
globalThis.__dirname = path.dirname(build);
globalThis.importScripts = (url) => vm.runInThisContext(fs.readFileSync(url, 'utf8'), {filename: url});
globalThis.Module = {
  locateFile: (name) => path.join(globalThis.__dirname, name),
  wasmBinary: fs.readFileSync(build.replace(/js$/, 'wasm')),
  print() {},
  printErr() {},
};

const write = (line) => fs.appendFileSync(results, JSON.stringify(line) + '\n');
const core = await import(path.join(home, 'dist/index.js'));
await core.loadLiteRt(build);
const {version} = JSON.parse(fs.readFileSync(path.join(home, 'package.json')));
write({version: `@litertjs/core ${version}, Node.js ${process.versions.node}`});
const cases = JSON.parse(fs.readFileSync(path.join(folder, 'cases.json')));
await runAll(core, 'wasm', cases, names, (name) => new Uint8Array(fs.readFileSync(path.join(folder, name))), write);
process.exit(0);
