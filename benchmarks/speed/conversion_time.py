"""Time of a verified float32 file by `to_tflite`, beside TensorFlow's converter alone, which writes a SavedModel first.

python -m benchmarks.speed.conversion_time
"""

import argparse
import contextlib
import io
import json
import pathlib
import statistics
import time

import keras
import tensorflow as tf

from benchmarks.machine import describe_machine
from cvhn_tf import export, targets

NETWORKS = {
    "LeNet-300-100": lambda: targets.lenet_300_100((28, 28, 1), 10),
    "LeNet-5": lambda: targets.lenet_5((28, 28, 1), 10),
    "MobileNetV2": lambda: keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10),
}


def seconds_of(function, rounds) -> float:
    """Median time of a call, after one that is not counted."""
    seconds = []
    with contextlib.redirect_stdout(io.StringIO()):  # TensorFlow lists all weights
        function()
        for _ in range(rounds):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/conversion_time"))
    args = parser.parse_args()
    rows = {}
    for name, make in NETWORKS.items():
        network = make()
        ours = seconds_of(lambda network=network: export.to_tflite(network), args.rounds)
        alone = seconds_of(
            lambda network=network: tf.lite.TFLiteConverter.from_keras_model(network).convert(), args.rounds
        )
        rows[name] = {"to_tflite_seconds": ours, "tensorflow_seconds": alone, "ratio": ours / alone}
        print(
            f"{name}: {1000 * ours:.0f} ms, TensorFlow alone {1000 * alone:.0f} ms, ratio {ours / alone:.2f}",
            flush=True,
        )
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "summary.json").write_text(
        json.dumps({"rows": rows, "machine": describe_machine()}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
