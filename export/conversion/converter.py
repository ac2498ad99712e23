"""TensorFlow's converter: a run of it with what an encoding asks for."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_sparsify

from cvhn_tf.export.conversion.reasons import reason_of
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.verification.quiet import converter_off
from cvhn_tf.export.verification.verify import ConversionError


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What an encoding whose activations are integers takes their ranges from.

    Args:
        examples: List of arrays, one for each input.
        integer_only: As in `to_tflite`.
    """

    examples: list[np.ndarray]
    integer_only: bool

    def one_by_one(self):
        """The examples, as TensorFlow's converter asks for them."""
        return ([array[i : i + 1] for array in self.examples] for i in range(len(self.examples[0])))


def converted(graphs, keras_model, quantization, sparse, calibration, scale_of_kernel=False) -> bytes:
    """The converter's file of a Keras model.

    Args:
        graphs: `FrozenGraphs`.
        keras_model: Built functional or Sequential Keras model.
        quantization: As in `to_tflite`, of those that TensorFlow's converter makes.
        sparse: Whether to store zeros in the sparse encoding.
        calibration: `Calibration`, or None where activations stay floats.
        scale_of_kernel: Whether Dense kernels of integers have one scale, and not one for each unit.

    Raises:
        ConversionError: If the converter fails.
    """
    try:
        return _run_converter(graphs, keras_model, quantization, sparse, calibration, scale_of_kernel)
    except ConversionError:
        raise
    except Exception as error:
        # Recurrent layers convert only with a batch size that is known.
        try:
            single = graphs.once(_with_batch_of_one, keras_model)
            return _run_converter(graphs, single, quantization, sparse, calibration, scale_of_kernel)
        except Exception:
            raise ConversionError(f"TensorFlow's converter failed: {reason_of(error)}") from error


def check_has_no_loop(keras_model):
    """Raises a `ConversionError` if a layer is a loop.

    TensorFlow's calibration of activations inside one ends the whole process, so it must not begin.
    """
    for layer in keras_model._flatten_layers():
        if isinstance(layer, keras.layers.RNN) and not layer.unroll:
            raise ConversionError(
                f"Layer '{layer.name}' ({type(layer).__name__}) is a loop, whose activations cannot be calibrated for "
                "8 bits. Expected `unroll=True` in the layer, or another quantization"
            )


def _run_converter(graphs, keras_model, quantization, sparse, calibration, scale_of_kernel):
    with converter_off():
        frozen = graphs.frozen(keras_model)
        dense = graphs.once(_dense_file, frozen, quantization, calibration, scale_of_kernel)
        return mlir_sparsify(dense) if sparse else dense


def _dense_file(frozen, quantization, calibration, scale_of_kernel):
    converter = frozen.converter()
    converter._experimental_disable_per_channel_quantization_for_dense_layers = scale_of_kernel
    if quantization is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if ENCODINGS[quantization].bits == 16:
        converter.target_spec.supported_types = [tf.float16]
    elif ENCODINGS[quantization].calibrated:
        converter.representative_dataset = calibration.one_by_one
        if calibration.integer_only:
            converter.inference_input_type = converter.inference_output_type = tf.int8
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()


def _with_batch_of_one(keras_model):
    inputs = [keras.Input(batch_shape=(1, *t.shape[1:]), dtype=t.dtype, name=t.name) for t in keras_model.inputs]
    structure = getattr(keras_model, "_inputs_struct", inputs[0])
    return keras.Model(
        inputs,
        keras_model(inputs[0] if len(inputs) == 1 else keras.tree.pack_sequence_as(structure, inputs)),
        name=keras_model.name,  # else numbered anew each time, and the file would hold the number
    )
