#!/usr/bin/env bash
set -euo pipefail

# Expected: a file says of each operation from which version on a runtime computes it, so that an older runtime refuses
#   what it does not know. TensorFlow's converter does so: with Optimize.DEFAULT, weights become 8-bit integers with
#   a scale for each unit, the Dense layer is FULLY_CONNECTED of version 12, and TFLite 2.14 refuses the file.
# Happens: ai-edge-quantizer's dynamic_wi8_afp32 makes the same of the weights and leaves all versions, and
#   min_runtime_version, as they were for float32: 1, and 1.6.0. TFLite 2.14 loads the file, says nothing, and
#   computes something else: here off by as much as the largest output.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, LiteRT 2.3.0 (x86-64), ai-edge-quantizer 0.10.0; TFLite 2.14.0.

packages=(tensorflow==2.21.0 keras==3.15.1 ai-edge-litert==2.3.0 ai-edge-quantizer==0.10.0)
old_runtime=(tflite-runtime==2.14.0 numpy==1.26.4)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
if [ -z "${FINDINGS_VENV:-}" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "${packages[@]}"
fi
python3 -m venv "$work/old"
"$work/old/bin/pip" install --quiet "${old_runtime[@]}"

cat > "$work/run.py" <<'PYTHON'
import sys

import numpy as np

try:
    from tflite_runtime.interpreter import Interpreter
except ModuleNotFoundError:
    from ai_edge_litert.interpreter import Interpreter

folder, name = sys.argv[1:]
try:
    interpreter = Interpreter(f"{folder}/{name}.tflite")
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.load(f"{folder}/x.npy"))
    interpreter.invoke()
except (RuntimeError, ValueError) as error:
    print("refused:", str(error).splitlines()[0].split(".")[0])
else:
    expected = np.load(f"{folder}/y.npy")
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    print(float(np.abs(output - expected).max() / np.abs(expected).max()))
PYTHON

export TF_CPP_MIN_LOG_LEVEL=3 TMPDIR="$work"
"$venv/bin/python" - "$work" "${packages[@]}" <<'PYTHON' 2>"$work/stderr" || { tail -n 20 "$work/stderr" >&2; exit 1; }
import contextlib
import io
import subprocess
import sys
from importlib.metadata import version

folder, *packages = sys.argv[1:]
for package in packages:
    name, pinned = package.split("==")
    assert version(name) == pinned, f"{package} wanted, {version(name)} found"
    print(package)

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import quantizer, recipe

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((16, 16, 8), batch_size=1),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(200),
    ]
)
x = np.random.default_rng(0).normal(size=(1, 16, 16, 8)).astype("float32")
np.save(f"{folder}/x.npy", x)
np.save(f"{folder}/y.npy", model.predict(x, verbose=0))


def convert(*optimizations):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = list(optimizations)
    return bytes(converter.convert())


with contextlib.redirect_stdout(io.StringIO()):
    files = {"float32": convert(), "converter": convert(tf.lite.Optimize.DEFAULT)}
    quantized = quantizer.Quantizer(files["float32"], recipe.dynamic_wi8_afp32()).quantize()
    files["quantizer"] = bytes(quantized.quantized_model)

names = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
versions, seen = {}, {}
for name, content in files.items():
    with open(f"{folder}/{name}.tflite", "wb") as file:
        file.write(content)
    codes = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content)).operatorCodes
    versions[name] = {names[code.builtinCode]: code.version for code in codes}
    seen[name] = [
        subprocess.run([python, f"{folder}/run.py", folder, name], capture_output=True, text=True).stdout.strip()
        for python in (sys.executable, f"{folder}/old/bin/python")
    ]
    print(f"{name}: {versions[name]}; LiteRT 2.3.0 off by {seen[name][0]}; TFLite 2.14.0: {seen[name][1]}")

as_described = (
    versions["quantizer"] == versions["float32"] != versions["converter"]
    and float(seen["converter"][0]) < 0.05
    and float(seen["quantizer"][0]) < 0.05
    and seen["converter"][1].startswith("refused")
    and not seen["quantizer"][1].startswith("refused")
    and not float(seen["quantizer"][1]) < 0.5
)
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
