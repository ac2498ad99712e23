"""What one fit gives: LeNet-300-100 on MNIST; objective, length, accuracy and packed bytes by λ.

python -m benchmarks.accuracy.one_fit --output build/response.json
python -m benchmarks.accuracy.one_fit --parameterization gated --output build/gated.json \\
    --parameterization-arguments '{"sharpness": 2.0, "threshold": 1.6, "stddev_power": null, "stddev_gate": 0.0}'

The objective is NLL + λ · KL / N on test data with the weights at their means. Packed networks are those of which half
of the test images have an accuracy, of three sparsities, three steps and three weights of the rate at six λ.
"""

import argparse
import json
import math
import pathlib
import time

import keras
import numpy as np

import cvhn_tf
from benchmarks import parameterization
from benchmarks.machine import describe_machine
from cvhn_tf import datasets, export, targets

SPARSITIES = (0.0, 0.98, 0.985, 1 - 1 / 68, 0.99)
ACCURACIES = (0.983, 0.98, 0.975, 0.97, 0.96)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parameterization.add_options(parser)
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--start", type=int, default=0, help="seed of the training")
parser.add_argument("--output", type=pathlib.Path, required=True)
args = parser.parse_args()
args.output.parent.mkdir(parents=True, exist_ok=True)

keras.utils.set_random_seed(args.start)
mnist = datasets.load("mnist")
model = cvhn_tf.VariationalHypernetwork(
    targets.get("lenet_300_100", mnist.input_shape, mnist.num_classes),
    complexity_range=(0.01, 100.0),
    parameterization=parameterization.make(args),
    seed=args.start,
)
steps = args.epochs * -(-len(mnist.x_train) // 256)
model.compile(cvhn_tf.default_optimizer(steps), "sparse_categorical_crossentropy", metrics=["accuracy"])
start = time.perf_counter()
model.fit(mnist.x_train, mnist.y_train, batch_size=256, epochs=args.epochs, verbose=2)
fit_seconds = time.perf_counter() - start
model.save(args.output.with_suffix(".keras"))

rows = []
for complexity in model.complexity_range.grid(9):
    bits = float(model.description_length(complexity))
    row = {"complexity": complexity, "kl_bits": bits, "accuracy": {}}
    for sparsity in SPARSITIES:
        probabilities = export.prune(model, complexity, sparsity=sparsity).predict(
            mnist.x_test, batch_size=2500, verbose=0
        )
        row["accuracy"][f"{1 - sparsity:.2%}"] = float(np.mean(probabilities.argmax(1) == mnist.y_test))
        if sparsity == 0:
            right = probabilities[np.arange(len(mnist.y_test)), mnist.y_test]
            row["nll"] = float(-np.mean(np.log(np.maximum(right, 1e-12))))
            row["objective"] = row["nll"] + complexity * bits * math.log(2) / len(mnist.x_train)
    rows.append(row)
    print(row, flush=True)

packed = []
export.smallest_packed(
    model,
    (mnist.x_test[::2], mnist.y_test[::2]),
    min(ACCURACIES),
    complexities=[0.1, 0.2, 0.4, 1.0, 3.0, 10.0],
    sparsities=[0.97, 0.98, 0.99],
    steps=[2.0, 3.2, 4.5],
    rate_weights=[0.1, 0.2, 0.4],
    progress=lambda *figures: packed.append(figures[-2:]),
)
result = {
    "rows": rows,
    "packed_bytes": {
        f"{least:.1%}": min((size for measured, size in packed if measured >= least), default=None)
        for least in ACCURACIES
    },
    "fit_seconds": fit_seconds,
    "parameterization": keras.saving.serialize_keras_object(model.parameterization),
    "arguments": {"epochs": args.epochs, "start": args.start},
    "machine": describe_machine(),
}
args.output.write_text(json.dumps(result, indent=1) + "\n")
print(json.dumps(result["packed_bytes"], indent=1))
