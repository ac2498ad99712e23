#!/usr/bin/env bash
set -euo pipefail

# Expected: an int8 file of a small network is its weights, one byte each, and little else.
# Happens: each tensor with a scale for each channel, kernels and biases alike, has as many zero points, numbers of
#   eight bytes that are all zero. In a keyword spotter of depthwise convolutions (DS-CNN of MLPerf Tiny) they are more
#   than a fifth of the file. The converter writes a vector for each tensor, though FlatBuffers let tensors share one,
#   as LiteRT's own Python objects do where the builder is told to write equal vectors once: the file is a fifth
#   smaller, and its outputs are the same.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, LiteRT 2.3.0, FlatBuffers 25.12.19.

packages=(tensorflow==2.21.0 keras==3.15.1 ai-edge-litert==2.3.0 flatbuffers==25.12.19)
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

import flatbuffers
import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from keras import layers


class Sharing(flatbuffers.Builder):
    """Writes equal vectors of numbers once; bytes, which are the weights, as ever."""

    def __init__(self):
        super().__init__(1024)
        self.places = {}

    def CreateNumpyVector(self, x):
        key = x.dtype.str, x.tobytes()
        if x.dtype == np.uint8 or key not in self.places:
            self.places[key] = super().CreateNumpyVector(x)
        return self.places[key]


def packed(model, builder):
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def outputs(content, x):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


keras.utils.set_random_seed(0)
stack = [layers.Conv2D(64, (10, 4), 2, "same", activation="relu")]
for _ in range(4):
    stack += [layers.DepthwiseConv2D(3, padding="same", activation="relu"), layers.Conv2D(64, 1, activation="relu")]
network = keras.Sequential([keras.Input((49, 10, 1)), *stack, layers.GlobalAveragePooling2D(), layers.Dense(12)])
x = np.random.default_rng(0).normal(size=(50, 1, 49, 10, 1)).astype("float32")
converter = tf.lite.TFLiteConverter.from_keras_model(network)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([example] for example in x)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
with contextlib.redirect_stdout(io.StringIO()):
    content = converter.convert()

model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
found = [tensor.quantization for tensor in model.subgraphs[0].tensors if tensor.quantization is not None]
zero_points = [parameters.zeroPoint for parameters in found if parameters.zeroPoint is not None]
of_channels = [vector for vector in zero_points if len(vector) > 1]
zeros, all_zero = sum(8 * len(vector) for vector in of_channels), not np.any(np.concatenate(of_channels))
apart, shared = packed(model, flatbuffers.Builder(1024)), packed(model, Sharing())
same = all(np.array_equal(outputs(content, example), outputs(shared, example)) for example in x[:10])
print(f"file {len(content)} bytes, of which zero points of channels {zeros}, all zero: {all_zero}")
print(f"written again {len(apart)} bytes, with equal vectors once {len(shared)}; the same outputs: {same}")

as_described = same and all_zero and zeros > len(content) / 5 and len(shared) < 0.85 * len(apart)
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
