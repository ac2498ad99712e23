#!/usr/bin/env bash
set -euo pipefail

# Expected: a residual block of Dense layers is optimized as any other network.
# Happens: of a function with relu(x @ w + b + skip) and its gradient whose shapes are known, which is what
#   `train_on_batch` of a Keras model with relu(Dense(x) + x) makes, the pass that is to
#   fuse these leaves a node without an operation behind. TensorFlow logs errors about that node, drops what its graph
#   optimizer has done to the whole function, and trains on: the numbers are right. Other activations (elu) meet it too.
#   Without oneDNN's operations (TF_ENABLE_ONEDNN_OPTS=0), without the sum or behind a convolution nothing is logged.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, on x86-64.

packages=(tensorflow==2.21.0 keras==3.15.1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
if [ -z "${FINDINGS_VENV:-}" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "${packages[@]}"
fi

export TMPDIR="$work"
"$venv/bin/python" - "${packages[@]}" <<'PYTHON'
import sys
from importlib.metadata import version

for package in sys.argv[1:]:
    name, pinned = package.split("==")
    assert version(name) == pinned, f"{package} wanted, {version(name)} found"
    print(package)
PYTHON

cat > "$work/fit.py" <<'PYTHON'
import sys

import keras
import numpy as np
from keras import layers

kind, activation = sys.argv[1:]
convolution = kind == "convolution"
inputs = keras.Input((8, 8, 4) if convolution else (8,))
outputs = layers.Conv2D(4, 3, padding="same")(inputs) if convolution else layers.Dense(8)(inputs)
if kind != "no sum":
    outputs = layers.Add()([outputs, inputs])
outputs = layers.Dense(1)(layers.Activation(activation)(outputs))
model = keras.Model(inputs, outputs)
model.compile("adam", "mse")
model.train_on_batch(np.ones((16, *inputs.shape[1:])), np.ones((16, *outputs.shape[1:])))
PYTHON

changed=0
check() {
    local expected=$1 onednn=$2 kind=$3 activation=$4 messages
    TF_CPP_MIN_LOG_LEVEL=0 TF_ENABLE_ONEDNN_OPTS=$onednn \
        "$venv/bin/python" "$work/fit.py" "$kind" "$activation" 2>"$work/stderr" || { tail -n 20 "$work/stderr" >&2; exit 1; }
    messages=$(grep -c "Ignoring multi-device function optimization failure" "$work/stderr" || true)
    echo "$kind, $activation, oneDNN $onednn: $messages functions left unoptimized"
    [ $((messages > 0)) -eq "$expected" ] || changed=1
}
check 1 1 sum relu
check 1 1 sum elu
check 0 0 sum relu
check 0 1 "no sum" relu
check 0 1 convolution relu

[ "$changed" -eq 0 ] && echo "as described" || echo CHANGED
exit "$changed"
