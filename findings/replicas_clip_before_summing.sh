#!/usr/bin/env bash
set -euo pipefail

# Expected: under MirroredStrategy a global batch gives the step that it gives on one device, with a Keras
#   optimizer's clipnorm, global_clipnorm and clipvalue too: no step is longer than the norm asked for.
# Happens: each replica clips its own gradient and the clipped ones are summed. With two replicas a step of
#   clipnorm=1 has length two: the same arguments mean another training on more devices. Without clipping the
#   steps agree.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1; two logical CPUs as replicas.

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

import keras
import numpy as np
import tensorflow as tf

devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def step(scope, clipping):
    with scope:
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(1.0, **clipping), "mse")
    x = np.ones((8, 1), "float32")
    model.fit(x, 100 * x, batch_size=8, verbose=0)
    return float(model.get_weights()[0][0, 0])


steps = {}
for clipping in ({}, {"clipnorm": 1.0}, {"global_clipnorm": 1.0}, {"clipvalue": 1.0}):
    name = str(clipping or "no clipping")
    steps[name] = step(contextlib.nullcontext(), clipping), step(strategy.scope(), clipping)
    print(f"{name}: a step of {steps[name][0]:g} on one device, {steps[name][1]:g} on two replicas")
unclipped = steps.pop("no clipping")
as_described = unclipped[0] == unclipped[1] and all(np.allclose(pair, (1, 2)) for pair in steps.values())

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
