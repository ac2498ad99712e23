"""Throughput of training on one core, and on two workers with a core each: with the same batch in all, and in each.

Workers are processes on this machine's loopback, each pinned to one core. Configurations take turns, round by round.
Bytes that are all-reduced in a step are counted in the graph that TensorFlow runs, for each parameterization.

python -m benchmarks.speed.scaling --output benchmarks/results/scaling
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from benchmarks.speed.local_workers import start_workers

# Parameterizations whose messages are counted, with the complexities of a step.
COUNTED = (
    ("gated", 4),
    ("gated", 1),
    ("hierarchical", 4),
    ("hierarchical", 1),
    ("piecewise_linear", 4),
    ("piecewise_linear", 1),
    ("linear", 4),
    ("low_rank", 4),
    ("generated", 4),
    ("constant", 4),
)


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="lenet_5")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--batch-size", type=int, default=1024, help="of all workers together, or of one worker")
    parser.add_argument("--steps", type=int, default=20, help="of a measurement")
    parser.add_argument("--measurements", type=int, default=3, help="in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=pathlib.Path, help="folder for the results")
    parser.add_argument("--role", choices=("run", "count"), help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--global-batch", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def run(args):
    """The part of one worker: prints the seconds of each measurement."""
    os.sched_setaffinity(0, {args.core})  # before TensorFlow makes its threads
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    if "TF_CONFIG" in os.environ:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    import keras

    import cvhn_tf
    from cvhn_tf import datasets, targets

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seconds = []

        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            if batch + 1 == args.steps:
                self.seconds.append(time.perf_counter() - self.start)

    dataset = datasets.load(args.dataset)
    with strategy.scope():
        target = targets.get(args.target, dataset.input_shape, dataset.num_classes)
        model = cvhn_tf.VariationalHypernetwork(target, seed=0, train_size=len(dataset.x_train), kl_warmup=1000)
        model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    batches = cvhn_tf.shuffled_batches((dataset.x_train, dataset.y_train), args.global_batch, seed=0)
    clock = Clock()
    epochs = args.measurements + 1  # the first one traces
    model.fit(batches, steps_per_epoch=args.steps, epochs=epochs, shuffle=False, verbose=0, callbacks=[clock])
    print(json.dumps(clock.seconds[1:]))


def count(args):
    """The part of one of two workers: prints how many bytes a step all-reduces, by parameterization."""
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    import cvhn_tf
    from cvhn_tf import datasets, targets

    dataset = datasets.load(args.dataset)
    x, y = dataset.x_train[:8], dataset.y_train[:8]
    rows = []
    for parameterization, samples in COUNTED:
        with strategy.scope():
            target = targets.get(args.target, dataset.input_shape, dataset.num_classes)
            model = cvhn_tf.VariationalHypernetwork(
                target, seed=0, train_size=8, parameterization=parameterization, complexity_samples=samples
            )
            model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
            model.optimizer.build(model.trainable_variables)
        rows.append(
            {
                "parameterization": parameterization,
                "complexity_samples": samples,
                "target_parameters": target.count_params(),
                "trainable_parameters": sum(
                    variable.value.shape.num_elements() for variable in model.trainable_variables
                ),
                "bytes": count_bytes(strategy, model.train_step, (x, y)),
            }
        )
    print(json.dumps(rows))


def count_bytes(strategy, train_step, batch):
    """Bytes that one replica gives to collective operations in a step."""
    import tensorflow as tf

    step = tf.function(lambda data: strategy.run(train_step, args=(data,)))
    graph = step.get_concrete_function(tuple(map(tf.constant, batch))).graph
    graphs = [graph, *[function.graph for function in graph._functions.values() if hasattr(function, "graph")]]
    given = [
        op.inputs[0]
        for each in graphs
        for op in each.get_operations()
        if op.type.startswith("Collective") and op.inputs
    ]
    return sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in given)


def measure(args, workers, global_batch):
    """Examples a second on some workers: the median of the slowest worker's measurements."""
    command = [sys.executable, "-m", __spec__.name, *sys.argv[1:], "--role=run", f"--global-batch={global_batch}"]
    options = {"stdout": subprocess.PIPE, "text": True}
    if workers == 1:
        processes = [subprocess.Popen([*command, "--core=0"], **options)]
    else:
        processes = start_workers(lambda index: [*command, f"--core={index}"], workers, **options)
    seconds = [_last_line(process) for process in processes]
    slowest = [max(times) for times in zip(*seconds, strict=True)]
    return args.steps * global_batch / statistics.median(slowest)


def _last_line(process):
    stdout, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"A worker has failed with exit code {process.returncode}")
    return json.loads(stdout.splitlines()[-1])


def main():
    args = parse()
    if args.role:
        return {"run": run, "count": count}[args.role](args)
    configurations = {
        "one worker": (1, args.batch_size),
        "two workers, same global batch": (2, args.batch_size),
        "two workers, same batch for each": (2, 2 * args.batch_size),
    }
    rates = {name: [] for name in configurations}
    for _ in range(args.rounds):
        for name, (workers, global_batch) in configurations.items():
            rates[name].append(measure(args, workers, global_batch))
            print(f"{name}: {rates[name][-1]:,.0f} examples/s", file=sys.stderr, flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    counters = start_workers(
        [sys.executable, "-m", __spec__.name, *sys.argv[1:], "--role=count"], 2, stdout=subprocess.PIPE, text=True
    )
    from benchmarks.machine import describe_machine

    result = {
        "target": args.target,
        "dataset": args.dataset,
        "batch_size": args.batch_size,
        "examples_per_second": medians,
        "all_rounds": rates,
        "speedup": {name: rate / medians["one worker"] for name, rate in medians.items()},
        "all_reduced_in_a_step": [_last_line(process) for process in counters].pop(),
        "machine": describe_machine(),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        (args.output / "scaling.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
