"""A benchmark in stages, each kept in the benchmark's folder and not run again."""

import json
import pathlib

from benchmarks.machine import describe_machine


def run_stages(args, data, stages):
    """Runs what was not run before, and writes and prints what all have given.

    Args:
        args: Arguments of the benchmark, `args.output` being its folder.
        data: `cvhn_tf.datasets.Dataset`.
        stages: Dict from a name to a function of `args` and `data`, in order; what it returns is written as JSON.
    """
    args.output.mkdir(parents=True, exist_ok=True)
    for name, stage in stages.items():
        path = args.output / f"{name}.json"
        if not path.exists():
            _write(path, stage(args, data))
    results = {name: result_of(args, name) for name in stages}
    arguments = {
        name: value.name if isinstance(value, pathlib.Path) else value
        for name, value in vars(args).items()
        if name != "output"
    }
    _write(args.output / "summary.json", {**results, "arguments": arguments, "machine": describe_machine()})
    print(json.dumps(results, indent=1))


def result_of(args, name):
    """What a stage gave, now or in an earlier run."""
    return json.loads((args.output / f"{name}.json").read_text())


def _write(path, result):
    path.write_text(json.dumps(result, indent=1) + "\n")
