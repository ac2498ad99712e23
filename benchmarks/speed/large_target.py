"""Memory and time of a large target: some steps of ResNet50, 25.6 million parameters, on small random images.

Memory is predicted by the formula of docs/scaling.md and measured as the process's peak. Each parameterization is a
process of its own.

python -m benchmarks.speed.large_target
python -m benchmarks.speed.large_target --parameterizations gated low_rank --steps 5
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameterizations", nargs="+", default=["gated"])
    parser.add_argument("--complexity-samples", type=int, default=1)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/large_target"))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main():
    args = parse()
    if args.measure:
        print(json.dumps(measure(args)))
        return
    rows = []
    for parameterization in args.parameterizations:
        command = [sys.executable, "-m", __spec__.name, *sys.argv[1:], f"--measure={parameterization}"]
        process = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if process.returncode != 0:
            raise SystemExit(f"{parameterization} has failed with exit code {process.returncode}")
        rows.append(json.loads(process.stdout.splitlines()[-1]))
        print(json.dumps(rows[-1], indent=1), flush=True)
    from benchmarks.machine import describe_machine

    arguments = {
        key: value for key, value in vars(args).items() if key not in ("output", "measure", "parameterizations")
    }
    args.output.mkdir(parents=True, exist_ok=True)
    summary = {"arguments": arguments, "rows": rows, "machine": describe_machine()}
    (args.output / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")


def measure(args):
    """Trains for some steps; returns seconds, predicted and measured bytes, as a dict."""
    import keras
    import numpy as np

    import cvhn_tf
    from benchmarks.speed.step_time_variants import peak_mb

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            float(logs["loss"])
            times.append(time.perf_counter())

    libraries = peak_mb()
    shape = (args.image_size, args.image_size, 3)
    target = keras.applications.ResNet50(weights=None, input_shape=shape, classes=1000)
    parameters = target.count_params()
    outputs = sum(np.prod(tensor.shape[1:]) for layer in target.layers for tensor in keras.tree.flatten(layer.output))
    model = cvhn_tf.VariationalHypernetwork(
        target, parameterization=args.measure, complexity_samples=args.complexity_samples
    )
    del target
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    rng = np.random.default_rng(0)
    x = rng.random((args.steps * args.batch_size, *shape), "float32")
    y = rng.integers(0, 1000, len(x))
    times = [time.perf_counter()]
    built = peak_mb()
    model.fit(x, y, batch_size=args.batch_size, verbose=0, callbacks=[Clock()])
    predicted = {
        "libraries": libraries * 2**20,
        "variables, gradients, clipped gradients, moments": 20 * trainable,
        "the target's own variables": 4 * parameters,
        "weights at the complexities": 40 * args.complexity_samples * parameters,
        "activations": 3 * 4 * int(outputs) * args.batch_size,
    }
    return {
        "parameterization": args.measure,
        "target_parameters": parameters,
        "trainable_parameters": trainable,
        "predicted_gb": {name: round(size / 1e9, 2) for name, size in predicted.items()},
        "predicted_total_gb": round(sum(predicted.values()) / 1e9, 2),
        "built_gb": round(built * 2**20 / 1e9, 2),
        "peak_gb": round(peak_mb() * 2**20 / 1e9, 2),
        "first_step_seconds": round(times[1] - times[0], 1),
        "step_seconds": np.diff(times[1:]).round(2).tolist(),
    }


if __name__ == "__main__":
    main()
