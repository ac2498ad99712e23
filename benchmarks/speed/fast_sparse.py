"""How much faster LiteRT.js computes MobileNets without the zeros of 1×1 convolutions: `fast_sparse` beside dense.

python -m benchmarks.speed.fast_sparse
python -m benchmarks.speed.fast_sparse --quick

Networks have random weights, and single zeros at random in their 1×1 kernels. Each is run as a dense file, and as a
sparse one after `fast_sparse`, in turns, in one process of Node.js. CVHN_TF_LITERT_JS names the folder node_modules
with @litertjs/core. Times are those of the processor, so that others on the machine change them little.
"""

import argparse
import csv
import json
import pathlib
import statistics

import keras
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.speed.turns import gain, in_turns
from cvhn_tf import export
from cvhn_tf.export.verification import web

NETWORKS = {
    "MobileNetV2, α 1": (keras.applications.MobileNetV2, 96, {"alpha": 1.0}),
    "MobileNet, α 0.5": (keras.applications.MobileNet, 128, {"alpha": 0.5}),
}


def network_with_zeros(make, size, options, sparsity, seed=0) -> keras.Model:
    """A network of keras.applications for 100 classes, with zeros in 1×1 kernels of convolutions on maps.

    Args:
        make: Function of keras.applications.
        size: Height and width of the image.
        options: Dict of further arguments.
        sparsity: Share of zeros in each kernel.
        seed: Of weights and zeros.
    """
    keras.utils.set_random_seed(seed)
    network = make((size, size, 3), weights=None, classes=100, classifier_activation=None, **options)
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if type(layer) is keras.layers.Conv2D and layer.kernel_size == (1, 1) and layer.input.shape[1] > 1:
            kernel = rng.normal(size=layer.kernel.shape)
            kept = rng.permutation(kernel.size).reshape(kernel.shape) >= round(sparsity * kernel.size)
            layer.kernel.assign(kernel * kept * np.sqrt(2 / (kernel.shape[2] * (1 - sparsity))))
    return network


def rows_of(name, sparsity, turns, repeats):
    """A dict of figures for one network and one share of zeros."""
    make, size, options = NETWORKS[name]
    network = network_with_zeros(make, size, options, sparsity)
    fast = export.fast_sparse(network)
    dense = export.to_tflite(network, sparse=False, client="web")
    sparse = export.to_tflite(fast, sparse=True, client="web")
    inputs = [np.random.default_rng(1).uniform(-1, 1, (1, size, size, 3)).astype("float32")]
    models = [web.WebModel(artifact.content) for artifact in (dense, sparse)]
    outputs = [model.run(inputs)[0] for model in models]

    def median_ms(model):
        return statistics.median(model.times_ms(inputs, repeats)["processor_times"])

    times = in_turns(
        {kind: lambda m=m: median_ms(m) for kind, m in zip(("dense", "sparse"), models, strict=True)}, turns
    )
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    return {
        "network": name,
        "image": size,
        "sparsity": sparsity,
        "dense_ms": medians["dense"],
        "sparse_ms": medians["sparse"],
        **gain(times["dense"], times["sparse"]),
        "dense_bytes": dense.size_bytes,
        "sparse_bytes": sparse.size_bytes,
        "difference": float(np.abs(outputs[0] - outputs[1]).max() / np.abs(outputs[0]).max()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.9])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="three turns of five runs")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/fast_sparse"))
    args = parser.parse_args()
    if not web.is_available():
        parser.error(f"Expected {web.VARIABLE} to name a folder node_modules with @litertjs/core. Received: nothing")
    turns, repeats = (3, 5) if args.quick else (args.turns, args.repeats)
    rows = []
    for name in NETWORKS:
        for sparsity in args.sparsities:
            rows.append(rows_of(name, sparsity, turns, repeats))
            row = rows[-1]
            print(
                f"{name}, {row['image']}², {sparsity:.0%} zeros: dense {row['dense_ms']:.2f} ms, "
                f"sparse {row['sparse_ms']:.2f} ms, "
                f"{row['times_as_fast']:.2f} times as fast ({row['least']:.2f} to {row['most']:.2f} by turn), "
                f"outputs differ by {row['difference']:.1e}",
                flush=True,
            )
    args.output.mkdir(parents=True, exist_ok=True)
    with (args.output / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    summary = {"client": web.version(), "turns": turns, "repeats": repeats, "machine": describe_machine()}
    (args.output / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
