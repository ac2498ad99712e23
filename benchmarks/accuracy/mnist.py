"""A LeNet on MNIST: one fit, at the defaults unless said otherwise, then what LiteRT makes of its pruned files.

python -m benchmarks.accuracy.mnist --output benchmarks/results/mnist
python -m benchmarks.accuracy.mnist --target lenet_5_caffe --output benchmarks/results/mnist_lenet_5_caffe
"""

import argparse
import json
import pathlib
import time

import keras

import cvhn_tf
from benchmarks import parameterization
from benchmarks.accuracy.augmentation import with_shifts
from benchmarks.machine import describe_machine
from cvhn_tf import datasets, export, targets

# Sparse variational dropout has 98.08% with 1/68 of the weights of LeNet-300-100, and 99.25% with 1/280 of those of
# Caffe's LeNet-5 (Molchanov et al., 2017, a training of its own for each).
SPARSITIES = (0.0, 0.9, 0.95, 0.98, 0.985, 1 - 1 / 68, 0.99)
MORE_SPARSITIES = {"lenet_5_caffe": (0.995, 1 - 1 / 280)}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--target", choices=("lenet_300_100", "lenet_5", "lenet_5_caffe"), default="lenet_300_100")
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--batch-size", type=int, default=256)
parameterization.add_options(parser)
parser.add_argument("--initial-stddev", type=float)
parser.add_argument("--complexity-range", type=float, nargs=2, default=(0.01, 100.0))
parser.add_argument("--prior", default="automatic_relevance", choices=("automatic_relevance", "log_uniform"))
parser.add_argument(
    "--kl-warmup", type=float, default=0.3, help="share of the steps in which the weight of the KL grows to 1"
)
parser.add_argument("--shift", type=int, default=0, help="pixels by which training moves its images at random, at most")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/mnist"))
args = parser.parse_args()
args.output.mkdir(parents=True, exist_ok=True)

keras.utils.set_random_seed(args.seed)
mnist = datasets.load("mnist")
target = targets.get(args.target, mnist.input_shape, mnist.num_classes)
model = cvhn_tf.VariationalHypernetwork(
    with_shifts(target, args.shift),
    complexity_range=tuple(args.complexity_range),
    parameterization=parameterization.make(args),
    prior=args.prior,
    initial_stddev=args.initial_stddev,
    kl_warmup=args.kl_warmup,
    seed=args.seed,
)
steps = args.epochs * -(-len(mnist.x_train) // args.batch_size)
model.compile(cvhn_tf.default_optimizer(steps), "sparse_categorical_crossentropy", metrics=["accuracy"])
start = time.perf_counter()
model.fit(mnist.x_train, mnist.y_train, batch_size=args.batch_size, epochs=args.epochs, verbose=2)
fit_seconds = time.perf_counter() - start
model.save(args.output / "model.keras")

times_ms = []
for complexity in model.complexity_range.grid(9):
    start = time.perf_counter()
    model.at(complexity)
    times_ms.append(1e3 * (time.perf_counter() - start))
start = time.perf_counter()
sparsities = SPARSITIES + MORE_SPARSITIES.get(args.target, ())
comparison = export.compare(model, (mnist.x_test, mnist.y_test), sparsities=sparsities, client="cpu")
compare_seconds = time.perf_counter() - start
comparison.to_csv(args.output / "table.csv")
comparison.plot(args.output / "plot.png")

smallest = export.smallest(export.compact(export.prune(model, 1.0, sparsity=0.98)), client="cpu")
plain = export.to_tflite(export.compact(export.prune(model, 1.0, sparsity=0.98)), client="cpu")
best = {}
for sparsity in sorted({row.sparsity for row in comparison}):
    row = max((row for row in comparison if row.sparsity == sparsity), key=lambda row: row.accuracy)
    best[f"{1 - sparsity:.2%}"] = {name: getattr(row, name) for name in ("accuracy", "complexity", "size_bytes")}
    best[f"{1 - sparsity:.2%}"]["encoding"] = row.quantization or "float32"
result = {
    "fit_seconds": fit_seconds,
    "compare_seconds": compare_seconds,
    "at_ms_first": times_ms[0],
    "at_ms_worst_later": max(times_ms[1:]),
    "bytes_at_98_percent_float32": plain.size_bytes,
    "bytes_at_98_percent_smallest": smallest.size_bytes,
    "smallest_encoding": (smallest.quantization or "float32") + (" sparse" if smallest.sparse else ""),
    "best_of_nine_complexities_by_weights_kept": best,
    "arguments": {key: value for key, value in vars(args).items() if key != "output"},
    "machine": describe_machine(),
}
(args.output / "result.json").write_text(json.dumps(result, indent=1) + "\n")
print(json.dumps(result, indent=1))
