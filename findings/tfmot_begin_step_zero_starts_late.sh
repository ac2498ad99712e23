#!/usr/bin/env bash
set -euo pipefail

# Expected: prune_low_magnitude with ConstantSparsity(0.9, begin_step=0) prunes from the first step on.
# Happens: step 0 is never seen: the counter is raised before the schedule is asked. The schedule then waits
#   for the next multiple of frequency, by default 100. A training of 50 or 99 steps ends with 0% zeros,
#   without a word; begin_step=1 prunes at the first step. frequency=1 does too.
# Seen with: tensorflow-model-optimization 0.8.1, legacy Keras (tf_keras) 2.21.0, TensorFlow 2.21.0.

packages=(tensorflow==2.21.0 tf_keras==2.21.0 tensorflow-model-optimization==0.8.1)
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

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras

pruning = tfmot.sparsity.keras


def zeros(steps, **schedule):
    model = tf_keras.Sequential([tf_keras.Input((20,)), tf_keras.layers.Dense(50)])
    pruned = pruning.prune_low_magnitude(model, pruning_schedule=pruning.ConstantSparsity(0.9, **schedule))
    pruned.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8 * steps, 20)).astype("float32")
    pruned.fit(x, np.tile(x, 3)[:, :50], batch_size=8, verbose=0, callbacks=[pruning.UpdatePruningStep()])
    return float(np.mean(pruning.strip_pruning(pruned).get_weights()[0] == 0))


cases = [(50, {"begin_step": 0}), (99, {"begin_step": 0}), (100, {"begin_step": 0})]
cases += [(50, {"begin_step": 1}), (50, {"begin_step": 0, "frequency": 1})]
shares = []
for steps, schedule in cases:
    shares.append(zeros(steps, **schedule))
    print(f"{steps} steps, {schedule}: {shares[-1]:.0%} zeros")
as_described = shares[:2] == [0, 0] and all(share > 0.85 for share in shares[2:])

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
