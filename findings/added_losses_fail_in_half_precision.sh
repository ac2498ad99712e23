#!/usr/bin/env bash
set -euo pipefail

# Expected: mixed precision is a policy of layers: whatever trains in float32 trains under "mixed_float16" and
#   "mixed_bfloat16", and Keras casts where dtypes meet, as it does for compiled losses, which it computes in float32.
# Happens: a loss that a layer adds is in the dtype that the layer computes in. With TensorFlow as backend Keras puts it
#   into one list with the compiled loss, in float32, and sums them as one tensor, which fails. So a layer
#   ActivityRegularization, or an activity regularizer, ends the first training step with a TypeError that names
#   neither. In evaluation it fails too. With the one layer in float32 the network trains.
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

import keras
import numpy as np

x, y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")


def outcome(policy, policy_of_loss, regularizer=None, method="fit"):
    """What comes of a network whose second layer adds a loss, or whose first does by a regularizer."""
    regularizing = keras.layers.ActivityRegularization(0.0 if regularizer else 1e-3, dtype=policy_of_loss)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, dtype=policy, activity_regularizer=regularizer),
            *([] if regularizer else [regularizing]),
            keras.layers.Dense(1, dtype="float32"),
        ]
    )
    model.compile("sgd", "mse")
    try:
        getattr(model, method)(x, y, verbose=0)
    except TypeError as error:
        return "TypeError, " + ("names the layer" if "regular" in str(error).lower() else "names no layer")
    return "works"


outcomes = {
    "float32": outcome("float32", "float32"),
    "mixed_float16": outcome("mixed_float16", "mixed_float16"),
    "mixed_bfloat16": outcome("mixed_bfloat16", "mixed_bfloat16"),
    "mixed_float16, activity_regularizer": outcome("mixed_float16", None, regularizer="l2"),
    "mixed_float16, evaluate": outcome("mixed_float16", "mixed_float16", method="evaluate"),
    "mixed_float16, the layer in float32": outcome("mixed_float16", "float32"),
}
for case, result in outcomes.items():
    print(f"{case}: {result}")
fails = "TypeError, names no layer"
as_described = list(outcomes.values()) == ["works", fails, fails, fails, fails, "works"]

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
