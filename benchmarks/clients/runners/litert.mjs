// What Node.js and the page share: runs files by LiteRT.js, and hands on a line for each, as `python.py` does.

export async function runAll(core, accelerator, cases, names, read, write) {
  const options = {accelerator, cpuOptions: {numThreads: 1}};
  for (const name of names) {
    const line = {file: name};
    try {
      const model = await core.loadAndCompile(await read(name), options);
      line.difference = await difference(core, model, cases.networks[cases.files[name].network]);
      if (accelerator === 'webgpu' && !model.isFullyAccelerated) line.partly = true;
      model.delete();
    } catch (error) {
      line.refused = String(error.message ?? error).trim().replace(/\s*\n\s*/g, ' / ').slice(0, 400);
      delete line.difference;
    }
    await write(line);
  }
}

async function difference(core, model, network) {
  const types = {float32: Float32Array, int32: Int32Array};
  const largest = network.outputs.map(() => 0);
  for (const example of network.outputs[0].keys()) {
    const inputs = network.inputs.map((x) => new core.Tensor(new types[x.dtype](x.examples[example]), x.shape));
    const outputs = await model.run(inputs);
    for (const [place, output] of outputs.entries()) {
      const values = await output.data();
      const expected = network.outputs[place][example];
      if (values.length !== expected.length) throw new Error(`${values.length} outputs`);
      for (const [j, value] of values.entries()) {
        if (!Number.isFinite(value)) return null;
        largest[place] = Math.max(largest[place], Math.abs(value - expected[j]));
      }
    }
    for (const tensor of [...inputs, ...outputs]) tensor.delete();
  }
  return Math.max(...largest.map((off, i) => off / Math.max(1e-6, ...network.outputs[i].flat().map(Math.abs))));
}
