"""What is left of networks that phones run once half of their weights are pruned by whole units, and how fast it is.

Untrained weights: which units go is chance, how many of them can be taken out is not. Biases and the numbers of batch
normalization are random, as after a training, so that a unit without weights is a constant other than zero. Each
network is pruned by units, compacted and becomes a float32 file; beside it one whose kernels were pruned each for
itself, as if additions, products and depthwise convolutions did not tie their units. Latency is on one thread, the
files of a network taking turns: median of each file's medians.

python -m benchmarks.accuracy.units_left --output benchmarks/results/units_left/all.json
"""

import argparse
import itertools
import json
import pathlib
import statistics

import keras
import numpy as np
from keras import applications, layers

import cvhn_tf
from benchmarks.machine import describe_machine
from benchmarks.speed.turns import in_turns
from cvhn_tf import export, targets
from cvhn_tf.export.pruning.units import units_of_kernels
from cvhn_tf.export.pruning.weight_groups import STRUCTURES, Structure
from cvhn_tf.export.verification.litert import LiteRTModel

STRUCTURES["untied unit"] = Structure(units_of_kernels, spares_best=True)
PRUNINGS = tuple(itertools.product(("untied unit", "unit"), ("global", "layer")))


def main():
    args = parse()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in args.networks:
        rows += measure(args, name)
        settings = {key: value for key, value in vars(args).items() if key != "output"}
        result = {"rows": rows, "arguments": settings, "machine": describe_machine()}
        args.output.write_text(json.dumps(result, indent=1) + "\n")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=30, help="runs of a file in each turn")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/units_left/all.json"))
    return parser.parse_args()


def transformer(blocks=2, width=64, heads=8, length=32):
    """Blocks of attention and of two Dense layers, normalized before, each added to what goes by it."""
    inputs = x = keras.Input((length, width))
    for _ in range(blocks):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(heads, width // heads)(y, y)])
        y = layers.Dense(4 * width, "gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(width)(y)])
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))))


NETWORKS = {
    "mobilenet_v1_025": lambda: targets.get("mobilenet_v1_025", (96, 96, 3), 2),
    "ds_cnn": lambda: targets.get("ds_cnn", (49, 10, 1), 12),
    "resnet_8": lambda: targets.get("resnet_8", (32, 32, 3), 10),
    "mobilenet_v2": lambda: applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=10),
    "mobilenet_v3_small": lambda: applications.MobileNetV3Small((96, 96, 3), weights=None, classes=10),
    "efficientnet_b0": lambda: applications.EfficientNetB0(weights=None, input_shape=(64, 64, 3), classes=10),
    "resnet_50": lambda: applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10),
    "transformer": transformer,
}


def with_random_numbers(target, rng):
    """The network, with other biases and numbers of batch normalization than those that they begin with."""
    for layer in target._flatten_layers():
        for weight in layer.weights:
            if isinstance(layer, layers.BatchNormalization) or weight.name == "bias":
                positive = weight.name in ("gamma", "moving_variance")
                weight.assign(rng.uniform(0.5, 1.5, weight.shape) if positive else rng.normal(0, 0.1, weight.shape))
    return target


def measure(args, name):
    """A row for the dense network and one for each structure and scope."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    target = with_random_numbers(NETWORKS[name](), np.random.default_rng(0))
    model = cvhn_tf.VariationalHypernetwork(target, pretrained=True, seed=0)
    dense = model.at(1.0)
    rows, running = [], []
    for structure, scope in ((None, None), *PRUNINGS):
        network = dense
        if structure is not None:
            pruned = export.prune(model, 1.0, args.sparsity, scope=scope, structure=structure)
            network = export.compact(pruned)
        artifact = export.to_tflite(network, sparse=False)
        running.append(LiteRTModel(artifact))
        rows.append(
            {
                "network": name,
                "structure": structure,
                "scope": scope,
                "parameters": network.count_params(),
                "share_left": network.count_params() / dense.count_params(),
                "size_bytes": artifact.size_bytes,
            }
        )
    x = np.random.default_rng(0).normal(size=(1, *target.input_shape[1:])).astype("float32")
    measures = {i: lambda model=model: model.latency_ms([x], args.repeats) for i, model in enumerate(running)}
    for row, times in zip(rows, in_turns(measures, args.turns).values(), strict=True):
        row["latency_ms"] = statistics.median(times)
        print(row, flush=True)
    return rows


if __name__ == "__main__":
    main()
