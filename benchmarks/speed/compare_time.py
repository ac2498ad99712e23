"""Time of `export.compare`: 9 complexities, 4 sparsities, 3 encodings of LeNet-300-100 on MNIST's 10,000 test images.

Without a model, one is trained for an epoch. `--profile` prints where the time goes, by function.

python -m benchmarks.speed.compare_time
python -m benchmarks.speed.compare_time model.keras --profile
"""

import argparse
import cProfile
import json
import pathlib
import pstats
import time

import cvhn_tf
from benchmarks.machine import describe_machine
from cvhn_tf import datasets, export, targets

SPARSITIES = (0.0, 0.9, 0.95, 0.98)
QUANTIZATIONS = (None, "float16", "dynamic_range")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a .keras file of a VariationalHypernetwork")
    parser.add_argument("--dataset", default="mnist", choices=datasets.names())
    parser.add_argument("--complexities", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/compare_time"))
    args = parser.parse_args()
    data = datasets.load(args.dataset)
    model = cvhn_tf.load_model(args.model, compile=False) if args.model else trained(data)
    complexities = model.complexity_range.grid(args.complexities)

    def compare():
        return export.compare(model, (data.x_test, data.y_test), complexities, SPARSITIES, QUANTIZATIONS)

    seconds, profiler = [], cProfile.Profile()
    for round_ in range(args.rounds):
        start = time.perf_counter()
        comparison = profiler.runcall(compare) if args.profile else compare()
        seconds.append(time.perf_counter() - start)
        print(f"round {round_}: {seconds[-1]:.1f} s for {len(comparison)} files", flush=True)
    if args.profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats("export|predict|gzip|invoke|interpreter", 45)
        return
    result = {
        "files": len(comparison),
        "skipped": len(comparison.skipped),
        "dataset": args.dataset,
        "examples": len(data.y_test),
        "seconds": sorted(seconds)[len(seconds) // 2],
        "all_seconds": seconds,
        "machine": describe_machine(),
    }
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "summary.json").write_text(json.dumps(result, indent=1) + "\n")


def trained(data):
    target = targets.lenet_300_100(data.input_shape, data.num_classes)
    model = cvhn_tf.VariationalHypernetwork(target, seed=0)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    model.fit(data.x_train, data.y_train, batch_size=256, epochs=1, verbose=2)
    return model


if __name__ == "__main__":
    main()
