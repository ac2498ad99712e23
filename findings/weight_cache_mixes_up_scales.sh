#!/usr/bin/env bash
set -euo pipefail

# Expected: XNNPACK's cache of packed weights, an option of LiteRT's CompiledModel, saves time, and changes no output.
# Happens: where two layers have the same integers on other scales, as kernels of which one is four times the other,
#   the converter stores the integers once for both. The cache finds packed weights by where these bytes stand in the
#   file, and packed weights hold the scales: the second layer computes with those of the first, without an error.
#   Without the cache the outputs are right, and so is the interpreter.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, LiteRT 2.3.0.

packages=(tensorflow==2.21.0 keras==3.15.1 ai-edge-litert==2.3.0)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
if [ -z "${FINDINGS_VENV:-}" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "${packages[@]}"
fi

export TF_CPP_MIN_LOG_LEVEL=3 TMPDIR="$work"
"$venv/bin/python" - "${packages[@]}" <<'PYTHON' 2>"$work/stderr" || { tail -n 20 "$work/stderr" >&2; exit 1; }
import sys
from importlib.metadata import version

for package in sys.argv[1:]:
    name, pinned = package.split("==")
    assert version(name) == pinned, f"{package} wanted, {version(name)} found"
    print(package)

import contextlib
import io
import os
import tempfile

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.cpu_options import CpuOptions
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.options import Options


def with_cache(path, x, cache):
    model = CompiledModel.from_file(path, options=Options(cpu_options=CpuOptions(xnnpack_weight_cache_path=cache)))
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    inputs[0].write(x)
    model.run_by_index(0, inputs, outputs)
    return outputs[0].read(x.size, np.float32).reshape(x.shape)


kernel = np.random.default_rng(0).normal(size=(64, 64)).astype("float32")
network = keras.Sequential([keras.Input((64,))] + [keras.layers.Dense(64, use_bias=False) for _ in range(2)])
for scale, layer in zip((1.0, 0.25), network.layers):
    layer.kernel.assign(scale * kernel)
x = np.random.default_rng(1).normal(size=(1, 64)).astype("float32")
of_one = keras.Sequential([keras.Input(batch_shape=(1, 64)), *network.layers])
converter = tf.lite.TFLiteConverter.from_keras_model(of_one)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
with contextlib.redirect_stdout(io.StringIO()):
    content = converter.convert()
path = os.path.join(tempfile.mkdtemp(), "model.tflite")
with open(path, "wb") as file:
    file.write(content)

interpreter = Interpreter(model_path=path)
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
interpreter.invoke()
expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
keras_off = np.abs(expected - network(x)).max() / np.abs(expected).max()
cache = os.path.join(tempfile.mkdtemp(), "cache")
found = [with_cache(path, x, given) for given in ("", cache)]
plain_off, cache_off = (np.abs(one - expected).max() / np.abs(expected).max() for one in found)
print(f"off by, as a share of the largest output: interpreter from Keras {keras_off:.3f}")
print(f"CompiledModel from the interpreter {plain_off:.3f}, with the cache {cache_off:.3f}")

as_described = keras_off < 0.1 and plain_off < 0.02 and cache_off > 0.5
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
