#!/usr/bin/env bash
set -euo pipefail

# Expected: layer(x, training=False) in a functional model holds for good: so one keeps batch normalization as
#   it is in fine-tuning, and training=True keeps a dropout active in predict. Legacy Keras does so.
# Happens: Keras 3 writes the argument down with the layer's node and overrules it by that of the model's
#   call. fit moves the statistics of a batch normalization called with training=False, and predict switches
#   off a dropout called with training=True. model(x) by itself still honours it. In a subclassed model, whose
#   call passes the argument on, it holds.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, legacy Keras (tf_keras) 2.21.0.

packages=(tensorflow==2.21.0 keras==3.15.1 tf_keras==2.21.0)
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

import keras
import numpy as np
import tf_keras

x = np.random.default_rng(0).normal(5, 2, (32, 4)).astype("float32")
ones = np.ones((1, 1000), "float32")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.normalization = keras.layers.BatchNormalization(momentum=0.5)

    def call(self, inputs):
        return self.normalization(inputs, training=False)


def moved(library):
    """The moving mean, zero at first, after a step of a functional model with the normalization in inference mode."""
    inputs, layer = library.Input((4,)), library.layers.BatchNormalization(momentum=0.5)
    model = library.Model(inputs, layer(inputs, training=False))
    model.compile("sgd", "mse")
    model.fit(x, x, verbose=0)
    return float(np.mean(layer.moving_mean.numpy()))


def dropped(library):
    """Zeros among 1,000 outputs of a dropout in training mode: of `model(x)` and of `predict`."""
    inputs = library.Input((1000,))
    model = library.Model(inputs, library.layers.Dropout(0.5)(inputs, training=True))
    return int(np.sum(np.array(model(ones)) == 0)), int(np.sum(model.predict(ones, verbose=0) == 0))


subclassed = Subclassed()
subclassed.compile("sgd", "mse")
subclassed.fit(x, x, verbose=0)
held = float(np.mean(subclassed.normalization.moving_mean.numpy()))
new, old, new_zeros, old_zeros = moved(keras), moved(tf_keras), dropped(keras), dropped(tf_keras)
print(f"moving mean of BatchNormalization(x, training=False) after fit: Keras 3 {new:.2f}, legacy Keras {old:.2f}")
print(f"the same in a subclassed model of Keras 3: {held:.2f}")
print(f"zeros of Dropout(x, training=True) in model(x) and predict: Keras 3 {new_zeros}, legacy Keras {old_zeros}")
as_described = new > 1 and old == 0 and held == 0 and new_zeros[0] > 400 and new_zeros[1] == 0 and old_zeros[1] > 400

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
