#!/usr/bin/env bash
set -euo pipefail

# Expected: a distribution of TensorFlow Probability follows the variables that it was made with:
#   tfd.Normal(variable, 1.0) has the variable's value as its mean, and gradients reach the variable. With a
#   tf.Variable both hold.
# Happens: a keras.Variable is copied when the distribution is made. Later assignments do not reach the
#   distribution, and a gradient taken later is None: a layer that makes its prior or posterior in __init__ or
#   build trains nothing there. With variable.value, or a distribution made within call, it works.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, TensorFlow Probability 0.25.0 (tf_keras 2.21.0 for its import).

packages=(tensorflow==2.21.0 keras==3.15.1 tf_keras==2.21.0 tensorflow-probability==0.25.0)
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
import tensorflow as tf
import tensorflow_probability as tfp


def follow(variable, parameter):
    """The mean after an assignment, and the gradient of a log-probability, of a distribution made before."""
    distribution = tfp.distributions.Normal(parameter, 1.0)
    variable.assign(3.0)
    with tf.GradientTape() as tape:
        log_prob = distribution.log_prob(0.0)
    gradient = tape.gradient(log_prob, variable.value if isinstance(variable, keras.Variable) else variable)
    return float(distribution.mean()), None if gradient is None else float(gradient)


tensorflow_variable, keras_variable, by_value = tf.Variable(1.0), keras.Variable(1.0), keras.Variable(1.0)
results = {
    "tf.Variable": follow(tensorflow_variable, tensorflow_variable),
    "keras.Variable": follow(keras_variable, keras_variable),
    "keras.Variable's value": follow(by_value, by_value.value),
}
for name, (mean, gradient) in results.items():
    print(f"{name}: set from 1 to 3, mean {mean:g}, gradient {gradient}")
as_described = list(results.values()) == [(3.0, -3.0), (1.0, None), (3.0, -3.0)]

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
