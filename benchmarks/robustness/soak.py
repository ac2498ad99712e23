"""Compares files and takes networks over and over in one process, and looks at how much memory it holds.

Each round of `export.compare` prunes, converts, runs and measures some files of a hypernetwork of the 8×8 digits; then
`at` makes a network of a random complexity, many times. Memory is the process's resident set. Its growth is that of
the second half: the median of the last tenth of the samples against that of the tenth from the middle on.

python -m benchmarks.robustness.soak --rounds 200 --networks 10000
"""

import argparse
import json
import pathlib
import statistics
import time

import keras
import numpy as np
import psutil

import cvhn_tf
from benchmarks.machine import describe_machine
from cvhn_tf import datasets, export, targets

# Samples of `at` are this many networks apart, so that both parts have about as many.
NETWORKS_A_SAMPLE = 50
EXAMPLES = 100
MOST_GROWTH_PERCENT = 5.0


def train(epochs, seed):
    """A hypernetwork of the digits, and the digits."""
    keras.utils.set_random_seed(seed)
    digits = datasets.load("digits")
    model = cvhn_tf.VariationalHypernetwork(targets.get("mlp_50", digits.input_shape, digits.num_classes), seed=seed)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    model.fit(digits.x_train, digits.y_train, batch_size=64, epochs=epochs, verbose=0)
    return model, digits


def soak(step, steps, steps_a_sample=1) -> dict:
    """Calls `step(i)` again and again.

    Returns:
        Resident MB at some moments, how much they grow in percent, and seconds.
    """
    process, samples, start = psutil.Process(), [], time.monotonic()
    for i in range(steps):
        step(i)
        if (i + 1) % steps_a_sample == 0:
            samples.append(process.memory_info().rss / 1e6)
    return {
        "steps": steps,
        "samples": len(samples),
        "growth_percent": round(growth_percent(samples), 2),
        "resident_mb": [round(sample, 1) for sample in samples[:: max(1, len(samples) // 20)]],
        "seconds": round(time.monotonic() - start, 1),
    }


def growth_percent(samples) -> float:
    """Growth over the second half of the samples, in percent; medians of tenths, since single samples jump."""
    tenth, middle = max(1, len(samples) // 10), len(samples) // 2
    return 100 * (statistics.median(samples[-tenth:]) / statistics.median(samples[middle : middle + tenth]) - 1)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="of `compare`")
    parser.add_argument("--networks", type=int, default=10_000, help="of `at`")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("soak.json"))
    options = parser.parse_args(arguments)
    model, digits = train(options.epochs, options.seed)
    low, high = model.complexity_range.low, model.complexity_range.high
    rng = np.random.default_rng(options.seed)
    x, y = digits.x_test[:EXAMPLES], digits.y_test[:EXAMPLES]

    def compare(i):
        complexity = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        comparison = export.compare(model, (x, y), [complexity], sparsities=(0.0, 0.9))
        if comparison.skipped or len(comparison) != 4:
            raise RuntimeError(f"Round {i} has skipped files: {comparison.skipped}")
        if (i + 1) % 20 == 0:
            print(f"{i + 1} rounds, {psutil.Process().memory_info().rss / 1e6:.0f} MB", flush=True)

    def take(i):
        model.at(float(np.exp(rng.uniform(np.log(low), np.log(high)))))
        if (i + 1) % 1000 == 0:
            print(f"{i + 1} networks, {psutil.Process().memory_info().rss / 1e6:.0f} MB", flush=True)

    result = {
        "compare": soak(compare, options.rounds),
        "at": soak(take, options.networks, NETWORKS_A_SAMPLE),
        "arguments": {name: str(value) if name == "output" else value for name, value in vars(options).items()},
        "machine": describe_machine(),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    growths = {name: result[name]["growth_percent"] for name in ("compare", "at")}
    print(json.dumps(growths))
    return int(max(growths.values()) >= MOST_GROWTH_PERCENT)


if __name__ == "__main__":
    raise SystemExit(main())
