"""Whole units pruned and taken out: how fast what is left runs beside the dense network. LeNet-5 and Caffe's on MNIST.

One hypernetwork is trained for each target. Each network is pruned by units at a complexity, compacted and fine-tuned,
and becomes a float32 file, and another one after `polyphase` where that changes it. Accuracy is LiteRT's on the test
images. Latency is on one thread, the files and the dense one taking turns: median of each file's medians, and median of
its ratios to the dense file in the same turn.

python -m benchmarks.accuracy.unit_pruning --targets lenet_5 --output benchmarks/results/unit_pruning/lenet_5
"""

import argparse
import csv
import itertools
import json
import pathlib

import keras
import numpy as np

import cvhn_tf
from benchmarks.accuracy.augmentation import with_shifts
from benchmarks.machine import describe_machine
from cvhn_tf import datasets, export, targets
from cvhn_tf.export.verification.litert import LiteRTModel

TARGETS = ("lenet_5", "lenet_5_caffe")
PRIORS = ("automatic_relevance", "group_relevance")
ACCURACIES = (0.99, 0.985, 0.98, 0.97)


def main():
    args = parse()
    args.output.mkdir(parents=True, exist_ok=True)
    data = datasets.load("mnist")
    rows = []
    for target in args.targets:
        rows_of_target, artifacts = [], []
        for prior, complexity in itertools.product(args.priors, args.complexities):
            model = train(args, data, target, prior)
            for scope, sparsity in [("global", 0.0), *itertools.product(("global", "layer"), args.sparsities)]:
                for row, artifact in networks(args, data, model, complexity, sparsity, scope):
                    settings = {"target": target, "prior": prior, "complexity": complexity, "scope": scope}
                    rows_of_target.append({**settings, "sparsity": sparsity, **row})
                    artifacts.append(artifact)
                    print(rows_of_target[-1], flush=True)
        measure_latencies(rows_of_target, artifacts, dense_row(rows_of_target), data.x_test, args.turns)
        rows += rows_of_target
        report(args, rows)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--priors", nargs="+", choices=PRIORS, default=["group_relevance"])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--complexities", type=float, nargs="+", default=[0.1, 1.0])
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.4, 0.6, 0.8])
    parser.add_argument("--finetune-epochs", type=int, default=3, help="0: without fine-tuning")
    parser.add_argument("--shift", type=int, default=0, help="pixels by which training moves its images at random")
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/unit_pruning"))
    return parser.parse_args()


def train(args, data, target, prior):
    """The hypernetwork; one that an earlier run with the same settings has left in the output's folder if there is."""
    path = args.output / f"{target}-{prior}-{args.epochs}x{args.batch_size}-{args.shift}-{args.seed}.keras"
    if path.exists():
        return cvhn_tf.load_model(path, compile=False)
    keras.utils.set_random_seed(args.seed)
    network = with_shifts(targets.get(target, data.input_shape, data.num_classes), args.shift)
    model = cvhn_tf.VariationalHypernetwork(network, prior=prior, seed=args.seed)
    steps = args.epochs * -(-len(data.x_train) // args.batch_size)
    model.compile(cvhn_tf.default_optimizer(steps), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(data.x_train, data.y_train, batch_size=args.batch_size, epochs=args.epochs, verbose=2)
    model.save(path)
    return model


def networks(args, data, model, complexity, sparsity, scope):
    """What is left of a network, as it is and after fine-tuning: pairs of figures and file."""
    network = export.compact(export.prune(model, complexity, sparsity, scope=scope, structure="unit"))
    for epochs in dict.fromkeys((0, args.finetune_epochs)):
        if epochs:
            network = export.finetune(network, (data.x_train, data.y_train), epochs=epochs)
        for form in dict.fromkeys((network, export.polyphase(network))):
            artifact = export.to_tflite(form, client="cpu")
            yield (
                {
                    "finetune_epochs": epochs,
                    "units": " ".join(str(units) for units in units_of(network)),
                    "polyphase": form is not network,
                    "parameters": network.count_params(),
                    "size_bytes": artifact.size_bytes,
                    "accuracy": export.evaluate_tflite(artifact, data.x_test, data.y_test).accuracy,
                },
                artifact,
            )


def units_of(network):
    """Filters and units of the layers, from the first to the last."""
    return [layer.kernel.shape[-1] for layer in network.layers if hasattr(layer, "kernel")]


def dense_row(rows):
    """Index of the most accurate network that was not pruned."""
    return max((i for i, row in enumerate(rows) if row["sparsity"] == 0), key=lambda i: rows[i]["accuracy"])


def measure_latencies(rows, artifacts, dense, x, turns):
    """Adds the latency in ms to each row, and how many times as fast as the dense file it is."""
    running = [LiteRTModel(artifact) for artifact in artifacts]
    times = np.array([[model.latency_ms([x[:1]], repeats=300) for model in running] for _ in range(turns)])
    for i, row in enumerate(rows):
        row["latency_ms"] = float(np.median(times[:, i]))
        row["speedup"] = float(np.median(times[:, dense] / times[:, i]))


def report(args, rows):
    with open(args.output / "table.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    summary = {}
    for target in dict.fromkeys(row["target"] for row in rows):
        same = [row for row in rows if row["target"] == target]
        summary[target] = {"dense": same[dense_row(same)]}
        for accuracy in ACCURACIES:
            good = [row for row in same if row["accuracy"] >= accuracy]
            summary[target][f"fastest_of_at_least_{accuracy:.1%}"] = max(
                good, key=lambda row: row["speedup"], default=None
            )
    summary["arguments"] = {key: value for key, value in vars(args).items() if key != "output"}
    summary["machine"] = describe_machine()
    (args.output / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
