#!/usr/bin/env bash
set -euo pipefail

# Expected: a Keras model that ends with `keras.ops.argmax`, the class instead of its scores, becomes a TFLite file, which
#   has ARG_MAX.
# Happens: on the TensorFlow backend Keras 3 looks for the sign bits of zeros first, by BitwiseAnd, which TFLite does not
#   have: TFLiteConverter refuses the model, naming an operation that nobody wrote. `keras.ops.argmin` likewise. The same
#   model with `tf.argmax` in a layer converts to FULLY_CONNECTED and ARG_MAX and gives the same classes.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, LiteRT 2.3.0 (x86-64).

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

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).standard_normal((40, 8)).astype("float32")
scores = keras.layers.Dense(5)


class ArgMax(keras.layers.Layer):
    def call(self, inputs):
        return tf.argmax(inputs, axis=-1, output_type="int32")


def converted(head):
    inputs = keras.Input((8,))
    model = keras.Model(inputs, head(scores(inputs)))
    expected = keras.ops.convert_to_numpy(model(x))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    except Exception as error:
        return expected, None, "BitwiseAnd" in str(error)
    interpreter = Interpreter(model_content=content)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return expected, interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), False


of_ops, file_of_ops, names_bits = converted(lambda y: keras.ops.argmax(y, axis=-1))
of_layer, file_of_layer, _ = converted(ArgMax())
print(f"keras.ops.argmax: {'refused' if file_of_ops is None else 'converted'}, BitwiseAnd named: {names_bits}")
print(f"tf.argmax in a layer: {'refused' if file_of_layer is None else 'converted'}")
as_described = (
    file_of_ops is None and names_bits and np.array_equal(of_ops, of_layer) and np.array_equal(file_of_layer, of_ops)
)

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
