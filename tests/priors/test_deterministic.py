"""The deterministic baseline: point weights with weight decay, trained over the whole range of complexities."""

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp
from repeated import repeated

from cvhn_tf import export
from cvhn_tf.priors import L2


@pytest.fixture
def deterministic(compiled):
    def make(stddev=0.5, **arguments):
        return compiled(prior=L2(stddev), estimator="deterministic", train_size=64, kl_warmup=0, **arguments)

    return make


def squared_norm(network):
    return sum(float(np.sum(weight.numpy() ** 2)) for weight in network.trainable_weights)


def test_training_loss_is_nll_plus_weight_decay(deterministic, data):
    x, y = data
    model = deterministic()
    plain = model.at(1.0)  # the same at every complexity before training
    logs = model.train_on_batch(x, y, return_dict=True)
    nll = -np.log(plain(x).numpy()[np.arange(64), y]).mean()
    penalty = squared_norm(plain) / (2 * 0.5**2)
    assert logs["nll"] == pytest.approx(nll, rel=1e-5)
    assert logs["loss"] == pytest.approx(nll + logs["complexity"] * penalty / 64, rel=1e-5)


def test_training_follows_plain_keras_with_l2(deterministic, target, data):
    """At λ = 1, with steps of SGD: gradients are divided by 1 + λ, so the plain model learns half as fast."""
    model = deterministic(parameterization="constant", complexity_range=(1 - 1e-6, 1 + 1e-6))
    model.compile(keras.optimizers.SGD(0.2), "sparse_categorical_crossentropy")
    plain = model.at(1.0)
    plain.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    for layer in plain.layers:
        layer.kernel_regularizer = layer.bias_regularizer = keras.regularizers.L2(1 / (2 * 0.5**2 * 64))
        layer.kernel.regularizer = layer.bias.regularizer = layer.kernel_regularizer
    for network in (model, plain):
        network.fit(*repeated(data, 20), batch_size=64, shuffle=False, verbose=0)
    for ours, theirs in zip(model.at(1.0).weights, plain.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_weights_have_no_noise_and_no_variables_for_it(deterministic, target, data):
    model = deterministic(parameterization="constant")
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == target.count_params()
    for posterior in model.posterior(1.0).values():
        assert isinstance(posterior, tfp.distributions.Deterministic)
        assert not np.any(posterior.stddev())
    x = data[0]
    np.testing.assert_array_equal(model(x, complexity=1.0, training=True), model(x, complexity=1.0, training=True))


def test_weights_shrink_with_complexity_and_so_does_the_description(deterministic, data):
    x, y = data
    model = deterministic(parameterization="linear", complexity_samples=2, complexity_range=(0.01, 10))
    model.fit(*repeated(data, 30), batch_size=16, verbose=0)
    norms = [squared_norm(model.at(complexity)) for complexity in (0.01, 0.3, 10)]
    assert norms == sorted(norms, reverse=True)
    lengths = [model.description_length(complexity) for complexity in (0.01, 0.3, 10)]
    np.testing.assert_allclose(lengths, np.array(norms) / (2 * 0.5**2) / np.log(2), rtol=1e-5)
    assert np.mean(model.at(0.01)(x).numpy().argmax(1) == y) > 0.95


def test_pruning_takes_the_smallest_weights(deterministic):
    model = deterministic()
    plain, pruned = model.at(1.0), export.prune(model, 1.0, sparsity=0.6)
    magnitudes, kept = (
        np.concatenate([weight.numpy().ravel() for weight in network.weights if len(weight.shape) > 1])
        for network in (plain, pruned)
    )
    assert np.count_nonzero(kept == 0) == round(0.6 * kept.size)
    assert np.abs(magnitudes[kept == 0]).max() <= np.abs(magnitudes[kept != 0]).min()
    with pytest.raises(ValueError, match=r"no SNR\. Received: snr_threshold=1"):
        export.prune(model, 1.0, snr_threshold=1.0)
