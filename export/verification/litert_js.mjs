// Runs one file by LiteRT.js in Node.js, for web.py: `node litert_js.mjs PACKAGES`, with PACKAGES a folder node_modules.
// The standard input has JSON: `content`, the file in base64, and `batches`, a list of lists of {dtype, shape, values}.
// The last line of the output has JSON too: `batches` of {shape, values}, or `refused`, what LiteRT.js said.
import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import vm from 'node:vm';

/** LiteRT.js, ready, of a folder node_modules. */
export async function load(packages) {
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
  const core = await import(path.join(home, 'dist/index.js'));
  await core.loadLiteRt(build);
  return core;
}

async function run(core, {content, batches}) {
  const types = {float32: Float32Array, int32: Int32Array, uint8: Uint8Array};
  const options = {accelerator: 'wasm', cpuOptions: {numThreads: 1}};
  const model = await core.loadAndCompile(new Uint8Array(Buffer.from(content, 'base64')), options);
  const made = [];
  for (const inputs of batches) {
    const tensors = inputs.map(({dtype, shape, values}) => {
      if (!(dtype in types)) throw new Error(`LiteRT.js takes no inputs of ${dtype}`);
      return new core.Tensor(new types[dtype](values), shape);
    });
    const outputs = await model.run(tensors);
    const given = [];
    for (const output of outputs) {
      given.push({shape: Array.from(output.type.layout.dimensions), values: Array.from(await output.data())});
    }
    made.push(given);
    for (const tensor of [...tensors, ...outputs]) tensor.delete();
  }
  return made;
}

if (fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const core = await load(process.argv[2]);
  let told;
  try {
    told = {batches: await run(core, JSON.parse(fs.readFileSync(0, 'utf8')))};
  } catch (error) {
    told = {refused: String(error.message ?? error).trim().replace(/\s*\n\s*/g, ' / ').slice(0, 400)};
  }
  fs.writeSync(1, '\n' + JSON.stringify(told) + '\n');
  process.exit(0);
}
