"""One training with tensorflow-model-optimization, which works on legacy Keras only: always a process of its own.

Reads a job (JSON: graph, method, sparsity, epochs, batch size, seed, paths, pixels by which images move) and writes the
weights of the stripped network, layer by layer, and the seconds that training took. `jobs.py` runs it.
"""

import json
import sys
import time

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras

from benchmarks.accuracy.tfmot.moved_images import moved


def build(graph, weights):
    """The network of a graph in legacy Keras.

    Args:
        graph: As of `describe`.
        weights: Iterator of those of its layers to begin with, one layer after the other; None for new ones.
    """
    tensors = {graph["input"]: tf_keras.Input(graph["input_shape"], name=graph["input"])}
    for name, kind, arguments, inputs in graph["layers"]:
        layer = getattr(tf_keras.layers, kind)(name=name, **arguments)
        given = [tensors[key] for key in inputs]
        tensors[name] = layer(given if len(given) > 1 else given[0])
        if weights is not None:
            layer.set_weights([next(weights) for _ in layer.weights])
    return tf_keras.Model(tensors[graph["input"]], tensors[graph["output"]])


def fit(model, job, data, epochs, callbacks=()):
    steps = epochs * -(-len(data["x"]) // job["batch_size"])
    schedule = tf_keras.optimizers.schedules.CosineDecay(1e-3, steps)
    model.compile(tf_keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
    batches = moved(data["x"], data["y"], job["batch_size"], job["move"])
    model.fit(batches, epochs=epochs, verbose=0, callbacks=list(callbacks))


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
    weights = None
    if job["start"]:
        with np.load(job["start"], allow_pickle=False) as arrays:
            weights = iter([arrays[f"arr_{i}"] for i in range(len(arrays.files))])
    model = build(job["graph"], weights)
    method = {"prune_low_magnitude": prune_low_magnitude, "cluster_weights": cluster_weights}[job["method"]]
    start = time.perf_counter()
    trained = method(model, job, data)
    seconds = time.perf_counter() - start
    weights = [weight for name, *_ in job["graph"]["layers"] for weight in trained.get_layer(name).get_weights()]
    np.savez(job["result"], *weights, seconds=seconds)


if __name__ == "__main__":
    main()
