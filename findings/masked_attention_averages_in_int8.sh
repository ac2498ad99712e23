#!/usr/bin/env bash
set -euo pipefail

# Expected: post-training quantization to int8 costs attention some accuracy, the same with a causal mask as without.
# Happens: Keras writes float32's least number into the scores of masked places. It belongs to the calibrated range,
#   whose 255 steps are 1e36 wide, so that the scores of all other places become one number: int8 attention with a
#   mask is the plain average of the values, whatever queries and keys are. Nothing is said.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, LiteRT 2.3.0 (x86-64).

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

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).standard_normal((40, 8, 16)).astype("float32")


def int8_outputs(model):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x[i : i + 1]] for i in range(len(x)))
    with contextlib.redirect_stdout(io.StringIO()):
        interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    outputs = []
    for example in x:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], example[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.array(outputs)


def relative(outputs, expected):
    return float(np.linalg.norm(outputs - expected) / np.linalg.norm(expected))


errors = {}
for causal in (False, True):
    inputs = keras.Input((8, 16))
    attention = keras.layers.MultiHeadAttention(2, 16)
    model = keras.Model(inputs, attention(inputs, inputs, use_causal_mask=causal))
    attention.query_dense.kernel.assign(4 * attention.query_dense.kernel)  # so that attention chooses
    expected, outputs = model.predict(x, verbose=0), int8_outputs(model)
    attention.query_dense.kernel.assign(0 * attention.query_dense.kernel)  # so that it averages
    averages = model.predict(x, verbose=0)
    errors[causal] = relative(outputs, expected), relative(outputs, averages)
    print(
        f"use_causal_mask={causal}: int8 is off by {errors[causal][0]:.3f} from Keras, by {errors[causal][1]:.3f} "
        "from Keras's average of all values"
    )
as_described = errors[False][0] < 0.1 < 0.3 < errors[True][0] and errors[True][1] < 0.1 < errors[False][1]

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
