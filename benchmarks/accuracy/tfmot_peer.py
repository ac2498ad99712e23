"""One training with tensorflow-model-optimization, which works on legacy Keras only: always a process of its own.

Reads a job (JSON: architecture, method, sparsity, epochs, batch size, seed, paths) and writes the weights of the
stripped network, in Keras order, and the seconds that training took. `compression.py` runs it.
"""

import json
import sys
import time

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

# What the reference targets are made of, and the arguments of it that legacy Keras shares.
_ARGUMENTS = {
    "Activation": ("activation",),
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
    "Conv2D": ("filters", "kernel_size", "strides", "padding", "activation", "use_bias"),
    "Dense": ("units", "activation", "use_bias"),
    "Flatten": (),
    "GlobalAveragePooling2D": (),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
}


def build(layers, input_shape):
    stack = [
        getattr(tf_keras.layers, name)(**{key: config[key] for key in _ARGUMENTS[name]}) for name, config in layers
    ]
    return tf_keras.Sequential([tf_keras.Input(input_shape), *stack])


def fit(model, job, data, epochs, callbacks=()):
    steps = epochs * -(-len(data["x"]) // job["batch_size"])
    schedule = tf_keras.optimizers.schedules.CosineDecay(1e-3, steps)
    model.compile(tf_keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
    model.fit(data["x"], data["y"], batch_size=job["batch_size"], epochs=epochs, verbose=0, callbacks=list(callbacks))


def prune_low_magnitude(model, job, data):
    """Sparsity grows over the middle half of the training, so that the network can settle afterwards."""
    steps = job["epochs"] * -(-len(data["x"]) // job["batch_size"])
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=job["sparsity"],
        begin_step=steps // 4,
        end_step=3 * steps // 4,
        frequency=max(1, min(20, steps // 20)),
    )
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
    fit(wrapped, job, data, job["epochs"], [tfmot.sparsity.keras.UpdatePruningStep()])
    stripped = tfmot.sparsity.keras.strip_pruning(wrapped)
    kernels = [weight for weight in stripped.get_weights() if weight.ndim > 1]
    reached = 1 - sum(np.count_nonzero(kernel) for kernel in kernels) / sum(kernel.size for kernel in kernels)
    # Short runs with tfmot's default frequency stay dense without a word.
    assert abs(reached - job["sparsity"]) < 0.01, f"tfmot reached sparsity {reached:.3f} of {job['sparsity']}"
    return stripped


def cluster_weights(model, job, data):
    """Trains, then replaces the weights of each layer by 16 shared values and tunes these for a fifth of the epochs."""
    tuning = max(1, job["epochs"] // 5)
    fit(model, job, data, max(1, job["epochs"] - tuning))
    centroids = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    wrapped = tfmot.clustering.keras.cluster_weights(model, number_of_clusters=16, cluster_centroids_init=centroids)
    fit(wrapped, job, data, tuning)
    return tfmot.clustering.keras.strip_clustering(wrapped)


def main():
    with open(sys.argv[1]) as file:
        job = json.load(file)
    tf_keras.utils.set_random_seed(job["seed"])
    with np.load(job["data"], allow_pickle=False) as arrays:
        data = {"x": arrays["x_train"], "y": arrays["y_train"]}
    model = build(job["layers"], data["x"].shape[1:])
    method = {"prune_low_magnitude": prune_low_magnitude, "cluster_weights": cluster_weights}[job["method"]]
    start = time.perf_counter()
    trained = method(model, job, data)
    seconds = time.perf_counter() - start
    weights = {f"{i:03d}": weight for i, weight in enumerate(trained.get_weights())}
    np.savez(job["result"], seconds=seconds, version=tf.__version__, **weights)


if __name__ == "__main__":
    main()
