// Runs files by LiteRT.js in Node.js, for web.py: `node litert_js.mjs PACKAGES`, with PACKAGES a folder node_modules.
// Each line of the standard input is a task in JSON: `content`, the file in base64, `batches`, a list of lists of
// {dtype, shape, values}, and `repeats`, how often the first batch is timed. Each is answered by a line that begins with
// ANSWER, and JSON: `batches` of {shape, values}, `times` and `processor_times` in ms, or `refused`, what LiteRT.js said.
import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';
import readline from 'node:readline';
import {fileURLToPath} from 'node:url';
import vm from 'node:vm';

const ANSWER = 'answer: ';
const WARM_UP = 5;

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

async function run(core, {content, batches, repeats}) {
  const options = {accelerator: 'wasm', cpuOptions: {numThreads: 1}};
  const model = await core.loadAndCompile(new Uint8Array(Buffer.from(content, 'base64')), options);
  try {
    const made = [];
    for (const inputs of batches) {
      const tensors = inputs.map((input) => asTensor(core, input));
      const outputs = await model.run(tensors);
      const given = [];
      for (const output of outputs) {
        given.push({shape: Array.from(output.type.layout.dimensions), values: Array.from(await output.data())});
      }
      made.push(given);
      for (const tensor of [...tensors, ...outputs]) tensor.delete();
    }
    return {batches: made, ...(await time(core, model, batches[0], repeats))};
  } finally {
    model.delete();
  }
}

function asTensor(core, {dtype, shape, values}) {
  const types = {float32: Float32Array, int32: Int32Array, uint8: Uint8Array};
  if (!(dtype in types)) throw new Error(`LiteRT.js takes no inputs of ${dtype}`);
  return new core.Tensor(new types[dtype](values), shape);
}

/** Times of single runs in ms, on the clock and of the processor, with the first ones left out. */
async function time(core, model, inputs, repeats) {
  const tensors = inputs.map((input) => asTensor(core, input));
  const times = [];
  const processorTimes = [];
  for (let i = 0; repeats && i < WARM_UP + repeats; i++) {
    const used = process.cpuUsage();
    const start = performance.now();
    const outputs = await model.run(tensors);
    times.push(performance.now() - start);
    const {user, system} = process.cpuUsage(used);
    processorTimes.push((user + system) / 1e3);
    for (const output of outputs) output.delete();
  }
  for (const tensor of tensors) tensor.delete();
  return {times: times.slice(WARM_UP), processor_times: processorTimes.slice(WARM_UP)};
}

if (fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const core = await load(process.argv[2]);
  for await (const line of readline.createInterface({input: process.stdin})) {
    let told;
    try {
      told = await run(core, JSON.parse(line));
    } catch (error) {
      told = {refused: String(error.message ?? error).trim().replace(/\s*\n\s*/g, ' / ').slice(0, 400)};
    }
    fs.writeSync(1, `\n${ANSWER}${JSON.stringify(told)}\n`);
  }
  process.exit(0);
}
