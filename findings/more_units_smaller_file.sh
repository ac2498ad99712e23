#!/usr/bin/env bash
set -euo pipefail

# Expected: Optimize.DEFAULT (dynamic range) stores the weights in 8 bits, so that a file grows with its
#   network.
# Happens: the converter leaves a kernel of fewer than 1,024 weights in float32, without a word. A layer of 64
#   inputs takes more bytes with 15 units than with 16, and a network of small layers is not quantized at all.
#   So size does not fall with the number of units, as a search by halving takes for granted.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1.

packages=(tensorflow==2.21.0 keras==3.15.1)
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
import tensorflow as tf


def size(units, *optimizations):
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(units, activation="relu"), keras.layers.Dense(10)])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = list(optimizations)
    with contextlib.redirect_stdout(io.StringIO()):
        return len(converter.convert())


plain, quantized = {}, {}
for units in (14, 15, 16, 17):
    plain[units], quantized[units] = size(units), size(units, tf.lite.Optimize.DEFAULT)
    print(f"{units} units, {64 * units:,} weights: float32 {plain[units]:,} bytes, dynamic range {quantized[units]:,}")
as_described = quantized[16] < 0.7 * quantized[15] and quantized[15] > 0.98 * plain[15]

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
