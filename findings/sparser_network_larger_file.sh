#!/usr/bin/env bash
set -euo pipefail

# Expected: TFLite's EXPERIMENTAL_SPARSITY makes a file the smaller, the fewer weights are left.
# Happens: once about 96.5% of the weights of a kernel are zero, the converter stores 1x4 blocks instead of
#   single weights, although most blocks then hold one weight and three zeros. 97% zeros take twice the bytes
#   of 96%. Both files compute the network. Whoever looks for the smallest file has to try more than the
#   sparsest network.
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

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

random = np.random.default_rng(0)
x = random.random((1, 784), dtype="float32")
order = random.random((784, 300))  # the weights that a sparser network keeps, a less sparse one keeps too


def sparse_file(zeros):
    model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(300)])
    model.layers[0].kernel.assign(np.where(order > zeros, 1 + order, 0))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    with contextlib.redirect_stdout(io.StringIO()):
        content = converter.convert()
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(output, model.predict(x, verbose=0), rtol=1e-3)
    return content


sizes = {zeros: len(sparse_file(zeros)) for zeros in (0.9, 0.95, 0.96, 0.97, 0.98, 0.99)}
for zeros, size in sizes.items():
    print(f"{zeros:.0%} zeros: {size:7,} bytes")
as_described = sizes[0.97] > 1.5 * sizes[0.96]

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
