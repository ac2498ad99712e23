#!/usr/bin/env bash
set -euo pipefail

# Expected: set_weights sets what a layer computes with, and a model that was saved gives the same outputs
#   when it is loaded.
# Happens: Keras's Normalization computes from copies of its weights that adapt, build and loading make. After
#   set_weights get_weights returns the new statistics while outputs are still those of the old ones. A saved
#   and loaded copy has other outputs than the model that was saved. finalize_state() after set_weights mends
#   it.
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

import os
import tempfile

import keras
import numpy as np

x = np.array([[5.0, 5.0, 5.0]], "float32")
layer = keras.layers.Normalization()
layer.adapt(np.random.default_rng(0).normal(5, 2, (1000, 3)).astype("float32"))
model = keras.Sequential([keras.Input((3,)), layer])
adapted = model.predict(x, verbose=0)
mean, variance, count = model.get_weights()
model.set_weights([np.zeros_like(mean), np.ones_like(variance), count])

path = os.path.join(tempfile.mkdtemp(), "model.keras")
model.save(path)
after_set = model.predict(x, verbose=0)
after_load = keras.models.load_model(path).predict(x, verbose=0)
layer.finalize_state()
finalized = np.array(model(x))
print(f"weights: mean {model.get_weights()[0]}, variance {model.get_weights()[1]}")
print(f"outputs for {x[0]}: adapted {adapted[0]}, after set_weights {after_set[0]}")
print(f"saved and loaded {after_load[0]}, after finalize_state {finalized[0]}")
as_described = np.array_equal(after_set, adapted) and np.allclose(after_load, x) and np.allclose(finalized, x)

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
