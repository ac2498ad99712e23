"""Keras models as TensorFlow's converter reads them, each written once for all of its encodings."""

import pathlib
import shutil
import tempfile
import threading
import weakref

import keras
import tensorflow as tf

# TensorFlow notes in a class what the next converter is made from, and the file tells it.
_one_converter_at_a_time = threading.Lock()


class SavedModels:
    """SavedModels in a temporary folder, which is removed with this object.

    To write one takes longer than to convert it, if the network is small.

    ```python
    saved = SavedModels()
    converters = [saved.converter(keras_model) for _ in quantizations]
    ```

    The weights of a model are those of its first conversion.
    """

    def __init__(self):
        self._folder = pathlib.Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._written = {}

    def converter(self, keras_model):
        """A new `tf.lite.TFLiteConverter` of a functional or Sequential Keras model."""
        if id(keras_model) not in self._written:
            path = str(self._folder / str(len(self._written)))
            self._written[id(keras_model)] = keras_model, _write(keras_model, path)  # the model too: ids are reused
        _, path = self._written[id(keras_model)]
        with _one_converter_at_a_time:
            if path is None:
                return tf.lite.TFLiteConverter.from_keras_model(keras_model)  # which has another way for such models
            return tf.lite.TFLiteConverter.from_saved_model(path, ["serving_default"])


def _write(keras_model, path):
    """Writes a model's inference as `TFLiteConverter.from_keras_model` does; gives the path, None if that fails."""
    signature = [tf.TensorSpec(tensor.shape, tensor.dtype, tensor.name) for tensor in keras_model.inputs]
    archive = keras.export.ExportArchive()
    try:
        archive.track(keras_model)
        archive.add_endpoint(
            "serve",
            lambda inputs: keras_model(inputs, training=False),
            signature if len(signature) == 1 else [signature],
        )
        archive.write_out(path, verbose=False)
    except Exception:  # whatever a layer's own code raises
        return None
    return path
