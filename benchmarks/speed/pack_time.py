"""CPU time of `export.pack`, `unpack` and the coding alone, of two builds in turns. The files must be the same.

The builds are this one and one before it, such as that of a `git worktree`, as `make layout` puts them. Networks are
drawn from hypernetworks that were not trained, at a sparsity of 0.9.

make layout
python -m benchmarks.speed.pack_time ../before/build/layout
"""

import argparse
import json
import pathlib
import subprocess
import sys

from benchmarks.machine import describe_machine
from benchmarks.speed.turns import gain, in_turns

# Expressions that make a target.
TARGETS = {
    "mlp_784_300_100_10": """keras.Sequential([
        keras.Input((784,)),
        *(keras.layers.Dense(units, "relu") for units in (300, 100)),
        keras.layers.Dense(10, "softmax"),
    ])""",
    "mobilenet_alpha_0.5": "keras.applications.MobileNet((32, 32, 3), alpha=0.5, weights=None, classes=10)",
}

# Of a build that stands first on the path: seconds of CPU time, and the file's size and checksum.
IN_A_PROCESS = """
import hashlib, json, sys, time
sys.path.insert(0, sys.argv[1])
import keras
import cvhn_tf
from cvhn_tf import export
from cvhn_tf.export.packing.network_coding import encode_weights
from cvhn_tf.export.rounding.step_grid import round_to_steps
keras.utils.set_random_seed(0)
model = cvhn_tf.VariationalHypernetwork(target(keras), seed=0)
# What a process does once.
round_to_steps(model, 1.0, 0.9)
times = [time.process_time()]
packed = export.pack(model, 1.0, 0.9)
times.append(time.process_time())
network = export.unpack(packed)
times.append(time.process_time())
rounded = round_to_steps(model, 1.0, 0.9)
times.append(time.process_time())
encode_weights(*rounded)
times.append(time.process_time())
seconds = [end - start for start, end in zip(times, times[1:])]
print("result", json.dumps({
    **dict(zip(("pack", "unpack", "round_to_steps", "encode_weights"), seconds)),
    "weights": network.count_params(),
    "size_bytes": packed.size_bytes,
    "sha256": hashlib.sha256(packed.content).hexdigest(),
    "file": cvhn_tf.__file__,
}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=pathlib.Path, metavar="LAYOUT")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/pack_time"))
    args = parser.parse_args()
    layouts = {"before": args.before, "now": pathlib.Path("build/layout")}
    results = {target: measure(target, layouts, args.turns) for target in args.targets}
    args.output.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"targets": results, "machine": describe_machine()}, indent=1)
    (args.output / "summary.json").write_text(content + "\n")


def measure(target, layouts, turns):
    rows = in_turns(
        {name: lambda layout=layout: of_a_process(target, layout) for name, layout in layouts.items()}, turns
    )
    files = {(row["size_bytes"], row["sha256"]) for builds in rows.values() for row in builds}
    result = {"weights": rows["now"][0]["weights"], "size_bytes": rows["now"][0]["size_bytes"]}
    result["files_are_equal"] = len(files) == 1
    for stage in ("pack", "unpack", "round_to_steps", "encode_weights"):
        seconds = {name: [row[stage] for row in builds] for name, builds in rows.items()}
        result[stage] = {"cpu_seconds": seconds, **gain(seconds["before"], seconds["now"])}
    print(target, json.dumps(result), flush=True)
    return result


def of_a_process(target, layout):
    program = f"target = lambda keras: {TARGETS[target]}\n{IN_A_PROCESS}"
    command = [sys.executable, "-c", program, str(layout.resolve())]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    row = json.loads(next(line for line in lines if line.startswith("result ")).removeprefix("result "))
    if not pathlib.Path(row["file"]).is_relative_to(layout.resolve()):
        raise RuntimeError(f"Expected the packages in {layout}. Received: {row['file']}")
    return row


if __name__ == "__main__":
    main()
