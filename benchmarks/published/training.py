"""One training of `paper.py`: by its name, as the authors had it or at the package's defaults; and what it measures."""

import dataclasses
import itertools
import time

import numpy as np

COMPLEXITY_RANGE = (1e-3, 1e2)
SPARSITIES = (0.0, 0.5, 0.7, 0.8, 0.9)
_CALIBRATION_EXAMPLES = 1000
SCOPES = ("layer", "global")  # the authors prune each layer by itself, this package by default all of them together


def use_one_thread():
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)  # trainings side by side share it


def train(name, seed, complexities, *, dataset, target, epochs, batch_size, examples=None, lowest_pixel=-1):
    """Trains a model and measures it on the test data.

    Args:
        name: A method, such as `"var-linear"` or `"defaults"`; separate networks bear their complexity behind it:
            `"var-separate_0.01"`.
        seed: Seed of the initial weights, the order of the data, and the noise.
        complexities: Where a hypernetwork is measured.
        dataset: Name of the data set.
        target: Name of the target network.
        epochs: Number of epochs.
        batch_size: Number of examples of a step.
        examples: Number of training examples, the first ones; by default all.
        lowest_pixel: What black is for the network: -1, as the authors had it, or 0. White is 1.

    Returns:
        Dict with the seconds of `fit`, the number of steps, the machine, and the rows of `measure`.
    """
    import keras

    from benchmarks.machine import describe_machine
    from cvhn_tf import datasets, targets

    keras.utils.set_random_seed(seed)
    data = scale_pixels(datasets.load(dataset), lowest_pixel)
    x, y = data.x_train[:examples], data.y_train[:examples]
    steps = epochs * -(-len(x) // batch_size)
    method, _, complexity = name.partition("_")
    if complexity:
        complexities = [float(complexity)]
    network = targets.get(target, data.input_shape, data.num_classes)
    model, optimizer = build(method, network, complexities, steps, seed)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    start = time.perf_counter()
    shuffle = method == "defaults"  # the authors keep one order of the examples
    model.fit(x, y, batch_size=batch_size, epochs=epochs, shuffle=shuffle, verbose=0)
    seconds = time.perf_counter() - start
    rows = measure(model, data, complexities)
    return {"seconds": seconds, "steps": steps, "machine": describe_machine(), "rows": rows}


def scale_pixels(data, lowest):
    """The data set with pixels from `lowest` to 1 in the place of 0 to 1."""
    x_train, x_test = (lowest + (1 - lowest) * x for x in (data.x_train, data.x_test))
    return dataclasses.replace(data, x_train=x_train, x_test=x_test)


def build(method, target, complexities, steps, seed):
    """The model of a method and its optimizer; a separate network is for the first of the complexities."""
    import keras

    import cvhn_tf
    from cvhn_tf import parameterizations, priors

    if method == "defaults":
        model = cvhn_tf.VariationalHypernetwork(target, complexity_range=COMPLEXITY_RANGE, seed=seed)
        return model, cvhn_tf.default_optimizer(steps)
    prior, layout = method.split("-")
    one_complexity = (complexities[0] * 0.9999, complexities[0] * 1.0001)  # a range so narrow that it is one
    parameterization, complexity_range, complexity_samples = {
        "separate": (parameterizations.Constant(), one_complexity, 1),
        "linear": (parameterizations.Linear(), COMPLEXITY_RANGE, 5),
        "piecewise": (parameterizations.PiecewiseLinear(6), COMPLEXITY_RANGE, 5),
    }[layout]
    model = cvhn_tf.VariationalHypernetwork(
        target,
        complexity_range=complexity_range,
        parameterization=parameterization,
        # The authors' penalty is λ ‖w‖² / N, without the ½ of a normal prior.
        prior={"base": priors.L2(0.5**0.5), "var": priors.Normal(1.0), "rep": priors.ScaledNormal(1.0)}[prior],
        estimator="deterministic" if prior == "base" else "weight_sampling",
        complexity_samples=complexity_samples,
        kl_warmup=0,
        initial_stddev=float(np.exp(-3)),
        seed=seed,
    )
    return model, keras.optimizers.Adam(5e-4, clipvalue=1.0)


def measure(model, data, complexities):
    """A row for each complexity: NLL and description length before pruning, and accuracy at each sparsity.

    Batch normalization has the statistics of each pruned network on some training examples, not those of training,
    which mix all complexities and know nothing of pruning.
    """
    from cvhn_tf import export

    network = model.at(complexities[0])  # one for all, so that its graph is traced once
    rows = []
    for complexity in complexities:
        row = {"complexity": complexity, "nll": None, "kl_bits": model.description_length(complexity)}
        for scope, sparsity in itertools.product(SCOPES, SPARSITIES):
            pruned = export.prune(model, complexity, sparsity, scope=scope)
            network.set_weights(export.recalibrate(pruned, data.x_train[:_CALIBRATION_EXAMPLES]).get_weights())
            outputs = network.predict(data.x_test, batch_size=1000, verbose=0)
            row[column_of(sparsity, scope)] = float(np.mean(outputs.argmax(1) == data.y_test))
            if sparsity == 0:
                likelihood = outputs[np.arange(len(outputs)), data.y_test]
                row["nll"] = float(-np.mean(np.log(np.maximum(likelihood, 1e-12))))
        rows.append(row)
    return rows


def column_of(sparsity, scope="layer"):
    """Name of the column of the accuracy at a sparsity of each layer, or of all layers together."""
    return f"accuracy_{sparsity:.0%}_pruned" + ("_global" if scope == "global" else "")
