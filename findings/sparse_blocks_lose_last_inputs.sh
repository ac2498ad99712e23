#!/usr/bin/env bash
set -euo pipefail

# Expected: Optimize.EXPERIMENTAL_SPARSITY changes how weights are stored, and not what they are.
# Happens: where a kernel comes to be stored in 1x4 blocks and its number of inputs is no multiple of four,
#   the one, two or three inputs beyond the last whole block have no weights in the file. There is no error,
#   and the outputs are those of a network with these weights at zero. With inputs padded to a multiple of
#   four the file is right.
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


def outputs(inputs):
    """The first unit's answer to each of the last four inputs alone, whose weights are all one: Keras's, LiteRT's."""
    kernel = np.zeros((inputs, 256), "float32")
    kernel[:8] = kernel[-4:] = 1
    model = keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(256)])
    model.layers[0].kernel.assign(kernel)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    with contextlib.redirect_stdout(io.StringIO()):
        interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    found = []
    for x in np.eye(inputs, dtype="float32")[-4:, None]:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, 0])
    return model.predict(np.eye(inputs, dtype="float32")[-4:], verbose=0)[:, 0], np.array(found)


as_described = True
for inputs in (256, 257, 258, 259):
    keras_output, file_output = outputs(inputs)
    lost = inputs % 4
    print(f"{inputs} inputs, the last four: Keras {keras_output}, file {file_output}")
    as_described = as_described and keras_output.tolist() == [1] * 4
    as_described = as_described and file_output.tolist() == [1] * (4 - lost) + [0] * lost

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
