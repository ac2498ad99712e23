#!/usr/bin/env bash
set -euo pipefail

# Expected: a model that was saved and loaded goes on as if it had not been interrupted: a .keras file holds
#   the weights and the optimizer's state, its step counter among it.
# Happens: the state of a SeedGenerator, which Dropout and noise layers draw from, is a variable of the model
#   but not one of its weights, and is in no file. A loaded model draws the same noise again, from the first
#   draw on. Without a fixed seed it starts another sequence. So a resumed run is not the run that was
#   interrupted.
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

x = np.ones((1, 64), "float32")
path = os.path.join(tempfile.mkdtemp(), "model.keras")


def trained(seed):
    inputs = keras.Input((64,))
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dropout(0.5, seed=seed, name="dropout")(inputs)))
    model.compile("adam", "mse")
    model.fit(x, x[:, :1], epochs=3, verbose=0)
    return model


def reloaded(model):
    model.save(path)
    return keras.models.load_model(path)


def state(model):
    return np.array(model.get_layer("dropout").seed_generator.state).tolist()  # seed, draws so far


def mask(model):
    return np.array(model.get_layer("dropout")(x, training=True))[0] == 0


model = trained(seed=1)
loaded = reloaded(model)
states = [state(model), state(loaded)]
steps = [int(np.array(m.optimizer.iterations)) for m in (model, loaded)]
print(f"weights: {[weight.path for weight in model.weights]}")
print(f"variables that are no weights: {[v.path for v in model.variables if 'seed' in v.path]}")
print(f"optimizer's steps: {steps[0]} saved, {steps[1]} loaded")
print(f"seed and draws so far: {states[0]} saved, {states[1]} loaded")
unseeded = trained(seed=None)
unseeded_states = [state(unseeded), state(reloaded(unseeded))]
print(f"the same without a seed given: {unseeded_states[0]} saved, {unseeded_states[1]} loaded")

fresh = keras.layers.Dropout(0.5, seed=1)
first, following, resumed = np.array(fresh(x, training=True))[0] == 0, mask(model), mask(loaded)
repeats, continues = np.array_equal(resumed, first), np.array_equal(resumed, following)
print(f"the loaded model's mask: the first of the sequence {repeats}, the next one {continues}")
as_described = (
    steps == [3, 3]
    and states == [[1, 3], [1, 0]]
    and unseeded_states[0][0] != unseeded_states[1][0]
    and repeats
    and not continues
)

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
