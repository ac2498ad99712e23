"""Files from one hypernetwork beside those of its peers: accuracy, bytes, gzip bytes and latency, all run by LiteRT.

Peers: tfmot's `prune_low_magnitude` (a training for each sparsity) and `cluster_weights`, and plain Keras pruned by
magnitude after training. Every network gets the same target, data, batch size and number of epochs (ours fewer with
`--our-epochs`), and each file the smaller of TFLite's dense and sparse encodings, in float32 and with 8-bit weights.
Batch normalization gets statistics of its own once weights are zero: tfmot's by its training, others by `recalibrate`.

python -m benchmarks.accuracy.compression --quick
python -m benchmarks.accuracy.compression --epochs 40 --output benchmarks/results/compression
python -m benchmarks.accuracy.compression --dataset cifar10 --target convnet --epochs 8 --sparsities 0.5 0.8 0.9
"""

import argparse
import csv
import json
import pathlib
import time

import keras
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import cvhn_tf
from benchmarks.accuracy.tfmot.jobs import train_with_tfmot
from benchmarks.machine import describe_machine
from cvhn_tf import datasets, export, targets

QUANTIZATIONS = (None, "dynamic_range")
TARGETS = ("lenet_300_100", "lenet_5", "lenet_5_caffe", "mlp_50", "convnet")  # of layers that legacy Keras makes alike
_CALIBRATION_EXAMPLES = 1000
_OURS = "cvhn-tf"
ACCURACIES = {
    "mnist": (0.99, 0.985, 0.98, 0.975, 0.97, 0.96, 0.95),
    "digits": (0.97, 0.96, 0.95, 0.9),
    "cifar10": (0.86, 0.84, 0.82, 0.8, 0.75, 0.7, 0.65, 0.6),
}


def main():
    args = parse()
    args.output.mkdir(parents=True, exist_ok=True)
    # Read before the training, so that what is missing is missed at once.
    peers = [kept(args)] if args.ours_only else None
    data = datasets.load(args.dataset)
    rows, seconds = ours(args, data)
    for more_rows, more_seconds in peers or (train(args, data) for train in (magnitude, tfmot)):
        rows += more_rows
        seconds |= more_seconds
    report(args, rows, seconds)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="mnist", choices=ACCURACIES)
    parser.add_argument("--target", default="lenet_300_100", choices=TARGETS)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--our-epochs", type=int, help="for the hypernetwork, which takes longer an epoch")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.8, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99])
    parser.add_argument("--complexities", type=int, default=9, help="how many, over the whole range")
    parser.add_argument("--quick", action="store_true", help="5 epochs and three sparsities")
    parser.add_argument("--ours-only", action="store_true", help="keep the peers of the table that --output holds")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/compression"))
    args = parser.parse_args()
    if args.quick:
        args.epochs, args.sparsities = 5, [0.9, 0.95, 0.98]
    args.our_epochs = args.our_epochs or args.epochs
    return args


def make_target(args, data):
    return targets.get(args.target, data.input_shape, data.num_classes)


def ours(args, data):
    keras.utils.set_random_seed(args.seed)
    model = cvhn_tf.VariationalHypernetwork(make_target(args, data), seed=args.seed)
    steps = args.our_epochs * -(-len(data.x_train) // args.batch_size)
    seconds = fit(model, cvhn_tf.default_optimizer(steps), args.our_epochs, args, data)
    comparison = export.compare(
        model,
        (data.x_test, data.y_test),
        complexities=model.complexity_range.grid(args.complexities),
        sparsities=(0.0, *args.sparsities),
        quantizations=QUANTIZATIONS,
        representative_data=data.x_train[:_CALIBRATION_EXAMPLES],
    )
    rows = [
        {"method": _OURS, "complexity": row.complexity, **{key: getattr(row, key) for key in MEASURES}}
        for row in comparison
    ]
    return rows, {f"{_OURS}, one fit": seconds}


def magnitude(args, data):
    """Plain Keras, pruned by |w| over all layers together once it is trained."""
    keras.utils.set_random_seed(args.seed)
    network = make_target(args, data)
    steps = args.epochs * -(-len(data.x_train) // args.batch_size)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps))
    seconds = fit(network, optimizer, args.epochs, args, data)
    trained = network.get_weights()
    rows = []
    for sparsity in (0.0, *args.sparsities):
        kernels = np.concatenate([np.abs(weight).ravel() for weight in trained if weight.ndim > 1])
        threshold = np.quantile(kernels, sparsity) if sparsity else -1.0
        network.set_weights([w if w.ndim == 1 else np.where(np.abs(w) > threshold, w, 0) for w in trained])
        pruned = export.recalibrate(network, data.x_train[:_CALIBRATION_EXAMPLES])
        rows += measure(pruned, data, method="magnitude", sparsity=sparsity)
    return rows, {"magnitude, one fit": seconds}


def tfmot(args, data):
    rows, seconds = [], {}
    network = make_target(args, data)
    jobs = [("prune_low_magnitude", sparsity) for sparsity in args.sparsities] + [("cluster_weights", 0.0)]
    for method, sparsity in jobs:
        taken = train_with_tfmot(network, data, method, sparsity, args.epochs, args.batch_size, args.seed)
        seconds[f"tfmot {method} {sparsity:g}"] = taken
        rows += measure(network, data, method=f"tfmot {method}", sparsity=sparsity)
        print(f"{method} {sparsity:g}: {rows[-1]['accuracy']:.4f}", flush=True)
    return rows, seconds


def kept(args):
    """The peers' rows and seconds of an earlier run, of the same settings."""
    summary = json.loads((args.output / "summary.json").read_text())
    for key in ("dataset", "target", "epochs", "batch_size", "seed", "sparsities"):
        if summary["arguments"][key] != getattr(args, key):
            raise SystemExit(f"Expected --{key} as in {args.output}. Received: {getattr(args, key)}")
    with open(args.output / "table.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] != _OURS]
    for row in rows:
        row |= {key: float(row[key]) for key in ("sparsity", "accuracy", "latency_ms")}
        row |= {key: int(row[key]) for key in ("size_bytes", "gzip_bytes")}
    return rows, {name: value for name, value in summary["training_seconds"].items() if not name.startswith(_OURS)}


def fit(model, optimizer, epochs, args, data):
    model.compile(optimizer, "sparse_categorical_crossentropy")
    start = time.perf_counter()
    model.fit(data.x_train, data.y_train, batch_size=args.batch_size, epochs=epochs, verbose=0)
    return time.perf_counter() - start


MEASURES = ("sparsity", "quantization", "sparse", "size_bytes", "gzip_bytes", "accuracy", "latency_ms")


def measure(network, data, method, sparsity):
    rows = []
    for quantization in QUANTIZATIONS:
        artifact = export.to_tflite(network, quantization, client="cpu")
        evaluation = export.evaluate_tflite(artifact, data.x_test, data.y_test)
        values = (
            sparsity,
            quantization,
            artifact.sparse,
            artifact.size_bytes,
            artifact.gzip_bytes,
            evaluation.accuracy,
            evaluation.latency_ms,
        )
        rows.append({"method": method, "complexity": None, **dict(zip(MEASURES, values, strict=True))})
    return rows


def report(args, rows, seconds):
    with open(args.output / "table.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    smallest = {
        f"{accuracy:.1%}": {
            method: {
                size: min((row[size] for row in of_method(rows, method) if row["accuracy"] >= accuracy), default=None)
                for size in ("size_bytes", "gzip_bytes")
            }
            for method in dict.fromkeys(row["method"] for row in rows)
        }
        for accuracy in ACCURACIES[args.dataset]
    }
    summary = {
        "smallest_file_of_at_least": smallest,
        "training_seconds": seconds,
        "arguments": {key: value for key, value in vars(args).items() if key != "output"},
        "machine": describe_machine(),
    }
    (args.output / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    for size in ("size_bytes", "gzip_bytes"):
        plot(args.output / f"{size}.png", rows, size)
    print(json.dumps(summary, indent=1))


def of_method(rows, method):
    return [row for row in rows if row["method"] == method]


def plot(path, rows, size):
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for method in dict.fromkeys(row["method"] for row in rows):
        points = sorted((row[size] / 1000, 100 * row["accuracy"]) for row in of_method(rows, method))
        axes.plot(*zip(*points, strict=True), ".", alpha=0.35)
        front = [point for i, point in enumerate(points) if point[1] > max([a for _, a in points[:i]], default=0)]
        axes.step(*zip(*front, strict=True), where="post", color=axes.lines[-1].get_color(), label=method)
    best, our_best = (100 * max(row["accuracy"] for row in some) for some in (rows, of_method(rows, _OURS)))
    axes.set(xscale="log", ylim=(our_best - 6, best + 0.3), ylabel="accuracy in LiteRT, %")
    axes.set_xlabel("size of the .tflite file, kB" + (" after gzip" if size == "gzip_bytes" else ""))
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="lower right")
    FigureCanvasAgg(figure).print_png(path)


if __name__ == "__main__":
    main()
