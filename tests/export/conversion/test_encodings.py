"""Every encoding on every layout of zeros, in LiteRT: what docs/encodings.md says is what happens.

PYTHONPATH=tests python tests/export/conversion/test_encodings.py  # writes docs/encodings.md anew
"""

import keras
import numpy as np
from keras import layers
from places import ROOT

from cvhn_tf import export
from cvhn_tf.export.conversion.convert import to_tflite_from
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.tflite.flatbuffer import weight_types

TABLE = ROOT / "docs" / "encodings.md"
LAYOUTS = ("no zeros", "random zeros", "1×4 blocks", "compacted")
# What the types of the weights must include for the file to be what it is called.
TYPES = {
    None: "FLOAT32",
    "float16": "FLOAT16",
    "dynamic_range": "INT8",
    "int8": "INT8",
    "weight_only_int8": "INT8",
    "weight_only_int4": "INT4",
    "dynamic_int4": "INT4",
}
LAID_OUT = [(quantization, sparse) for quantization in TYPES for sparse in (False, True)]
REASONS = {
    "cannot run": "LiteRT refuses",
    "differ from": "wrong values",
    "found no weights": "no zeros to encode",
    "left all weights": "not quantized",
    "quantizer failed": "quantizer fails",
}


def dense():
    return keras.Sequential([keras.Input((64,)), layers.Dense(48, "relu"), layers.Dense(32, "relu"), layers.Dense(10)])


def odd_dense():
    """Numbers of inputs that are no multiples of four."""
    return keras.Sequential([keras.Input((65,)), layers.Dense(49, "relu"), layers.Dense(34, "relu"), layers.Dense(10)])


def conv():
    return keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


TARGETS = {"Dense": dense, "Dense, inputs not a multiple of 4": odd_dense, "Conv2D": conv}


def make_network(make_target, layout):
    """The target with random weights, nine tenths of them zero unless the layout says otherwise."""
    keras.utils.set_random_seed(0)
    network = make_target()  # without softmax, which would hide errors
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if not layer.weights:
            continue
        kernel, bias = layer.get_weights()
        if layout == "1×4 blocks" and kernel.ndim == 2:
            blocks = rng.random((-(-kernel.shape[0] // 4), kernel.shape[1])) < 0.1
            kept = np.repeat(blocks, 4, axis=0)[: kernel.shape[0]]
        else:
            kept = rng.random(kernel.shape) < (1.0 if layout == "no zeros" else 0.1)
        if layout == "compacted" and layer is not network.layers[-1]:
            kept[..., ::2] = False
        layer.set_weights([kernel * kept * (1 if layout == "no zeros" else 3), rng.normal(size=bias.shape) * 0.1])
    return export.compact(network) if layout == "compacted" else network


class Converted:
    """A network whose files share what `compare` and `best` let them share: its graph, and what Keras gives for `x`."""

    def __init__(self, network, x):
        self.network, self.x, self.graphs = network, x, FrozenGraphs()

    def to_tflite(self, quantization, sparse="auto"):
        return to_tflite_from(self.graphs, self.network, quantization, sparse, self.x, "cpu")


def converted(network) -> Converted:
    return Converted(network, np.random.default_rng(1).normal(size=(64, *network.input_shape[1:])).astype("float32"))


def find_outcome(converted, quantization, sparse) -> str:
    network, x = converted.network, converted.x
    try:
        artifact = converted.to_tflite(quantization, sparse)
    except export.ConversionError as error:
        (reason,) = [reason for text, reason in REASONS.items() if text in str(error)]
        return reason
    # Not in the words of the check that was just passed: this one knows the Keras network alone.
    measured = export.evaluate_tflite(artifact, x, network(x).numpy().argmax(1))
    assert measured.accuracy >= (0.6 if "int4" in (quantization or "") else 0.9)
    return "✓" if TYPES[quantization] in weight_types(artifact.content) else "stays float32"


def make_table() -> str:
    lines = [
        "# Which encodings run",
        "",
        "`tests/export/conversion/test_encodings.py` makes each file, runs it in LiteRT and compares it with Keras; it",
        "fails where this table is wrong. `PYTHONPATH=tests python tests/export/conversion/test_encodings.py` writes",
        "it anew.",
        "",
        'All are made for `client="cpu"`; what other clients take of them is on the page [clients](clients.md). For it',
        "`export.to_tflite` hands over the files marked ✓ or `stays float32`; for all others it raises a",
        "`ConversionError`.",
        "",
        "| entry | meaning |",
        "| --- | --- |",
        "| ✓ | runs, and its outputs are those of the Keras model |",
        "| stays float32 | runs, but the converter quantizes no weights of fewer than 1,024 numbers |",
        "| LiteRT refuses | the file cannot be loaded |",
        "| wrong values | LiteRT runs the file, and computes something else |",
        "| no zeros to encode | the converter finds no weights to store in a sparse encoding |",
        "| not quantized | ai-edge-quantizer leaves sparse weights as they are, without a word |",
        "| quantizer fails | ai-edge-quantizer raises an error |",
    ]
    for name, make_target in TARGETS.items():
        networks = [converted(make_network(make_target, layout)) for layout in LAYOUTS]
        lines += ["", f"## {name}", "", f"| encoding | {' | '.join(LAYOUTS)} |", "| --- |" + " --- |" * len(LAYOUTS)]
        # Integers do not care for the number of inputs.
        for quantization, sparse in LAID_OUT[:4] if make_target is odd_dense else LAID_OUT:
            outcomes = [find_outcome(network, quantization, sparse) for network in networks]
            encoding = (quantization or "float32") + (", sparse" if sparse else "")
            lines.append(f"| {encoding} | {' | '.join(outcomes)} |")
    return "\n".join([*lines, *passed_over()]) + "\n"


def passed_over() -> list[str]:
    """A table of the kinds of layers whose kernels each encoding leaves in float32."""
    encodings = ("dynamic_range", "int8", "weight_only_int8", "weight_only_int4", "dynamic_int4")
    lines = [
        "",
        "## What each encoding passes over",
        "",
        "Whether kernels of more than 1,024 numbers become integers (✓) or stay in float32 (–), in a network with a",
        "Dense layer, whose kernel does. `TFLiteArtifact.unquantized` says it of each file. Biases, and vectors of",
        "normalization, stay in float32 in all but `int8`. In `dynamic_range`, kernels of Conv2DTranspose stay so in",
        'files for `client="any"`, the default, and `"tflite"` too, since TFLite 2.14 refuses them as integers.',
        "",
        f"| layer | {' | '.join(encodings)} |",
        "| --- |" + " --- |" * len(encodings),
    ]
    for make, shape in KERNELS:
        keras.utils.set_random_seed(0)
        layer = make()
        network = with_examples(before_dense(layer, shape))
        entries = [passes_over(network, encoding) for encoding in encodings]
        lines.append(f"| {type(layer).__name__} | {' | '.join(entries)} |")
    return lines


# Layers with kernels of more than 1,024 numbers, and the shapes of their inputs.
KERNELS = (
    (lambda: layers.Conv1D(32, 3), (4, 20)),
    (lambda: layers.Conv2D(16, 3), (4, 4, 20)),
    (lambda: layers.Conv3D(16, 3), (4, 4, 4, 20)),
    (lambda: layers.Conv2DTranspose(16, 3), (4, 4, 20)),
    (lambda: layers.Conv3DTranspose(16, 3), (2, 2, 2, 20)),
    (lambda: layers.DepthwiseConv2D(3, depth_multiplier=8), (4, 4, 20)),
    (lambda: layers.EinsumDense("abc,cd->abd", (4, 80)), (4, 20)),
    (lambda: layers.Embedding(200, 16), (4,)),
    (lambda: layers.GRU(32, unroll=True), (4, 20)),
    (lambda: layers.LSTM(32, unroll=True), (4, 20)),
    (lambda: layers.MultiHeadAttention(4, 16), (4, 20)),
    (lambda: layers.PReLU(), (8, 8, 20)),
)


def before_dense(layer, shape):
    source = keras.Input(shape, dtype="int32" if isinstance(layer, layers.Embedding) else "float32")
    made = layer(source, source) if isinstance(layer, layers.MultiHeadAttention) else layer(source)
    return keras.Model(source, layers.Dense(64)(layers.Flatten()(made)))


def with_examples(network) -> Converted:
    (source,) = network.inputs
    rng = np.random.default_rng(1)
    shape = (64, *source.shape[1:])
    x = rng.integers(0, 200, shape) if source.dtype == "int32" else rng.normal(size=shape)
    return Converted(network, x.astype(source.dtype))


def passes_over(converted, quantization) -> str:
    artifact = converted.to_tflite(quantization)
    return "–" if any(tensor.size_bytes > 4 * 1024 for tensor in artifact.unquantized) else "✓"


def test_table_has_all_encodings():
    assert list(TYPES) == list(ENCODINGS)


def test_table_of_encodings_says_what_happens():
    assert TABLE.read_text() == make_table(), "running this file as a program writes the table anew"


if __name__ == "__main__":
    TABLE.write_text(make_table())
