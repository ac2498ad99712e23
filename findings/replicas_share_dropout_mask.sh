#!/usr/bin/env bash
set -euo pipefail

# Expected: under MirroredStrategy each replica draws noise of its own, as it does in legacy Keras: the
#   examples of a global batch are independent.
# Happens: the state of Keras 3's SeedGenerator is mirrored, so all replicas draw the same. Dropout gives
#   example i of each replica the same mask, and noise layers the same noise. Nothing in the outputs looks
#   wrong.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, legacy Keras (tf_keras) 2.21.0; two logical CPUs as replicas.

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
import tensorflow as tf
import tf_keras

devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def masks(library, layer):
    """What each replica makes of the same ones."""
    with strategy.scope():
        inputs = library.Input((64,))
        model = library.Model(inputs, getattr(library.layers, layer)(0.5)(inputs))
    drawn = strategy.run(lambda: model(tf.ones((2, 64)), training=True))
    return [replica.numpy() for replica in strategy.experimental_local_results(drawn)]


same = {}
for library, name in ((keras, "Keras 3"), (tf_keras, "legacy Keras")):
    for layer in ("Dropout", "GaussianNoise"):
        first, second = masks(library, layer)
        same[name, layer] = np.array_equal(first, second)
        print(f"{name}, {layer}: the same on both replicas: {same[name, layer]}, within one: {np.array_equal(*first)}")
as_described = all(equal == (name == "Keras 3") for (name, _), equal in same.items())

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
