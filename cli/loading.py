"""TensorFlow, saved models and data sets, loaded quietly and only once a command needs them."""

import os
import sys


def start_tensorflow():
    """Imports TensorFlow without the notices that it writes to the process's stderr, which no setting silences."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            import cvhn_tf.export  # noqa: F401  # before TensorFlow: it says what is missing or too old
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")


def load_model(path):
    """Loads the hypernetwork that `train` wrote to `path`."""
    if not path.is_file():  # known at once, without TensorFlow
        raise ValueError(f"Expected a model file that `cvhn-tf train` wrote. Received: {path}, which is not there")
    start_tensorflow()
    import cvhn_tf

    return cvhn_tf.load_model(path, compile=False)


def load_trained(path, dataset):
    """Loads the trained Keras model at `path`, and checks that it tells probabilities of the data set's classes."""
    import keras

    import cvhn_tf
    from cvhn_tf.checks.errors import with_cause
    from cvhn_tf.files.archive import check_archive

    expected = "Expected `--from` to be a .keras file of a trained Keras model"
    try:
        check_archive(path)
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a class's `from_config` may raise
        raise ValueError(f"{expected}. Received: --from={path}, {with_cause(error)}") from error
    if isinstance(network, cvhn_tf.VariationalHypernetwork) or not isinstance(network, keras.Model):
        raise ValueError(f"{expected}. Received: --from={path}, which holds a {type(network).__name__}")
    try:
        outputs = network.predict(dataset.x_train[:32], verbose=0)
        fits = outputs.shape == (32, dataset.num_classes)
    except Exception as error:  # Keras and TensorFlow raise many kinds where shapes do not fit
        outputs, fits = with_cause(error), False
    if not fits:
        received = outputs if isinstance(outputs, str) else f"outputs of shape {getattr(outputs, 'shape', 'unknown')}"
        raise ValueError(
            f"Expected `--from` to hold a model of images {dataset.input_shape} in {dataset.num_classes} classes, as "
            f"{dataset.name} has them. Received: --from={path}: {received}"
        )
    if (outputs < 0).any() or abs(outputs.sum(axis=-1) - 1).max() > 0.01:
        raise ValueError(
            "Expected `--from` to hold a model whose outputs are probabilities; append keras.layers.Softmax() to "
            f"one that gives logits. Received: --from={path} with outputs that do not sum to 1"
        )
    return network


def load_dataset(name, model=None):
    """Loads a data set, and checks that its images fit `model` if one is given."""
    from cvhn_tf import datasets

    dataset = datasets.load(name)
    if model is not None:
        network = model.at(model.complexity_range.low)
        expected = (tuple(network.input_shape[1:]), network.output_shape[-1])
        received = (dataset.input_shape, dataset.num_classes)
        if expected != received:
            raise ValueError(
                f"Expected a data set of images {expected[0]} in {expected[1]} classes, as the model was trained on. "
                f"Received: --dataset={name} with images {received[0]} in {received[1]} classes"
            )
    return dataset
