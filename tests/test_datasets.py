"""Data sets: ranges, splits, and what is said when there is no network."""

import os
import socket

import numpy as np
import pytest

from cvhn_tf import datasets


def _check(dataset, shape):
    assert dataset.input_shape == shape
    assert dataset.x_test.shape[1:] == shape
    for images, labels in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        assert images.dtype == np.float32
        assert labels.dtype == np.int64
        assert images.shape[0] == labels.shape[0] > 0
        assert images.min() >= 0.0
        assert 0.5 < images.max() <= 1.0
        assert labels.min() >= 0
        assert labels.max() < dataset.num_classes
    assert len(dataset.classes) == dataset.num_classes


def test_digits_are_split_the_same_way_each_time_with_equal_class_shares():
    digits, again = datasets.load("digits"), datasets.load("digits")
    _check(digits, (8, 8, 1))
    assert len(digits.x_train) == 1437
    assert len(digits.x_test) == 360
    np.testing.assert_array_equal(digits.x_test, again.x_test)
    shares = [np.bincount(labels) / len(labels) for labels in (digits.y_train, digits.y_test)]
    np.testing.assert_allclose(shares[0], shares[1], atol=0.005)


def test_training_and_test_digits_do_not_overlap():
    digits = datasets.load("digits")
    train = {image.tobytes() for image in digits.x_train}
    assert not any(image.tobytes() in train for image in digits.x_test)


def test_unknown_name_is_refused_with_the_known_names():
    with pytest.raises(ValueError, match=r"'digits', 'mnist', 'fashion_mnist', 'cifar10'.*Received: name='imagenet'"):
        datasets.load("imagenet")


@pytest.fixture
def no_network(monkeypatch):
    """A network without names, and a list of those that were asked for."""
    asked = []

    def refuse(host, *args, **kwargs):
        asked.append(host)
        raise socket.gaierror("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    return asked


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """Sends TensorFlow Datasets to a folder of the test, which it otherwise settles at import."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import constants

    folder = tmp_path / "data"
    monkeypatch.setattr(constants, "DATA_DIR", os.fspath(folder))
    monkeypatch.setenv("TFDS_DATA_DIR", os.fspath(folder))
    builder = tfds.builder("mnist")
    assert os.fspath(builder.data_dir).startswith(os.fspath(folder))
    return folder


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_without_network_one_sentence_says_what_to_do_and_nothing_is_left_behind(name, no_network, data_dir):
    with pytest.raises(datasets.DatasetError) as caught:
        datasets.load(name)
    assert len(no_network) == 1  # a download would ask again and again, for minutes
    message = str(caught.value)
    assert "\n" not in message
    for part in (repr(name), os.fspath(data_dir), f"tfds.load('{name}')", "TFDS_DATA_DIR", "no connection to"):
        assert part in message
    assert not data_dir.exists()


def test_a_download_that_breaks_off_leaves_nothing_behind(data_dir, monkeypatch):
    import tensorflow_datasets as tfds

    def break_off(self, download_dir, **kwargs):
        (data_dir / "mnist").mkdir(parents=True)
        with open(os.path.join(download_dir, "part.gz"), "wb") as file:
            file.write(b"half")
        monkeypatch.setattr(break_off, "download_dir", download_dir, raising=False)
        raise ConnectionResetError("Connection reset by peer\nand more")

    monkeypatch.setattr(datasets, "_probe", lambda builder: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", break_off)
    with pytest.raises(datasets.DatasetError, match=r"cannot be downloaded \(Connection reset by peer\)"):
        datasets.load("mnist")
    assert not data_dir.exists()
    assert not os.path.exists(break_off.download_dir)


@pytest.mark.parametrize(("name", "shape"), [("mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))])
def test_prepared_images_are_scaled_and_keep_their_labels(name, shape, data_dir):
    pixels = _prepare_tiny(name, shape, data_dir)
    dataset = datasets.load(name)
    _check(dataset, shape)
    assert dataset.num_classes == 10
    assert len(dataset.x_train) == 20
    assert len(dataset.x_test) == 10
    # TensorFlow Datasets shuffles when it prepares, so images are found by their content.
    label_of = {np.float32(image / 255.0).tobytes(): label for image, label in pixels}
    for image, label in zip(dataset.x_test, dataset.y_test, strict=True):
        assert label_of[(np.round(image * 255) / 255.0).astype("float32").tobytes()] == label


def test_a_broken_prepared_folder_is_reported_as_such(data_dir):
    _prepare_tiny("mnist", (28, 28, 1), data_dir)
    for file in data_dir.rglob("*.tfrecord*"):
        file.unlink()
    with pytest.raises(datasets.DatasetError, match=r"Cannot read data set 'mnist'.*prepare it again"):
        datasets.load("mnist")


def _prepare_tiny(name, shape, data_dir):
    """Prepares 30 random images on disk in place of the downloaded ones. Returns (image, label) pairs."""
    import tensorflow_datasets as tfds

    random = np.random.default_rng(0)
    pixels = [(random.integers(0, 256, shape, dtype="uint8"), i % 10) for i in range(30)]
    builder = tfds.builder(name)
    names = builder.info.features["label"].names

    def generate(first, last):
        for i in range(first, last):
            yield i, {"image": pixels[i][0], "label": pixels[i][1], **extra(i)}

    def extra(i):
        return {"id": f"image_{i}"} if "id" in builder.info.features else {}

    builder._split_generators = lambda manager: {"train": generate(0, 20), "test": generate(20, 30)}
    builder.download_and_prepare(download_dir=data_dir.parent / "downloads")
    assert len(names) == 10
    return pixels
