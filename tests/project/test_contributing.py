"""The worked examples of CONTRIBUTING.md run as printed, and what they add works."""

import re
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from places import ROOT

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.export.clients import CLIENTS
from cvhn_tf.export.pruning import weight_groups
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.tflite.flatbuffer import weight_types


@pytest.fixture(scope="module")
def examples():
    """The variables that the blocks leave, in the order of the page."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6 and all(len(block.splitlines()) < 40 for block in blocks)
    variables = {}
    with mock.patch.dict(weight_groups.STRUCTURES), mock.patch.dict(ENCODINGS), mock.patch.dict(CLIENTS):
        for block in blocks:
            exec(compile(block, "CONTRIBUTING.md", "exec"), variables)
        yield variables


@pytest.mark.parametrize("added", ["prior", "parameterization", "estimator"])
def test_what_an_example_adds_trains_and_comes_back_from_a_file(examples, added, data, tmp_path):
    target = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6, "relu"), keras.layers.Dense(3, "softmax")])
    model = cvhn_tf.VariationalHypernetwork(target, **{added: examples[added]}, seed=0)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    losses = model.fit(*data, batch_size=16, epochs=20, verbose=0).history["nll"]
    assert losses[-1] < 0.7 * losses[0]
    model.save(tmp_path / "model.keras")
    loaded = cvhn_tf.load_model(tmp_path / "model.keras")
    assert type(getattr(loaded, added)) is type(examples[added])
    assert loaded.description_length(1.0) == pytest.approx(model.description_length(1.0))


def test_the_prior_is_the_kl_that_it_says(examples):
    posterior = tfp.distributions.Normal([[0.3, -0.2, 0.0]], [[0.01, 0.3, 0.1]])  # of high, low and no SNR
    draws = posterior.sample(200_000, seed=0)
    prior = tfp.distributions.Laplace(0.0, examples["prior"].scale)
    expected = tf.reduce_sum(tf.reduce_mean(posterior.log_prob(draws) - prior.log_prob(draws), axis=0))
    assert float(examples["prior"].kl(posterior, tf.ones([1]))[0]) == pytest.approx(float(expected), rel=0.01)


@pytest.mark.long
def test_noise_of_a_pair_of_examples_cancels(examples):
    posterior = tfp.distributions.Normal(tf.ones((1, 3, 2)), 0.5 * tf.ones((1, 3, 2)))
    x = tf.repeat([[1.0, -2.0, 0.5]], 2, axis=0)
    outputs = np.stack(
        [
            examples["estimator"].sample(lambda x, weights: x @ weights[0][0], x, [posterior], tf.constant([0, i]))
            for i in range(2000)
        ]
    )
    np.testing.assert_allclose(outputs.mean(axis=1), np.full((2000, 2), -0.5), atol=1e-5)
    np.testing.assert_allclose(outputs[:, 0].std(axis=0), np.full(2, 0.5 * np.sqrt(5.25)), rtol=0.1)


def test_the_encoding_gives_a_verified_file(examples):
    network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(300, "relu"), keras.layers.Dense(10)])
    artifact = export.to_tflite(network, "dynamic_int8", client="cpu")
    assert "INT8" in weight_types(artifact.content) and 0 < artifact.relative_error < 0.25
    assert artifact.size_bytes < 0.4 * export.to_tflite(network).size_bytes


def test_the_client_gets_what_it_computes_and_no_more(examples):
    network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    assert export.to_tflite(network, "float16", client="opencv").clients == ("opencv",)
    with pytest.raises(
        ValueError, match=r"OpenCV's dnn module gives NaN. If the file will run there only, client='any'"
    ):
        export.to_tflite(network, "dynamic_range", client="opencv")


def test_the_structure_drops_whole_rows(examples, target):
    model = cvhn_tf.VariationalHypernetwork(target, initial_stddev=0.1, seed=0)
    network = export.prune(model, 1.0, sparsity=0.5, structure="row")
    kernel = network.layers[0].kernel.numpy()
    dead = (kernel == 0).all(axis=1)
    assert dead.any() and np.all(kernel[~dead] != 0)
    with pytest.raises(ValueError, match="'row'"):
        export.prune(model, 1.0, sparsity=0.5, structure="column")
