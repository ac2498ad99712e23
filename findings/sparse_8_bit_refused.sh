#!/usr/bin/env bash
set -euo pipefail

# Expected: a file that TensorFlow's converter makes, and that LiteRT's own kernels run, loads in LiteRT's
#   Interpreter. Its delegate for the CPU, which is on by default, passes over what it cannot run.
# Happens: with Optimize.DEFAULT and Optimize.EXPERIMENTAL_SPARSITY together the converter makes a file of
#   8-bit sparse weights, a third as large as the dense one. allocate_tensors() raises a RuntimeError: the
#   default delegate takes the layer and then fails to prepare it. Without delegates the file runs and is
#   right.
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
from ai_edge_litert.interpreter import Interpreter, OpResolverType

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
model = keras.Sequential([keras.Input((256,)), keras.layers.Dense(256, activation="relu"), keras.layers.Dense(10)])
for layer in model.layers:
    layer.kernel.assign(layer.kernel * (random.random(layer.kernel.shape) > 0.9))
x = random.random((1, 256), dtype="float32")
expected = model.predict(x, verbose=0)


def convert(*optimizations):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = list(optimizations)
    with contextlib.redirect_stdout(io.StringIO()):
        return converter.convert()


def run(content, **options):
    interpreter = Interpreter(model_content=content, **options)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


dense = convert(tf.lite.Optimize.DEFAULT)
sparse = convert(tf.lite.Optimize.DEFAULT, tf.lite.Optimize.EXPERIMENTAL_SPARSITY)
plain_kernels = {"experimental_op_resolver_type": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}
error = np.abs(run(sparse, **plain_kernels) - expected).max()
print(f"8-bit: dense {len(dense):,} bytes, sparse {len(sparse):,} bytes")
print(f"sparse, without delegates: off by {error:.4f} of {np.abs(expected).max():.4f}")
try:
    run(sparse)
    refusal = None
except RuntimeError as raised:
    refusal = str(raised)
print(f"sparse, as by default: {refusal}")
as_described = len(sparse) < 0.5 * len(dense) and error < 0.01 and refusal is not None and "delegate" in refusal

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
