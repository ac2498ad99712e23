"""One quantization-aware training with tensorflow-model-optimization: always a process of its own.

Importing it turns the process to legacy Keras for good, so nothing imports this module; `quantization_aware.py` runs it
with a folder that holds the job (job.json), the weights and the data, and where it leaves model.tflite and the weights.
"""

import inspect
import json
import os
import pathlib
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # for TensorFlow's converter too, whatever is imported first

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras import quant_ops


class SelectFeatures(tf_keras.layers.Layer):
    """The layer of that name in cvhn_tf, which cannot be imported beside legacy Keras."""

    def __init__(self, indices, **kwargs):
        super().__init__(**kwargs)
        self.indices = indices

    def call(self, inputs):
        return tf.gather(inputs, self.indices, axis=1)

    def get_config(self):
        return {**super().get_config(), "indices": self.indices}


class KeepZeros(tf_keras.callbacks.Callback):
    """Puts back to zero, after each step, the weights that were zero before the training.

    tfmot's own scheme for this, `Default8BitPrunePreserveQuantizeScheme`, leaves depthwise kernels and biases out.

    Args:
        variables: List of variables.
    """

    def __init__(self, variables):
        super().__init__()
        self._kept = [(variable, variable.numpy() != 0) for variable in variables]

    def on_train_batch_end(self, batch, logs=None):
        for variable, kept in self._kept:
            variable.assign(tf.where(kept, variable, tf.zeros_like(variable)))


def build(job, weights):
    """The job's graph of layers in legacy Keras; `weights` are those of its layers one after the other."""
    tensors = {job["input"]: tf_keras.Input(job["input_shape"], name=job["input"])}
    for name, kind, arguments, inputs in job["layers"]:
        make = SelectFeatures if kind == "SelectFeatures" else getattr(tf_keras.layers, kind)
        given = [tensors[key] for key in inputs]
        layer = make(name=name, **arguments)
        tensors[name] = layer(given if len(given) > 1 else given[0])
        layer.set_weights([next(weights) for _ in layer.weights])
    return tf_keras.Model(tensors[job["input"]], tensors[job["output"]])


def quantized(model):
    """The model with quantized weights and activations in its graph; it shares no weights with `model`."""

    def annotate(layer):
        is_plain = isinstance(layer, SelectFeatures)  # tfmot knows nothing of it, and it computes nothing
        return layer if is_plain else tfmot.quantization.keras.quantize_annotate_layer(layer)

    annotated = tf_keras.models.clone_model(model, clone_function=annotate)
    annotated.set_weights(model.get_weights())
    with tfmot.quantization.keras.quantize_scope({"SelectFeatures": SelectFeatures}):
        return tfmot.quantization.keras.quantize_apply(annotated)


def follow_activations(decay):
    """Lets the ranges of activations follow the batches at once.

    tfmot begins at ±6 and averages over thousands of steps, which a short training does not have.
    """
    average = quant_ops.MovingAvgQuantize
    quant_ops.MovingAvgQuantize = lambda *args, **options: average(*args, **{**options, "ema_decay": decay})


def weights_of(model, layers):
    """The variables of each layer that `layers` names, in Keras's order."""
    wrappers = [model.get_layer(f"quant_{name}") for name, kind, *_ in layers if kind != "SelectFeatures"]
    return [v for wrapper in wrappers for v in (*wrapper.trainable_weights, *wrapper.layer.non_trainable_weights)]


def make_loss(loss):
    """A loss by its name, or by class name and the config that Keras 3 gave it."""
    if isinstance(loss, str):
        return loss
    kind = getattr(tf_keras.losses, loss["class_name"])
    known = inspect.signature(kind.__init__).parameters
    return kind(**{key: value for key, value in loss["config"].items() if key in known})


def main(folder):
    job = json.loads((folder / "job.json").read_text())
    tf_keras.utils.set_random_seed(job["seed"])
    x, y = np.load(folder / "x.npy", allow_pickle=False), np.load(folder / "y.npy", allow_pickle=False)
    steps = job["epochs"] * -(-len(x) // job["batch_size"])
    with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
        model = build(job, (arrays[f"arr_{i}"] for i in range(len(arrays.files))))
    follow_activations(job["averages_decay"])
    network = quantized(model)
    schedule = tf_keras.optimizers.schedules.PolynomialDecay(job["learning_rate"], steps, 0.0)
    network.compile(tf_keras.optimizers.Adam(schedule), make_loss(job["loss"]))
    variables = weights_of(network, job["layers"])
    trainable = {id(variable) for variable in network.trainable_weights}
    network.fit(
        x,
        y,
        batch_size=job["batch_size"],
        epochs=job["epochs"],
        verbose=2 if job["verbose"] else 0,
        callbacks=[KeepZeros([variable for variable in variables if id(variable) in trainable])],
    )
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "model.tflite").write_bytes(converter.convert())
    np.savez(folder / "trained.npz", *(variable.numpy() for variable in variables))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
