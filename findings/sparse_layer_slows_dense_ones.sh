#!/usr/bin/env bash
set -euo pipefail

# Expected: where one Dense layer of a network is sparse, LiteRT computes the others as it does in a dense file.
# Happens: TensorFlow's converter gives all Dense layers of a file the version of the operation that sparse weights need,
#   8, once one of them reads sparse weights itself. XNNPACK, LiteRT's default for a CPU, passes over this version, so
#   that the layers with dense weights run without it too. With up to 96% zeros the converter expands sparse weights at
#   the start, versions stay 1, and XNNPACK takes all layers. Nothing is said, and the outputs are right.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1, LiteRT 2.3.0, on x86-64.

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
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

random = np.random.default_rng(0)
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((256,)), *[keras.layers.Dense(256) for _ in range(3)]])
kernel, bias = model.layers[1].get_weights()
order = random.random(kernel.shape)

as_described = True
for zeros, is_passed_over in ((0.0, False), (0.9, False), (0.98, True)):
    model.layers[1].set_weights([np.where(order >= zeros, kernel, 0), bias])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if zeros else []
    with contextlib.redirect_stdout(io.StringIO()):
        content = converter.convert()
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    delegates = sum(operation["op_name"] == "DELEGATE" for operation in interpreter._get_ops_details())
    versions = {
        code.version
        for code in schema.ModelT.InitFromPackedBuf(content, 0).operatorCodes
        if code.builtinCode == schema.BuiltinOperator.FULLY_CONNECTED
    }
    print(f"{zeros:.0%} zeros in one of three layers: versions {versions}, {delegates} parts of the file by XNNPACK")
    as_described &= (delegates == 0) == is_passed_over and versions == ({8} if is_passed_over else {1})

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
