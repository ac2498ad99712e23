#!/usr/bin/env bash
set -euo pipefail

# Expected: TensorFlow's converter keeps a relu, or says that it cannot.
# Happens: behind a product of two computed matrices, relu(x @ y), the relu is gone from the file and negative
#   outputs come through. The same holds for relu6. The product becomes BATCH_MATMUL, which has no place for
#   an activation. With products of more than two axes, with a bias in between or with another activation the
#   file is right. Weights that are computed in the network meet this: among them those of a large Dense layer
#   without bias that Keras has quantized to 4 bits. On data that make no unit negative no comparison of
#   outputs shows it.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, LiteRT 2.3.0.

packages=(tensorflow==2.21.0 keras==3.15.1 ai-edge-litert==2.3.0)
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
import io

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

random = np.random.default_rng(0)


def smallest_of_file(content, **inputs):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    for tensor in interpreter.get_input_details():
        interpreter.set_tensor(tensor["index"], inputs[tensor["name"].split(":")[0].removeprefix("serving_default_")])
    interpreter.invoke()
    return float(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).min())


def smallest_outputs(function, x, y):
    """The smallest output, of TensorFlow and of the file."""
    specs = [tf.TensorSpec(array.shape, name=name) for name, array in (("x", x), ("y", y))]
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    with contextlib.redirect_stdout(io.StringIO()):
        content = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    return float(tf.reduce_min(concrete(x, y))), smallest_of_file(content, x=x, y=y)


x, y, bias = (random.normal(size=shape).astype("float32") for shape in ((8, 16), (16, 4), (4,)))
cases = {
    "relu(x @ y)": (lambda x, y: tf.nn.relu(x @ y), x, y),
    "relu6(x @ y)": (lambda x, y: tf.nn.relu6(x @ y), x, y),
    "relu(x @ y), three axes": (lambda x, y: tf.nn.relu(x @ y), x[None], y[None]),
    "relu(x @ y + bias)": (lambda x, y: tf.nn.relu(x @ y + bias), x, y),
    "sigmoid(x @ y)": (lambda x, y: tf.nn.sigmoid(x @ y), x, y),
}
smallest = {}
for name, case in cases.items():
    smallest[name] = smallest_outputs(*case)

keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((256,), name="x"), keras.layers.Dense(256, activation="relu", use_bias=False)])
model.quantize("int4")
with contextlib.redirect_stdout(io.StringIO()):
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
x = random.normal(size=(1, 256)).astype("float32")
smallest["Dense(relu) in 4 bits"] = float(model.predict(x, verbose=0).min()), smallest_of_file(content, x=x)

for name, (before, after) in smallest.items():
    print(f"{name}: smallest output {before:.3f} before, {after:.3f} in the file")
lost = ("relu(x @ y)", "relu6(x @ y)", "Dense(relu) in 4 bits")
as_described = all(before >= 0 and (after < -0.1) == (name in lost) for name, (before, after) in smallest.items())

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
