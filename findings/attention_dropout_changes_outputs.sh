#!/usr/bin/env bash
set -euo pipefail

# Expected: dropout does nothing in inference, so MultiHeadAttention(dropout=0.1) gives what MultiHeadAttention() of the
#   same weights gives, masks or not.
# Happens: with dropout Keras computes attention by its Softmax layer, which gives zeros where a mask leaves nothing to
#   attend to; without, by dot_product_attention, which gives the mean of all values there, masked ones too. So outputs
#   of queries that are padding differ, and go on through whatever does not mask.
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

x = np.random.default_rng(0).normal(size=(1, 4, 6)).astype("float32")
mask = np.ones((1, 4, 4), bool)
mask[:, -1] = False  # the last query is padding
plain = keras.layers.MultiHeadAttention(2, 3)
dropping = keras.layers.MultiHeadAttention(2, 3, dropout=0.1)
for layer in (plain, dropping):
    layer.build(x.shape, x.shape)
dropping.set_weights(plain.get_weights())
outputs = [np.asarray(layer(x, x, attention_mask=mask, training=False))[0] for layer in (plain, dropping)]
differences = np.abs(outputs[0] - outputs[1]).max(axis=-1)
zero = not outputs[1][-1].any()
print(f"largest difference for queries with something to attend to {differences[:-1].max():.0e}, without "
      f"{differences[-1]:.2f}; with dropout the latter is {'zero' if zero else 'not zero'}")
as_described = differences[:-1].max() < 1e-5 and differences[-1] > 0.01 and zero

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
