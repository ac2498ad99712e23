"""Quantization-aware training, by tensorflow-model-optimization in a process of its own."""

import contextlib
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from cvhn_tf.checks.arguments import check_integer
from cvhn_tf.checks.arrays import as_input_arrays
from cvhn_tf.export.clients.checks import check_client_computes
from cvhn_tf.export.clients.table import as_client
from cvhn_tf.export.conversion.convert import to_tflite
from cvhn_tf.export.networks.rebuild import as_functional
from cvhn_tf.export.networks.select_features import SelectFeatures
from cvhn_tf.export.pruning.finetune import check_training, copy_of, short_momentum
from cvhn_tf.export.quantization_aware_training.verified_file import verified_file
from cvhn_tf.export.tflite.artifact import TFLiteArtifact
from cvhn_tf.export.verification.verify import ConversionError, OutputsDifferError
from cvhn_tf.training.data import TrainingData

# The layers that tfmot quantizes, and the arguments of them that legacy Keras shares.
_POOLING = ("pool_size", "strides", "padding")
_ARGUMENTS = {
    keras.layers.Activation: ("activation",),
    keras.layers.Add: (),
    keras.layers.AveragePooling2D: _POOLING,
    keras.layers.BatchNormalization: ("axis", "momentum", "epsilon", "center", "scale"),
    keras.layers.Concatenate: ("axis",),
    keras.layers.Conv2D: (
        *("filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "activation", "use_bias"),
    ),
    keras.layers.Dense: ("units", "activation", "use_bias"),
    keras.layers.DepthwiseConv2D: (
        *("kernel_size", "strides", "padding", "depth_multiplier", "dilation_rate", "activation", "use_bias"),
    ),
    keras.layers.Dropout: ("rate",),
    keras.layers.Flatten: (),
    keras.layers.GlobalAveragePooling2D: ("keepdims",),
    keras.layers.GlobalMaxPooling2D: ("keepdims",),
    keras.layers.MaxPooling2D: _POOLING,
    keras.layers.ReLU: ("max_value", "negative_slope", "threshold"),
    keras.layers.Reshape: ("target_shape",),
    keras.layers.Softmax: ("axis",),
    keras.layers.ZeroPadding2D: ("padding",),
    SelectFeatures: ("indices",),
}
_ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "tanh")
# Enough to see layers that never fire.
_CALIBRATED_BEFOREHAND = 64
# Batch normalization is quantized as a part of one of these before it.
_NORMALIZED = (keras.layers.Conv2D, keras.layers.Dense, keras.layers.DepthwiseConv2D)


def quantization_aware(
    model: keras.Model,
    x: Any,
    y: Any,
    epochs: int = 3,
    loss: str | keras.losses.Loss = "sparse_categorical_crossentropy",
    learning_rate: float = 1e-3,
    batch_size: int = 256,
    seed: int = 0,
    client: str | Sequence[str] = "any",
    verbose: bool = False,
) -> tuple[TFLiteArtifact, keras.Model]:
    """Trains a network on, with weights and activations rounded to 8 bits as its file will, and makes the int8 file.

    For networks that lose accuracy with `to_tflite(…, quantization="int8")`, which only measures ranges. Weights that
    are zero stay zero, so this goes behind `prune` and `compact`.

    tensorflow-model-optimization does the work; it needs legacy Keras and so a process of its own.
    Covered are models of one input and one output made of Activation, Add, AveragePooling2D, Concatenate, Conv2D,
    Dense, DepthwiseConv2D, Dropout, Flatten, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D, ReLU, Reshape,
    Softmax, ZeroPadding2D, the feature selection of `compact`, and BatchNormalization right behind Conv2D, Dense or
    DepthwiseConv2D without an activation. Activations are linear, relu, sigmoid, softmax and tanh. Not covered are
    layers that are called twice, frozen ones, models within the model, and channels first.

    Args:
        model: Built functional or Sequential Keras model. It is not changed.
        x: Array of examples.
        y: Array of their targets.
        epochs: Passes over the data, at least 1.
        loss: Name of a loss, or one from `keras.losses` that legacy Keras has too.
        learning_rate: Learning rate of the first step; it falls to zero linearly.
        batch_size: Examples per step.
        seed: Seed of the order of the examples.
        client: As in `to_tflite`: what will run the file.
        verbose: Whether to print a line for each epoch. The graph of a MobileNet takes a minute before the first.

    Returns:
        Pair of the verified file and a Keras model with the trained weights, in float.

    Raises:
        ImportError: If tensorflow-model-optimization is not installed.
        ValueError: If a layer is not covered or an argument is out of range; before any training.
        ConversionError: Before any training if LiteRT cannot run an int8 file of the network, as where all units of a
            layer never fire. Behind it if the training fails, or the outputs of its file are far from those of the
            network and its accuracy, where the targets are classes, is lower too.

    Reference: [Jacob et al., 2018](https://arxiv.org/abs/1712.05877).
    """
    check_training(epochs, learning_rate, batch_size)
    check_integer("seed", seed, at_least=0, below=2**31)
    runner = as_client(client)
    check_client_computes(runner, "int8")
    if importlib.util.find_spec("tensorflow_model_optimization") is None:
        raise ImportError(
            "Quantization-aware training needs tensorflow-model-optimization: pip install 'cvhn-tf[quantization-aware]'"
        )
    serialized_loss = _serialize(loss)
    trained = copy_of(model)
    graph, layers = describe(trained)
    (x,) = as_input_arrays(trained, x)
    y = np.asarray(y)
    if len(x) != len(y):
        raise ValueError(f"Expected as many targets as examples. Received: {len(x)} examples and {len(y)} targets")
    data = TrainingData(x, y, batch_size, None, None)
    data.check_finite()
    data.check_labels(loss, trained.outputs)
    _check_beforehand(trained, x, runner)
    momentum = short_momentum(data.count_batches() * epochs)
    for _, _, arguments, _ in graph["layers"]:
        if "momentum" in arguments:
            arguments["momentum"] = min(arguments["momentum"], momentum)
    job = {
        **graph,
        "epochs": int(epochs),
        "learning_rate": float(learning_rate),
        "batch_size": int(batch_size),
        "loss": serialized_loss,
        "seed": int(seed),
        "averages_decay": min(0.999, momentum),
        "verbose": bool(verbose),
    }
    content, weights = _run(job, x, y, [weight for layer in layers for weight in layer.get_weights()])
    for layer in layers:
        count = len(layer.weights)
        layer.set_weights(weights[:count])
        weights = weights[count:]
    return verified_file(content, trained, x, y, runner), trained


def _check_beforehand(model, x, client):
    """Raises a `ConversionError` if LiteRT would not run the int8 file: what no training mends is known before it.

    How far the outputs are off is what the training is for.
    """
    chosen = np.linspace(0, len(x) - 1, min(len(x), _CALIBRATED_BEFOREHAND)).round().astype(int)
    with contextlib.suppress(OutputsDifferError):
        to_tflite(model, "int8", representative_data=x[chosen], client=client)


def describe(model):
    """The model's graph as plain values, of which legacy Keras can make it, and its layers in the same order.

    Raises:
        ValueError: If a part of the model is not covered.
    """
    graph = as_functional(model)
    if graph is None or len(graph.inputs) != 1 or len(graph.outputs) != 1 or isinstance(graph._outputs_struct, dict):
        raise ValueError(
            "Expected a model of one input and one output, which is no dict, without layers of its own. "
            f"Received: {model!r}"
        )
    by_depth = [graph._nodes_by_depth[depth] for depth in sorted(graph._nodes_by_depth, reverse=True)]
    nodes = [node for nodes in by_depth for node in nodes if not node.is_input]
    layers = [node.operation for node in nodes]
    descriptions = []
    for node in nodes:
        layer, inputs = node.operation, [tensor._keras_history.operation for tensor in node.input_tensors]
        problem = _problem(layer, inputs, layers.count(layer))
        if problem:
            raise ValueError(
                "Expected layers that quantization-aware training covers; its docstring lists them. "
                f"Received: layer {layer.name!r} ({type(layer).__name__}), {problem}"
            )
        config = layer.get_config()
        arguments = {key: config[key] for key in _ARGUMENTS[type(layer)]}
        descriptions.append((layer.name, type(layer).__name__, arguments, [i.name for i in inputs]))
    (source,) = graph.inputs
    return {
        "input": source._keras_history.operation.name,
        "input_shape": source.shape[1:],
        "output": graph.outputs[0]._keras_history.operation.name,
        "layers": descriptions,
    }, layers


def _problem(layer, inputs, uses):
    """What of a layer is not covered, in words; None if nothing."""
    if type(layer) not in _ARGUMENTS:
        return "which is not among them"
    if uses > 1:
        return "which is called more than once"
    if layer.weights and not layer.trainable:
        return "which is frozen"
    if any(not weight.trainable for weight in layer._trainable_variables):
        return "a weight of which is frozen"
    config = layer.get_config()
    if config.get("data_format") == "channels_first":
        return "with channels first"
    if config.get("activation", "linear") not in _ACTIVATIONS:
        return f"with activation {config['activation']!r}"
    if isinstance(layer, keras.layers.BatchNormalization):
        (before,) = inputs
        if type(before) not in _NORMALIZED or before.get_config()["activation"] != "linear":
            return f"behind {before.name!r}, which is not Conv2D, Dense or DepthwiseConv2D without an activation"
    return None


def _serialize(loss):
    """A loss as its name, or as class name and config.

    Raises:
        ValueError: If it is none of Keras's own.
    """
    if isinstance(loss, str):
        keras.losses.get(loss)
        return loss
    name = type(loss).__name__
    if not isinstance(loss, keras.losses.Loss) or getattr(keras.losses, name, None) is not type(loss):
        raise ValueError(f"Expected `loss` to be the name of a loss, or one of `keras.losses`. Received: loss={loss!r}")
    return {"class_name": name, "config": loss.get_config()}


def _run(job, x, y, weights):
    """The file's bytes and the trained weights."""
    with tempfile.TemporaryDirectory(prefix="cvhn_tf-") as folder:
        folder = pathlib.Path(folder)
        (folder / "job.json").write_text(json.dumps(job))
        np.save(folder / "x.npy", x)
        np.save(folder / "y.npy", y)
        np.savez(folder / "weights.npz", *weights)
        script = pathlib.Path(__file__).with_name("process.py")
        with open(folder / "errors", "w+") as errors:
            # -P: the modules beside the script are no top-level ones.
            with subprocess.Popen(
                [sys.executable, "-P", script, folder],
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process:
                try:
                    for line in process.stdout:
                        if job["verbose"]:  # by `print`, which a notebook shows too
                            print(line, end="", flush=True)
                except BaseException:
                    process.kill()
                    raise
            if process.returncode:
                errors.seek(0)
                lines = errors.read().strip().splitlines() or [f"exit code {process.returncode}"]
                raise ConversionError(f"Quantization-aware training failed: {lines[-1]}")
        with np.load(folder / "trained.npz", allow_pickle=False) as arrays:
            trained = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
        return (folder / "model.tflite").read_bytes(), trained
