#!/usr/bin/env bash
set -euo pipefail

# Expected: a layer with LoRA of rank 4 and lora_alpha=16 scales its low-rank product by 16 / 4, and so do its
#   copies, since the config holds both numbers.
# Happens: EinsumDense and convolutions do. Dense and Embedding set lora_alpha to the rank when they are built
#   from a config or by their own arguments, so the scale is 1: in Dense(8, lora_rank=4, lora_alpha=16), in
#   copies by clone_model, and in models that load_model gives. A copy with the same weights gives other outputs.
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
from keras import layers

LORA = {"lora_rank": 4, "lora_alpha": 16}
CASES = {
    "Dense": (layers.Dense(8, **LORA), (6,), "float32"),
    "Embedding": (layers.Embedding(10, 8, **LORA), (3,), "int32"),
    "EinsumDense": (layers.EinsumDense("ab,bc->ac", (8,), **LORA), (6,), "float32"),
    "Conv2D": (layers.Conv2D(8, 3, **LORA), (5, 5, 2), "float32"),
}
alphas, differ = {}, {}
for name, (layer, shape, dtype) in CASES.items():
    model = keras.Sequential([keras.Input(shape, dtype=dtype), layer])
    by_arguments = layer.lora_alpha
    layer.lora_alpha = 16  # as enable_lora(4, lora_alpha=16) sets it
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.weights])
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    path = os.path.join(tempfile.mkdtemp(), "model.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    x = rng.integers(0, 10, (2, *shape)).astype(dtype)
    difference = float(np.max(np.abs(model(x) - copy(x))))
    alphas[name] = [by_arguments, copy.layers[0].lora_alpha, loaded.layers[0].lora_alpha]
    differ[name] = difference > 1e-3
    print(f"{name}: in the config {layer.get_config()['lora_alpha']}; by arguments, clone_model, load_model: {alphas[name]}")
    print(f"  outputs of the copy differ by up to {difference:.2g}")
as_described = (
    all(alphas[name] == [4, 4, 4] and differ[name] for name in ("Dense", "Embedding"))
    and all(alphas[name] == [16, 16, 16] and not differ[name] for name in ("EinsumDense", "Conv2D"))
)

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
