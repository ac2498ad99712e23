"""Reference target networks: their published sizes, and clear refusals."""

import math

import numpy as np
import pytest

from cvhn_tf import OptionalPaths, targets
from cvhn_tf.structure.usage import Usage


@pytest.mark.parametrize(
    ("name", "input_shape", "parameters"),
    [
        ("lenet_300_100", (28, 28, 1), 266_610),
        ("mlp_50", (28, 28, 1), 39_760),
        ("lenet_5", (28, 28, 1), 61_706),
        ("lenet_5_caffe", (28, 28, 1), 431_080),
        ("convnet", (32, 32, 3), 289_642),
        ("searchable_mlp", (28, 28, 1), 384_042),
        ("searchable_convnet", (32, 32, 3), 238_778),
        ("convolutional_fabric", (32, 32, 3), 70_682),
    ],
)
def test_target_has_the_published_number_of_parameters(name, input_shape, parameters):
    assert targets.get(name, input_shape, 10).count_params() == parameters


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("lenet_300_100", 1),
        ("mlp_50", 1),
        ("lenet_5", 12),
        ("lenet_5_caffe", 16),
        ("convnet", 4),
        ("resnet_8", 1),
        ("ds_cnn", 1),
        ("mobilenet_v1_025", 1),
        ("searchable_mlp", 1),
        ("searchable_convnet", 4),
        ("convolutional_fabric", 4),
    ],
)
def test_target_gives_class_probabilities_on_the_smallest_images_it_takes(name, side):
    images = np.random.default_rng(0).random((2, side, side, 3), dtype="float32")
    outputs = targets.get(name, (side, side, 3), 7)(images).numpy()
    assert outputs.shape == (2, 7)
    assert (outputs >= 0).all()
    np.testing.assert_allclose(outputs.sum(axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(("name", "side"), [("lenet_5", 11), ("lenet_5_caffe", 15), ("convnet", 3)])
def test_images_that_are_too_small_are_refused_with_the_size_needed(name, side):
    with pytest.raises(ValueError, match=rf"at least {side + 1}×{side + 1} pixels.*Received: input_shape=\({side}, 20"):
        targets.get(name, (side, 20, 1), 10)


def test_searchable_targets_have_as_many_structures_as_they_say():
    structures = {"searchable_mlp": 16, "searchable_convnet": 8_000, "convolutional_fabric": 2**28}
    for name, expected in structures.items():
        usage = Usage(targets.get(name, (8, 8, 1), 2))
        optional = [isinstance(choice, OptionalPaths) for choice in usage.choices]
        counts = [2**size if is_optional else size for size, is_optional in zip(usage.sizes, optional, strict=True)]
        assert math.prod(counts) == expected
    with pytest.raises(ValueError, match=r"sides 4 divides .* Received: input_shape=\(6, 8, 1\)"):
        targets.get("convolutional_fabric", (6, 8, 1), 2)


@pytest.mark.parametrize(
    ("name", "input_shape", "num_classes", "parameters"),
    [
        ("resnet_8", (32, 32, 3), 10, 78_666),
        ("ds_cnn", (49, 10, 1), 12, 24_908),
        ("mobilenet_v1_025", (96, 96, 3), 2, 221_794),
        ("autoencoder_640", (640,), None, 269_992),
    ],
)
def test_networks_of_mlperf_tiny_have_their_published_sizes(name, input_shape, num_classes, parameters):
    network = targets.get(name, input_shape, num_classes)
    assert network.count_params() == parameters
    assert network.output_shape == (None, *(input_shape if num_classes is None else (num_classes,)))


def test_an_autoencoder_has_no_classes_and_no_images():
    with pytest.raises(ValueError, match=r"Expected no `num_classes`.*num_classes=10"):
        targets.get("autoencoder_640", (640,), 10)
    with pytest.raises(ValueError, match=r"\(features,\).*\(8, 8, 1\)"):
        targets.get("autoencoder_640", (8, 8, 1))
    with pytest.raises(ValueError, match="num_classes=None"):
        targets.get("ds_cnn", (49, 10, 1))


def test_unknown_target_is_refused_with_the_known_names():
    with pytest.raises(ValueError, match=r"lenet_300_100.*Received: name='resnet'"):
        targets.get("resnet", (28, 28, 1), 10)


@pytest.mark.parametrize("num_classes", [0, 1, 2.5])
def test_impossible_number_of_classes_is_refused(num_classes):
    with pytest.raises(ValueError, match="Received: num_classes="):
        targets.get("mlp_50", (28, 28, 1), num_classes)


def test_every_name_builds_the_network_of_that_name():
    assert {targets.get(name, (32, 32, 3), 10).name for name in targets.names()} == set(targets.names())


def test_numbers_of_numpy_will_do_and_shapes_that_are_no_images_are_refused():
    assert targets.get("mlp_50", (8, 8, 1), np.int64(10)).output_shape == (None, 10)
    with pytest.raises(ValueError, match=r"\(height, width, channels\).*input_shape=\(28, 28\)"):
        targets.get("lenet_5", (28, 28), 10)
