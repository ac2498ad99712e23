"""Time of `export.compare`: 9 complexities, 4 sparsities, 3 encodings of LeNet-300-100 on MNIST's 10,000 test images.

Without a model, one is trained for an epoch. `--profile` prints where the time goes, by function. `--beside` measures
another build in turn with this one: its packages as `make layout` puts them, such as those of a `git worktree`.

python -m benchmarks.speed.compare_time
python -m benchmarks.speed.compare_time model.keras --profile
python -m benchmarks.speed.compare_time model.keras --complexities 1 --beside ../before/build/layout
"""

import argparse
import cProfile
import json
import pathlib
import pstats
import subprocess
import sys
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
    parser.add_argument("--beside", type=pathlib.Path, metavar="LAYOUT")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/compare_time"))
    args = parser.parse_args()
    if args.beside is not None:
        if args.model is None:
            parser.error("Expected `model`, the same for both builds, with `--beside`. Received: model=None")
        write(args, beside(args))
        return
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
    write(
        args,
        {
            "files": len(comparison),
            "skipped": len(comparison.skipped),
            "dataset": args.dataset,
            "examples": len(data.y_test),
            "seconds": sorted(seconds)[len(seconds) // 2],
            "all_seconds": seconds,
        },
    )


def write(args, result):
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "summary.json").write_text(json.dumps({**result, "machine": describe_machine()}, indent=1) + "\n")


# Of a build that stands first on the path: seconds of wall-clock and CPU time, and the checksum of the files.
IN_A_PROCESS = """
import hashlib, json, sys, time
sys.path.insert(0, sys.argv[1])
import cvhn_tf
from cvhn_tf import datasets, export
data, model = datasets.load(sys.argv[3]), cvhn_tf.load_model(sys.argv[2], compile=False)
examples, complexities = (data.x_test, data.y_test), model.complexity_range.grid(max(int(sys.argv[4]), 2))
sparsities, quantizations = map(json.loads, sys.argv[5:7])
export.compare(model, examples, complexities[:1], sparsities[:1], quantizations)  # what a process does once
start, cpu = time.perf_counter(), time.process_time()
comparison = export.compare(model, examples, complexities[: int(sys.argv[4])], sparsities, quantizations)
seconds = time.perf_counter() - start, time.process_time() - cpu
checksum = hashlib.sha256(b"".join(artifact.content for artifact in comparison.artifacts)).hexdigest()
print("result", *seconds, len(comparison), checksum)
"""


def beside(args):
    """Rounds of both builds in turn, each in a process of its own."""
    layouts = {"before": args.beside, "now": pathlib.Path("build/layout")}
    rounds = {name: [] for name in layouts}
    for round_ in range(args.rounds):
        for name, layout in layouts.items():
            given = (
                layout.resolve(),
                args.model,
                args.dataset,
                args.complexities,
                *map(json.dumps, (SPARSITIES, QUANTIZATIONS)),
            )
            command = [sys.executable, "-c", IN_A_PROCESS, *map(str, given)]
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
            wall, cpu, files, checksum = next(line for line in lines if line.startswith("result ")).split()[1:]
            rounds[name].append(
                {"seconds": float(wall), "cpu_seconds": float(cpu), "files": int(files), "sha256": checksum}
            )
            print(f"round {round_}, {name}: {float(wall):.1f} s, {float(cpu):.1f} s of CPU, {files} files", flush=True)
    best = {
        name: {key: min(row[key] for row in rows) for key in ("seconds", "cpu_seconds")}
        for name, rows in rounds.items()
    }
    checksums = {row["sha256"] for rows in rounds.values() for row in rows}
    result = {f"ratio_of_{key}": best["now"][key] / best["before"][key] for key in ("seconds", "cpu_seconds")}
    result |= {"files_are_equal": len(checksums) == 1, "rounds": rounds}
    print({key: value for key, value in result.items() if key != "rounds"})
    return result


def trained(data):
    target = targets.lenet_300_100(data.input_shape, data.num_classes)
    model = cvhn_tf.VariationalHypernetwork(target, seed=0)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    model.fit(data.x_train, data.y_train, batch_size=256, epochs=1, verbose=2)
    return model


if __name__ == "__main__":
    main()
