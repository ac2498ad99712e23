#!/usr/bin/env bash
set -euo pipefail

# Expected: a Keras layer keeps its name in clone_model, from_config and load_model, so its weights keep their
#   paths, and a dict from path to value carries weights from a model to its copy.
# Happens: only the outer layer's name is in the config. Sublayers that a layer makes without names, as most
#   own blocks do, are numbered anew in each copy, and so are their weights' paths. Weights matched by path
#   miss all of them; set_weights, which goes by position, is right. Sublayers with names keep their paths.
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


@keras.saving.register_keras_serializable()
class Block(keras.layers.Layer):
    def __init__(self, named=False, **kwargs):
        super().__init__(**kwargs)
        self.named = named
        self.dense = keras.layers.Dense(4, name="dense" if named else None)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {**super().get_config(), "named": self.named}


def paths(model):
    return [weight.path.split("/", 1)[1] for weight in model.weights]  # without the model's own name


shared = {}
for named in (False, True):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Block(named, name="block")(inputs), name="model")
    path = os.path.join(tempfile.mkdtemp(), "model.keras")
    model.save(path)
    for way, copy in (("clone_model", keras.models.clone_model(model)), ("load_model", keras.models.load_model(path))):
        kernels = [weights[0].path.removeprefix("model/") for weights in (model.weights, copy.weights)]
        print(f"{'named' if named else 'without a name'}, {way}: {kernels[0]} -> {kernels[1]}")
        shared[named, way] = kernels[0] == kernels[1]
as_described = all(same == named for (named, _), same in shared.items())

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
