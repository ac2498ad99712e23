"""Image classification data sets by name, as NumPy arrays.

```python
digits = cvhn_tf.datasets.load("digits")
digits.x_train.shape  # (1437, 8, 8, 1)
```
"""

import contextlib
import dataclasses
import os
import pathlib
import sys
import tempfile
import urllib.parse

import numpy as np

from cvhn_tf.checks.errors import first_line

_TFDS_NAMES = ("mnist", "fashion_mnist", "cifar10")
_PROBE_SECONDS = 5


class DatasetError(RuntimeError):
    """The data set is known, but neither prepared on this machine nor to be downloaded from here."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Training and test images with their labels.

    Attributes:
        name: The name it was loaded by.
        x_train: Training images, float32 in [0, 1], shape (count, height, width, channels).
        y_train: Training labels, int64 in [0, num_classes), shape (count,).
        x_test: Test images, like `x_train`.
        y_test: Test labels, like `y_train`.
        num_classes: Number of classes.
        classes: Human-readable class names, in label order.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int
    classes: tuple[str, ...]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one image: (height, width, channels)."""
        return self.x_train.shape[1:]


def names() -> tuple[str, ...]:
    """The names that `load` takes."""
    return ("digits", *_TFDS_NAMES)


def load(name: str) -> Dataset:
    """Loads a data set into memory.

    "digits" are the 8×8 digits that come with scikit-learn, split 80/20 with equal class shares: no network, no files.
    The others come from TensorFlow Datasets, in its default folder or the one named by `TFDS_DATA_DIR`, and are
    downloaded and prepared on first use.

    Args:
        name: One of `names()`.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: If `name` is not one of `names()`.
        DatasetError: If the data is not prepared on this machine and cannot be downloaded.
    """
    if name == "digits":
        return _load_digits()
    if name in _TFDS_NAMES:
        return _load_tfds(name)
    raise ValueError(f"Expected `name` to be one of {list(names())}. Received: name={name!r}")


def _load_digits() -> Dataset:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bundle = load_digits()
    images = (bundle.images[..., np.newaxis] / 16.0).astype("float32")
    labels = bundle.target.astype("int64")
    x_train, x_test, y_train, y_test = train_test_split(images, labels, test_size=0.2, random_state=0, stratify=labels)
    return Dataset("digits", x_train, y_train, x_test, y_test, 10, tuple(str(name) for name in bundle.target_names))


def _load_tfds(name: str) -> Dataset:
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    builder = tfds.builder(name)
    if not builder.is_prepared():
        _prepare(builder)
    try:
        # A data set that fits in memory is fastest read as one batch.
        splits = tfds.as_numpy(tfds.load(name, batch_size=-1, download=False, try_gcs=False))
    except Exception as error:
        raise DatasetError(
            f"Cannot read data set {name!r} from {builder.data_dir}: remove that folder and prepare it again "
            f"({first_line(error)[:160]})."
        ) from error
    label = builder.info.features["label"]
    (x_train, y_train), (x_test, y_test) = [
        (np.divide(splits[split]["image"], 255, dtype="float32"), splits[split]["label"].astype("int64"))
        for split in ("train", "test")
    ]
    return Dataset(name, x_train, y_train, x_test, y_test, label.num_classes, tuple(label.names))


def _prepare(builder):
    """Downloads and prepares, or leaves the data folder as it was and says what to do."""
    data_dir = pathlib.Path(builder.data_dir).parents[1]
    new_folders = [folder for folder in (pathlib.Path(builder.data_dir).parent, data_dir) if not folder.exists()]
    try:
        _probe(builder)
        # Downloads go to a folder of their own, so that a broken one leaves nothing behind.
        with tempfile.TemporaryDirectory(prefix="cvhn_tf-") as downloads:
            builder.download_and_prepare(download_dir=downloads)
    except Exception as error:
        raise DatasetError(
            f"Data set {builder.name!r} is not prepared in {data_dir} and cannot be downloaded "
            f"({first_line(error)[:160]}): prepare it on a machine with network by "
            f"`python -c \"import tensorflow_datasets as tfds; tfds.load('{builder.name}')\"` and copy the folder, "
            "or set TFDS_DATA_DIR to a folder that has it."
        ) from error
    finally:
        for folder in new_folders:
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _probe(builder):
    """Fails at once where the download would retry for minutes."""
    import requests

    for url in list(builder.url_infos)[:1]:
        try:
            requests.head(url, timeout=_PROBE_SECONDS)
        except requests.RequestException as error:
            raise ConnectionError(f"no connection to {urllib.parse.urlsplit(url).hostname}") from error
