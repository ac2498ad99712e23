#!/usr/bin/env bash
set -euo pipefail

# Expected: a classifier on the outputs of a backbone, keras.Model(backbone.input, head(backbone.output)), is saved
#   and loaded like any functional model; that is how Keras's own guides build on keras.applications.
# Happens: the backbone itself can be saved and loaded, by a config of its own; the classifier holds its layers one by
#   one, and the configs of some do not come back. Llama's cannot be saved: AttributeError. GPT-NeoX's and DeBERTa's
#   are saved without a word, and cannot be loaded. With the backbone called on new inputs, as one layer of the
#   classifier, all three are saved and loaded.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, keras-hub 0.32.0.

packages=(tensorflow==2.21.0 keras==3.15.1 keras-hub==0.32.0)
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
import keras_hub
import numpy as np

small = {"vocabulary_size": 50, "num_layers": 1, "hidden_dim": 32, "intermediate_dim": 32}
backbones = {
    "Llama": lambda: keras_hub.models.LlamaBackbone(num_query_heads=2, num_key_value_heads=1, **small),
    "GPT-NeoX": lambda: keras_hub.models.GPTNeoXBackbone(num_heads=2, max_sequence_length=8, **small),
    "DeBERTa": lambda: keras_hub.models.DebertaV3Backbone(num_heads=2, max_sequence_length=8, **small),
}
x = {"token_ids": np.ones((1, 8), "int32"), "padding_mask": np.ones((1, 8), "int32")}


def alone(backbone):
    return backbone


def on_outputs(backbone):
    return keras.Model(backbone.input, keras.layers.Dense(2)(backbone.output))


def around(backbone):
    inputs = {key: keras.Input((8,), dtype=tensor.dtype, name=key) for key, tensor in backbone.input.items()}
    return keras.Model(inputs, keras.layers.Dense(2)(backbone(inputs)))


def outcome(model):
    path = os.path.join(tempfile.mkdtemp(), "model.keras")
    try:
        model.save(path)
    except Exception as error:
        return f"not saved, {type(error).__name__}"
    try:
        loaded = keras.models.load_model(path)
    except Exception as error:
        return "not loaded"
    return "same" if np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0)) else "other outputs"


outcomes = {name: [outcome(kind(make())) for kind in (alone, on_outputs, around)] for name, make in backbones.items()}
for name, (backbone, outputs, within) in outcomes.items():
    print(f"{name}: the backbone {backbone}; a head on its outputs {outputs}; a head around it {within}")
as_described = outcomes == {
    "Llama": ["same", "not saved, AttributeError", "same"],
    "GPT-NeoX": ["same", "not loaded", "same"],
    "DeBERTa": ["same", "not loaded", "same"],
}

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
