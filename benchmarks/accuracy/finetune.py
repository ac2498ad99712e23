"""What a short fine-tuning gives back to pruned networks of one hypernetwork: test accuracy before and after it.

Takes the hypernetwork that `benchmarks/accuracy/mnist.py` has trained.

python -m benchmarks.accuracy.finetune --output benchmarks/results/finetune
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
from cvhn_tf import datasets, export

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path("benchmarks/results/mnist/model.keras"))
parser.add_argument("--dataset", default="mnist", choices=datasets.names())
parser.add_argument("--complexities", type=float, nargs="+", default=[0.1, 1.0, 10.0])
parser.add_argument("--kept", type=float, nargs="+", default=[0.1, 0.05, 0.02, 0.015, 0.01, 0.005])
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/finetune"))
args = parser.parse_args()
args.output.mkdir(parents=True, exist_ok=True)

keras.utils.set_random_seed(args.seed)
data = datasets.load(args.dataset)
model = cvhn_tf.load_model(args.model, compile=False)


def measure(network):
    """Accuracy on the test images, and the number of kernel weights that are not zero."""
    classes = network.predict(data.x_test, batch_size=1000, verbose=0).argmax(axis=-1)
    kernels = [weight for weight in network.get_weights() if weight.ndim > 1]
    return float(np.mean(classes == data.y_test)), sum(int(np.count_nonzero(kernel)) for kernel in kernels)


rows = []
for complexity in args.complexities:
    for kept in args.kept:
        pruned = export.prune(model, complexity, sparsity=1 - kept)
        start = time.perf_counter()
        finetuned = export.finetune(pruned, (data.x_train, data.y_train), epochs=args.epochs)
        seconds = time.perf_counter() - start
        accuracy, weights = measure(pruned)
        finetuned_accuracy, finetuned_weights = measure(finetuned)
        rows.append(
            {
                "complexity": complexity,
                "kept": kept,
                "weights": weights,
                "finetuned_weights": finetuned_weights,
                "accuracy": accuracy,
                "finetuned_accuracy": finetuned_accuracy,
                "seconds": round(seconds, 1),
            }
        )
        print(rows[-1], flush=True)

with open(args.output / "table.csv", "w", newline="") as file:
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
names = ("dataset", "complexities", "kept", "epochs", "seed")
summary = {"arguments": {name: getattr(args, name) for name in names}, "machine": describe_machine()}
(args.output / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")

print("| weights kept |" + "".join(f" λ = {complexity:g} | fine-tuned |" for complexity in args.complexities))
for kept in args.kept:
    same = [row for row in rows if row["kept"] == kept]
    cells = [f" {100 * row['accuracy']:.2f}% | {100 * row['finetuned_accuracy']:.2f}% |" for row in same]
    print(f"| {100 * kept:g}% |" + "".join(cells))
