"""How long LiteRT takes for Dense layers with zeros, by who reads their sparse weights; LeNet-300-100 before and after.

Each row is run in turns in one process, on one thread, for one example: the dense file, the one whose sparse weights
are as the converter stores them (expanded where they are single ones), and that of `client="cpu"`. Kernels are
measured with all layers reading their weights by themselves too: of this comes `sparse_cost` of `export/clients/`, so
many weights of a dense kernel take the time of one that is kept.

python -m benchmarks.speed.sparse_dense
python -m benchmarks.speed.sparse_dense --quick
"""

import argparse
import csv
import dataclasses
import json
import pathlib
import statistics

import keras
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.speed.turns import gain, in_turns
from cvhn_tf import export, targets
from cvhn_tf.export.clients.table import CLIENTS
from cvhn_tf.export.verification.litert import LiteRTModel

CPU = CLIENTS["cpu"]
BEFORE, BY_ITSELF = (dataclasses.replace(CPU, sparse_cost=cost) for cost in (None, 0.0))
# Inputs, units and rows for one example of a single Dense layer.
KERNELS = (
    (64, 64, 1),
    (300, 100, 1),
    (256, 256, 1),
    (784, 300, 1),
    (256, 1024, 1),
    (1024, 1024, 1),
    (256, 256, 8),
    (784, 300, 32),
)
SPARSITIES = (0.8, 0.9, 0.93, 0.95, 0.96, 0.98, 0.99)
OF_LENET = (0.9, 0.95, 0.98, 0.99)


def one_layer(inputs, units, rows, sparsity, block=1, seed=0) -> keras.Model:
    """A Dense layer with zeros at random.

    Args:
        inputs: Numbers that a unit reads.
        units: Of the layer.
        rows: How often it is computed for one example; more than 1 stands for a sequence.
        sparsity: Share of zeros.
        block: Number of inputs that live or die together.
        seed: Of weights and zeros.
    """
    shape = (inputs,) if rows == 1 else (rows, inputs)
    model = keras.Sequential([keras.Input(shape), keras.layers.Dense(units, activation="relu")])
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(inputs // block, block, units)) * (rng.random((inputs // block, 1, units)) >= sparsity)
    model.set_weights([kernel.reshape(inputs, units), rng.normal(size=units)])
    return model


def lenet_300_100(sparsity, seed=0) -> keras.Model:
    """The target with random weights, the smallest of each kernel at zero."""
    keras.utils.set_random_seed(seed)
    model = targets.lenet_300_100((28, 28, 1), 10)
    model.set_weights(
        [w * (np.abs(w) >= np.quantile(np.abs(w), sparsity)) if w.ndim > 1 else w for w in model.get_weights()]
    )
    return model


def files_of(model, **clients):
    """Artifacts by name: dense, and sparse for each client."""
    files = {"dense": export.to_tflite(model, sparse=False, client=CPU)}
    return files | {name: export.to_tflite(model, sparse=True, client=client) for name, client in clients.items()}


def row_of(name, sparsity, model, turns, repeats, **clients):
    """A dict of figures for one network."""
    files = files_of(model, **clients)
    inputs = [np.random.default_rng(1).normal(size=(1, *model.input_shape[1:])).astype("float32")]
    models = {kind: LiteRTModel(artifact) for kind, artifact in files.items()}
    outputs = {kind: model.run(inputs)[0] for kind, model in models.items()}
    measures = {kind: lambda model=model: 1e3 * model.latency_ms(inputs, repeats) for kind, model in models.items()}
    times = in_turns(measures, turns)  # in µs
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    row = {"network": name, "sparsity": sparsity}
    row |= {f"{kind}_us": medians.get(kind) for kind in ("dense", "before", "by_itself", "now")}
    row |= gain(times["dense"], times["now"])
    row |= {f"{kind}_bytes": files[kind].size_bytes for kind in ("dense", "before", "now")}
    largest = np.abs(outputs["dense"]).max()
    row["difference"] = float(max(np.abs(made - outputs["dense"]).max() for made in outputs.values()) / largest)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="LeNet-300-100 alone, three turns")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/sparse_dense"))
    args = parser.parse_args()
    turns = 3 if args.quick else args.turns
    rows = []

    def measure(name, sparsity, model, **clients):
        rows.append(row_of(name, sparsity, model, turns, args.repeats, before=BEFORE, now=CPU, **clients))
        row = rows[-1]
        by_itself = "" if row["by_itself_us"] is None else f"read by the layer {row['by_itself_us']:.2f}, "
        print(
            f"{name}, {sparsity:.0%} zeros: dense {row['dense_us']:.2f} µs, as converted {row['before_us']:.2f}, "
            f"{by_itself}now {row['now_us']:.2f}: {row['times_as_fast']:.2f} times as fast "
            f"({row['least']:.2f} to {row['most']:.2f} by turn), {row['before_bytes']:,} and {row['now_bytes']:,} "
            f"bytes, outputs differ by {row['difference']:.1e}",
            flush=True,
        )

    for sparsity in OF_LENET:
        measure("LeNet-300-100", sparsity, lenet_300_100(sparsity))
    for inputs, units, count in () if args.quick else KERNELS:
        of_rows = "" if count == 1 else f", {count} rows"
        for block in (1, 4):
            for sparsity in SPARSITIES[: len(SPARSITIES) if block == 1 else 2]:
                model = one_layer(inputs, units, count, sparsity, block)
                form = "" if block == 1 else " in blocks"
                measure(f"{inputs}×{units}{of_rows}{form}", sparsity, model, by_itself=BY_ITSELF)
    args.output.mkdir(parents=True, exist_ok=True)
    with (args.output / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    summary = {"sparse_cost": CPU.sparse_cost, "turns": turns, "repeats": args.repeats, "machine": describe_machine()}
    (args.output / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
