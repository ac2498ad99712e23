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
