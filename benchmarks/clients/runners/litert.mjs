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
  let largest = 0;
  for (const [i, x] of network.inputs.entries()) {
    const input = new core.Tensor(new Float32Array(x), network.shape);
    const [output] = await model.run([input]);
    const values = await output.data();
    if (values.length !== network.outputs[i].length) throw new Error(`${values.length} outputs`);
    for (const [j, value] of values.entries()) {
      if (!Number.isFinite(value)) return null;
      largest = Math.max(largest, Math.abs(value - network.outputs[i][j]));
    }
    input.delete();
    output.delete();
  }
  return largest / Math.max(...network.outputs.flat().map(Math.abs));
}
