#!/usr/bin/env bash
set -euo pipefail

# Expected: ai-edge-quantizer makes the weights of a file 8-bit integers, or raises an error where it cannot.
# Happens: of a file with sparse weights (EXPERIMENTAL_SPARSITY) it returns the same float32 weights. There is
#   neither an error nor a warning, and the result still runs and is right, so that a test of outputs passes
#   too; only the size tells. The dense file of the same network shrinks to a quarter.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, LiteRT 2.3.0, ai-edge-quantizer 0.10.0.

packages=(tensorflow==2.21.0 keras==3.15.1 ai-edge-litert==2.3.0 ai-edge-quantizer==0.10.0)
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
from ai_edge_quantizer import quantizer, recipe

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(300, activation="relu"), keras.layers.Dense(12)])
for layer in model.layers:
    layer.kernel.assign(layer.kernel * (random.random(layer.kernel.shape) > 0.9))


def convert(*optimizations):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = list(optimizations)
    with contextlib.redirect_stdout(io.StringIO()):
        return converter.convert()


def quantize(content):
    with contextlib.redirect_stdout(io.StringIO()):
        quantized = quantizer.Quantizer(bytes(content), recipe.weight_only_wi8_afp32()).quantize()
    return bytes(quantized.quantized_model)


def has_integers(content):
    tensors = Interpreter(model_content=content).get_tensor_details()
    return any(tensor["dtype"] == np.int8 for tensor in tensors)


dense, sparse = convert(), convert(tf.lite.Optimize.EXPERIMENTAL_SPARSITY)
results = {}
for name, content in (("dense", dense), ("sparse", sparse)):
    result = quantize(content)
    results[name] = (len(result) / len(content), has_integers(result))
    print(f"{name}: {len(content):,} -> {len(result):,} bytes, integer weights: {has_integers(result)}")
(dense_share, dense_integers), (sparse_share, sparse_integers) = results["dense"], results["sparse"]
as_described = dense_share < 0.3 and dense_integers and sparse_share > 0.99 and not sparse_integers

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
