"""Trainings with tensorflow-model-optimization, each in a process of its own: `process.py`."""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from cvhn_tf.export.quantization_aware_training.train import describe


def train_with_tfmot(network, data, method, sparsity, epochs, batch_size, seed, start=False, move=0):
    """Gives a network the weights that a method of tfmot trains.

    Args:
        network: Keras model, whose weights change.
        data: `Dataset`.
        method: `"prune_low_magnitude"` or `"cluster_weights"`.
        sparsity: Of the first; 0 for the second.
        epochs, batch_size, seed: Of the training.
        start: Whether it begins with the network's weights, and not with new ones.
        move: As `pixels` of `moved`.

    Returns:
        Seconds of the training.
    """
    graph, layers = describe(network)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        np.savez(folder / "data.npz", x_train=data.x_train, y_train=data.y_train)
        np.savez(folder / "start.npz", *(weight for layer in layers for weight in layer.get_weights()))
        job = {
            "graph": graph,
            "start": str(folder / "start.npz") if start else None,
            "method": method,
            "sparsity": sparsity,
            "epochs": epochs,
            "batch_size": batch_size,
            "seed": seed,
            "move": move,
            "data": str(folder / "data.npz"),
            "result": str(folder / "result.npz"),
        }
        (folder / "job.json").write_text(json.dumps(job))
        subprocess.run([sys.executable, "-m", "benchmarks.accuracy.tfmot.process", folder / "job.json"], check=True)
        with np.load(folder / "result.npz", allow_pickle=False) as result:
            weights = iter([result[f"arr_{i}"] for i in range(len(result.files) - 1)])
            for layer in layers:
                layer.set_weights([next(weights) for _ in layer.weights])
            return float(result["seconds"])
