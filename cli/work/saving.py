"""Keras models written whole or not at all."""

from cvhn_tf.files.atomic import replacing


def save_atomically(model, path):
    """Saves a Keras model to a temporary file beside `path`, and moves it there once it is complete."""
    with replacing(path) as temporary:
        model.save(temporary)
