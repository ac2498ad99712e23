#!/usr/bin/env bash
set -euo pipefail

# Expected: tf.saved_model.save(model, folder) and TFLiteConverter.from_saved_model(folder) take a Keras model
#   to a TFLite file, as they do for legacy Keras. The saved model itself is whole: tf.saved_model.load gives
#   the model's outputs.
# Happens: with a Keras 3 model the converter makes a file without the weights, and says nothing. The file
#   reads them from variables that nothing fills, so its outputs are arbitrary (it is not run here).
#   TFLiteConverter.from_concrete_functions([function], model) does the same. model.export(folder) before
#   from_saved_model, or from_keras_model, are right.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, legacy Keras (tf_keras) 2.21.0, LiteRT 2.3.0 (which lists the
#   operations).

packages=(tensorflow==2.21.0 keras==3.15.1 tf_keras==2.21.0 ai-edge-litert==2.3.0)
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
import tempfile

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from ai_edge_litert import schema_py_generated as schema


def network(library):
    layers = library.layers
    return library.Sequential([library.Input((256,)), layers.Dense(128, activation="relu"), layers.Dense(10)])


model = network(keras)
weight_bytes = sum(weight.nbytes for weight in model.get_weights())
operator_names = {number: name for name, number in vars(schema.BuiltinOperator).items()}


def operators(content):
    file = schema.ModelT.InitFromPackedBuf(bytes(content), 0)
    codes = [operator_names[code.builtinCode] for code in file.operatorCodes]
    return [codes[operator.opcodeIndex] for graph in file.subgraphs for operator in graph.operators]


folders = {name: tempfile.mkdtemp() for name in ("tf.saved_model.save", "model.export", "legacy Keras, saved")}
tf.saved_model.save(model, folders["tf.saved_model.save"])
model.export(folders["model.export"], verbose=False)
tf.saved_model.save(network(tf_keras), folders["legacy Keras, saved"])
function = tf.function(model, input_signature=[tf.TensorSpec((1, 256))]).get_concrete_function()
converters = {name: tf.lite.TFLiteConverter.from_saved_model(folder) for name, folder in folders.items()}
converters["from_concrete_functions, model"] = tf.lite.TFLiteConverter.from_concrete_functions([function], model)

x = np.ones((1, 256), "float32")
loaded = tf.saved_model.load(folders["tf.saved_model.save"]).signatures["serving_default"](tf.constant(x))
difference = np.abs(loaded["output_0"] - model.predict(x, verbose=0)).max()
print(f"loaded by TensorFlow: off by {difference:.1e}")
print(f"the weights: {weight_bytes:,} bytes")
sizes, reads = {}, {}
for name, converter in converters.items():
    with contextlib.redirect_stdout(io.StringIO()):
        content = converter.convert()
    sizes[name], reads[name] = len(content), "READ_VARIABLE" in operators(content)
    print(f"{name}: {len(content):,} bytes, {operators(content)}")
empty, whole = ("tf.saved_model.save", "from_concrete_functions, model"), ("model.export", "legacy Keras, saved")
as_described = (
    difference < 1e-5
    and all(sizes[name] < weight_bytes / 10 and reads[name] for name in empty)
    and all(sizes[name] > weight_bytes and not reads[name] for name in whole)
)

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
