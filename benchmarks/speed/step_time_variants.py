"""What `step_time.py` measures: targets, the ways of training them, and one measurement of each.

TensorFlow and PyTorch are imported by the process that measures, and not before.
"""

import dataclasses
import importlib.util
import resource
import statistics
import sys
import time

# Of a published step: each of the complexities sees the whole batch.
AUTHORS_COMPLEXITIES = 5


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a target is trained on: random images.

    Attributes:
        shape: Shape of an image.
        batch_size: Number of examples of a step.
        steps: Number of steps of a measurement.
        bar: Ratio to Keras that the defaults should stay below; None where none is set.
        at_once: Number of variants whose processes take turns: as many as there is memory for, three with 16 GB.
    """

    shape: tuple[int, int, int]
    batch_size: int
    steps: int
    bar: float | None = None
    at_once: int = 9


SETTINGS = {
    "mlp_50": Setting((28, 28, 1), 256, 200),
    "lenet_300_100": Setting((28, 28, 1), 256, 100, bar=3.0),
    "lenet_5": Setting((28, 28, 1), 256, 60, bar=2.3),
    "convnet": Setting((32, 32, 3), 128, 12, bar=2.3),
    "mobilenet_v2": Setting((96, 96, 3), 32, 6, bar=3.0, at_once=3),
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way of training.

    Attributes:
        kind: "keras", "hypernetwork", "tfp" or "authors".
        arguments: Of `VariationalHypernetwork`.
        pivots: Number of pivots where it is piecewise linear; 2 is linear.
        batch_factor: The batch is this many times that of the setting.
        threads: Number of threads where it is not that of all.
    """

    kind: str = "hypernetwork"
    arguments: dict = dataclasses.field(default_factory=dict)
    pivots: int | None = None
    batch_factor: int = 1
    threads: int | None = None

    def pairs(self, batch_size) -> int:
        """Pairs of an example and a complexity that a step passes forward and backward."""
        return batch_size * self.batch_factor * (AUTHORS_COMPLEXITIES if self.kind == "authors" else 1)


KERAS = Variant("keras")
# The processes of a group, or of as many of its variants as there is memory for, take turns with one of plain Keras.
GROUPS = {
    "estimators": {
        "defaults: 1 λ": Variant(),
        "4 λ": Variant(arguments={"complexity_samples": 4}),
        "gated": Variant(arguments={"parameterization": "gated"}),
        "flipout": Variant(arguments={"estimator": "flipout"}),
        "weight_sampling": Variant(arguments={"estimator": "weight_sampling"}),
        "deterministic, l2": Variant(arguments={"estimator": "deterministic", "prior": "l2"}),
        "constant": Variant(arguments={"parameterization": "constant"}),
        "TFP-style weight sampling": Variant("tfp"),
    },
    "pivots": {
        f"piecewise_linear, {pivots} pivots, {samples} λ": Variant(
            arguments={"complexity_samples": samples}, pivots=pivots
        )
        for samples in (1, 4)
        for pivots in (2, 5, 9)
    },
    "authors": {
        "defaults: 1 λ": Variant(),
        "1 λ, batch × 5": Variant(batch_factor=5),
        "5 λ, batch × 5": Variant(arguments={"complexity_samples": 5}, batch_factor=5),
        "linear, 5 λ, batch × 5": Variant(arguments={"complexity_samples": 5}, pivots=2, batch_factor=5),
        "authors, linear": Variant("authors", pivots=2),
        "authors, piecewise-linear, 6 pivots": Variant("authors", pivots=6),
        # PyTorch's threads wait for each other in small operations, at some cost where they have no core of their own.
        "authors, linear, 1 thread": Variant("authors", pivots=2, threads=1),
        "authors, piecewise-linear, 6 pivots, 1 thread": Variant("authors", pivots=6, threads=1),
    },
}
QUICK = ("defaults: 1 λ", "5 λ, batch × 5", "TFP-style weight sampling", "authors, linear, 1 thread")


def variants_of(group, target, quick=False) -> dict[str, Variant]:
    """The variants of a group by name; none where the group is not for the target."""
    if group == "authors" and target != "mlp_50":
        return {}
    return {
        name: variant
        for name, variant in GROUPS[group].items()
        if (not quick or name in QUICK) and (variant.kind != "authors" or has_torch())
    }


def has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def measure(connection, target, variant, batch_size, steps, threads):
    """A process: for each message that comes it trains for some steps and answers with ms a step and peak MB."""
    prepare = _prepare_torch if variant.kind == "authors" else _prepare_keras
    round_ = prepare(target, variant, batch_size * variant.batch_factor, steps, variant.threads or threads)
    while connection.recv():
        seconds = round_()
        connection.send((1e3 * seconds, peak_mb()))


def peak_mb() -> float:
    """Most memory that this process has held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def make_target(name):
    """A target of the benchmark by name: 10 classes, random weights."""
    import keras

    from cvhn_tf import targets

    if name in targets.names():
        return targets.get(name, SETTINGS[name].shape, 10)
    return {"mobilenet_v2": keras.applications.MobileNetV2}[name](SETTINGS[name].shape, weights=None, classes=10)


def set_threads(threads):
    """Before TensorFlow computes anything; a GPU's memory is left to the other processes too."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def make_examples(shape, examples):
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.random((examples, *shape), "float32"), rng.integers(0, 10, examples)


def _prepare_keras(name, variant, batch_size, steps, threads):
    set_threads(threads)
    import keras

    import cvhn_tf
    from cvhn_tf import parameterizations

    class Clock(keras.callbacks.Callback):
        """Times at the ends of steps; reading the loss waits for a GPU."""

        def on_train_batch_end(self, batch, logs=None):
            if batch in (_untimed(steps) - 1, steps - 1):
                float(logs["loss"])
                times.append(time.perf_counter())

    times = []
    model, optimizer = make_target(name), keras.optimizers.Adam()
    if variant.kind == "hypernetwork":
        arguments = dict(variant.arguments)
        if variant.pivots:
            arguments["parameterization"] = parameterizations.PiecewiseLinear(variant.pivots)
        model, optimizer = cvhn_tf.VariationalHypernetwork(model, **arguments), cvhn_tf.PivotAdam()
    elif variant.kind == "tfp":
        from benchmarks.speed.tfp_weight_sampling import bayesian

        model = bayesian(model, train_size=steps * batch_size)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = make_examples(SETTINGS[name].shape, steps * batch_size)

    def round_():
        times.clear()
        model.fit(x, y, batch_size=batch_size, verbose=0, callbacks=[Clock()])
        first, last = times
        return (last - first) / (steps - _untimed(steps))

    return round_


def _prepare_torch(name, variant, batch_size, steps, threads):
    import torch

    from benchmarks.published import authors_torch

    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, y = make_examples(SETTINGS[name].shape, steps * batch_size)
    x, y = torch.from_numpy(x.reshape(len(x), -1)).to(device), torch.from_numpy(y).to(device)
    network = authors_torch.Hypernetwork((x.shape[1], 50, 10), variant.pivots).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4)

    def round_():
        order = torch.randperm(len(x), device=device)
        for step, batch in enumerate(order.split(batch_size)):
            loss = authors_torch.train_step(network, optimizer, x[batch], y[batch], len(x))
            if step == _untimed(steps) - 1:
                float(loss)
                start = time.perf_counter()
        float(loss)
        return (time.perf_counter() - start) / (steps - _untimed(steps))

    return round_


def _untimed(steps):
    """Steps of each measurement that pass before its clock starts: caches are cold after the others' turns."""
    return max(1, steps // 10)


def measure_export(connection, target, exports, threads):
    """A process: median ms of `at`, and of `prune` and `to_tflite`, over some complexities; and peak MB."""
    set_threads(threads)
    import cvhn_tf
    from cvhn_tf import export

    model = cvhn_tf.VariationalHypernetwork(make_target(target))
    complexities = model.complexity_range.grid(exports + 1)
    results = {}
    for name, make in {
        "at_ms": model.at,
        "prune_and_to_tflite_ms": lambda complexity: export.to_tflite(export.prune(model, complexity, sparsity=0.9)),
    }.items():
        times = []
        for complexity in complexities:
            start = time.perf_counter()
            make(complexity)
            times.append(1e3 * (time.perf_counter() - start))
        results[name] = statistics.median(times[1:])  # the first one compiles
    connection.send({**results, "peak_mb": peak_mb()})
