"""Where zeros of 1×1 convolutions take no time, a comparison and a search within a latency budget make such files."""

import keras
import numpy as np
import pytest
from keras import layers

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.export.delivery.metadata import annotate
from cvhn_tf.export.tflite.channel_parts import why_not_by_channels
from cvhn_tf.export.tflite.flatbuffer import parse

DATA = np.random.default_rng(0).uniform(-1, 1, (40, 16, 16, 3)).astype("float32"), np.arange(40) % 4


@pytest.fixture(scope="module")
def mobile():
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.Conv2D(32, 1, activation="relu")(x)
    x = layers.Conv2D(32, 1, activation="relu")(x)
    target = keras.Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    return cvhn_tf.VariationalHypernetwork(target, seed=0)


def is_by_channels(artifact):
    return artifact.sparse and why_not_by_channels(parse(artifact.content), False) is None


@pytest.mark.parametrize(("client", "is_made"), [("web", True), ("any", False), (("web", "gpu"), False)], ids=str)
def test_comparisons_leave_zeros_out_where_the_client_does(mobile, client, is_made):
    arguments = {"structure": "pointwise", "quantizations": [None, "dynamic_range"], "client": client}
    compared = export.compare(mobile, DATA, [1.0], [0.0, 0.9], **arguments)
    made = [is_by_channels(artifact) for artifact in compared.artifacts]
    assert not compared.skipped and made == [False, False, is_made, False]
    assert all(row.accuracy == row.keras_accuracy for row in compared if row.quantization is None)


def test_comparisons_keep_the_file_of_the_compact_network_where_it_is_smaller(mobile):
    only = {"complexities": [1.0], "sparsities": [0.98], "structure": "pointwise", "quantizations": [None]}
    (row,) = export.compare(mobile, DATA, client="web", **only)
    network = export.compact(export.prune(mobile, 1.0, 0.98, structure="pointwise"))
    assert row.size_bytes <= annotate(export.to_tflite(network, client="web"), 1.0, 0.98, "pointwise").size_bytes


@pytest.mark.parametrize(
    ("budget", "is_made"), [({"max_latency_ms": 1e3}, True), ({"max_bytes": 1e6}, False)], ids=["latency", "size"]
)
def test_searches_do_so_within_a_latency_budget(mobile, budget, is_made):
    only = {"complexities": [1.0], "sparsities": [0.9], "structures": ["pointwise"], "quantizations": [None]}
    found = export.best(mobile, DATA, client="web", **only, **budget)
    assert is_by_channels(found.artifact) == is_made and found.chosen.multiply_adds > 0
