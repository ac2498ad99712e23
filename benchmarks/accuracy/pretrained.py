"""What a hypernetwork of a trained network keeps of its accuracy, by how it begins: test accuracy after some epochs.

python -m benchmarks.accuracy.pretrained --output benchmarks/results/pretrained
"""

import argparse
import csv
import json
import pathlib
import time

import keras
import numpy as np

import cvhn_tf
from benchmarks.machine import describe_machine
from cvhn_tf import datasets, export, targets

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--dataset", default="digits", choices=datasets.names())
parser.add_argument("--target", default="lenet_300_100", choices=targets.names())
parser.add_argument("--target-epochs", type=int, default=30, help="epochs of the plain training that comes before")
parser.add_argument("--epochs", type=int, nargs="+", default=[1, 5, 20], help="each a training of its own")
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--complexities", type=float, nargs="+", default=[0.1, 1.0, 10.0])
parser.add_argument("--kept", type=float, default=0.05, help="share of the weights that pruning keeps")
parser.add_argument("--starts", type=int, default=3)
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/pretrained"))
args = parser.parse_args()
args.output.mkdir(parents=True, exist_ok=True)
data = datasets.load(args.dataset)
batches = -(-len(data.x_train) // args.batch_size)

# Each: whether weights begin trained, whether the hypernetwork is told so, and its optimizer for a number of steps.
WAYS = {
    "from scratch": (False, False, cvhn_tf.default_optimizer),
    "constant rate": (True, False, lambda steps: cvhn_tf.PivotAdam()),
    "default": (True, False, cvhn_tf.default_optimizer),
    "pretrained": (True, True, lambda steps: cvhn_tf.default_optimizer(steps, pretrained=True)),
}


def make_target():
    return targets.get(args.target, data.input_shape, data.num_classes)


def accuracy_of(network):
    return float(np.mean(network.predict(data.x_test, batch_size=1000, verbose=0).argmax(axis=-1) == data.y_test))


rows = []
for start in range(args.starts):
    keras.utils.set_random_seed(start)
    trained = make_target()
    trained.compile("adam", "sparse_categorical_crossentropy")
    trained.fit(data.x_train, data.y_train, batch_size=args.batch_size, epochs=args.target_epochs, verbose=0)
    before = accuracy_of(trained)
    for epochs in args.epochs:
        for way, (begins_trained, pretrained, optimizer) in WAYS.items():
            keras.utils.set_random_seed(start)
            target = trained if begins_trained else make_target()
            model = cvhn_tf.VariationalHypernetwork(target, pretrained=pretrained, seed=start)
            model.compile(optimizer(epochs * batches), "sparse_categorical_crossentropy")
            began = time.perf_counter()
            model.fit(data.x_train, data.y_train, batch_size=args.batch_size, epochs=epochs, verbose=0)
            seconds = time.perf_counter() - began
            for complexity in args.complexities:
                rows.append(
                    {
                        "start": start,
                        "way": way,
                        "epochs": epochs,
                        "complexity": complexity,
                        "target_accuracy": before,
                        "accuracy": accuracy_of(model.at(complexity)),
                        "pruned_accuracy": accuracy_of(export.prune(model, complexity, sparsity=1 - args.kept)),
                        "seconds": round(seconds, 1),
                    }
                )
                print(rows[-1], flush=True)
            keras.backend.clear_session()

with open(args.output / "table.csv", "w", newline="") as file:
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
names = ("dataset", "target", "target_epochs", "epochs", "batch_size", "complexities", "kept", "starts")
summary = {"arguments": {name: getattr(args, name) for name in names}, "machine": describe_machine()}
(args.output / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")

print("| epochs | way |" + "".join(f" λ = {c:g} | {args.kept:.0%} kept |" for c in args.complexities))
for epochs in args.epochs:
    for way in WAYS:
        cells = ""
        for complexity in args.complexities:
            same = [row for row in rows if (row["epochs"], row["way"], row["complexity"]) == (epochs, way, complexity)]
            lost = np.mean([row["accuracy"] - row["target_accuracy"] for row in same])
            pruned = np.mean([row["pruned_accuracy"] for row in same])
            cells += f" {100 * lost:+.2f} | {100 * pruned:.1f}% |"
        print(f"| {epochs} | {way} |{cells}")
