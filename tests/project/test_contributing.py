"""The worked examples of CONTRIBUTING.md run as printed, and what they add works."""

import re

import keras
import numpy as np
import pytest
from places import ROOT

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.export.pruning import weight_groups


@pytest.fixture(scope="module")
def examples():
    """The variables that the blocks leave, in the order of the page."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4 and all(len(block.splitlines()) < 40 for block in blocks)
    structures = dict(weight_groups.STRUCTURES)
    variables = {}
    for block in blocks:
        exec(compile(block, "CONTRIBUTING.md", "exec"), variables)
    yield variables
    weight_groups.STRUCTURES.clear()
    weight_groups.STRUCTURES.update(structures)


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
    import tensorflow as tf
    import tensorflow_probability as tfp

    posterior = tfp.distributions.Normal([[0.3, -0.02, 0.0]], [[0.01, 0.02, 0.05]])  # high, low and no SNR
    draws = posterior.sample(200_000, seed=0)
    prior = tfp.distributions.Laplace(0.0, examples["prior"].scale)
    expected = tf.reduce_sum(tf.reduce_mean(posterior.log_prob(draws) - prior.log_prob(draws), axis=0))
    assert float(examples["prior"].kl(posterior, tf.ones([1]))[0]) == pytest.approx(float(expected), rel=0.01)


def test_the_structure_drops_whole_rows(examples, target):
    model = cvhn_tf.VariationalHypernetwork(target, initial_stddev=0.1, seed=0)
    network = export.prune(model, 1.0, sparsity=0.5, structure="row")
    kernel = network.layers[0].kernel.numpy()
    dead = (kernel == 0).all(axis=1)
    assert dead.any() and np.all(kernel[~dead] != 0)
    with pytest.raises(ValueError, match="'row'"):
        export.prune(model, 1.0, sparsity=0.5, structure="column")
