"""Trains hypernetworks of random targets with next to no noise, and the targets by plain Keras: step for step the same.

The targets hold all layers of Keras that have weights, and layers such as users write, shared, nested, frozen, with
masks, of several inputs and outputs, in mixed precision. Figures, weights, outputs, files and exports are compared.

python -m benchmarks.robustness.fuzz_differential --targets 300
"""

import argparse
import collections
import gc
import pathlib
import tempfile
import time
import traceback

from benchmarks.robustness.differential.cases import case_of, compare_all
from benchmarks.robustness.differential.targets import end_policy
from benchmarks.robustness.fuzz_report import finish

HERE = pathlib.Path(__file__).parents[2]


def try_one(number, path) -> str:
    """What comes of one target: that it is the same, or the error and where it came from."""
    try:
        compare_all(case_of(number), path)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if HERE in pathlib.Path(frame.filename).parents]
        place = next(frame for frame in reversed(ours) if "site-packages" not in frame.filename)
        return f"{type(error).__name__} in {place.name}: {' '.join(str(error).split())[:300]}"
    finally:
        end_policy()
        gc.collect()
    return "same"


def fuzz(targets, first, seconds, progress=print) -> dict:
    """Tries so many targets, or as many as there is time for."""
    outcomes, wrong, start, number = collections.Counter(), [], time.monotonic(), first
    with tempfile.TemporaryDirectory() as folder:
        while number < first + targets and time.monotonic() - start < seconds:
            outcome = try_one(number, pathlib.Path(folder) / "model.keras")
            outcomes["same" if outcome == "same" else "differs"] += 1
            if outcome != "same":
                wrong.append({"target": number, "outcome": outcome})
            number += 1
            if outcome != "same" or number % 10 == 0:
                progress(f"{number - first} targets, {len(wrong)} differ, {outcome}", flush=True)
    return {
        "targets": number - first,
        "first": first,
        "outcomes": dict(outcomes),
        "wrong": wrong,
        "seconds": round(time.monotonic() - start, 1),
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="number of the first target")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no others after these")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("fuzz-differential.json"))
    options = parser.parse_args(arguments)
    return finish(fuzz(options.targets, options.first, options.seconds), options.output)


if __name__ == "__main__":
    raise SystemExit(main())
