"""Weights rounded by the posterior: on a grid in Keras, and on the same grid in the file."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.export.conversion.stored_integers import find_grid, keep_grid, may_be_on_grid
from cvhn_tf.export.tflite.flatbuffer import constants, parse


@pytest.fixture(scope="module")
def model():
    """Weights and stddevs of all sizes, in layers whose channels lie along different axes, an odd number of them."""
    keras.utils.set_random_seed(0)
    target = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(9, 3, activation="relu"),
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(13, "relu"),
            layers.Dense(7),
        ]
    )
    model = cvhn_tf.VariationalHypernetwork(target, parameterization="gated")
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(size=variable.shape) * 0.3)
    for variable in model.variables:
        if variable.path.split("/")[-1] in ("gamma", "moving_variance"):
            variable.assign(rng.random(variable.shape) + 0.5)
    return model


def kernels(model, network):
    """Of each kernel: means and stddevs of the posterior, and the weights, as matrices with a column for a channel."""
    posterior = model.posterior(1.0)
    for layer in network.layers:
        for weight in layer.weights:
            if weight.path in posterior and len(weight.shape) > 1:
                columns = np.prod(weight.shape[2:]) if isinstance(layer, layers.DepthwiseConv2D) else weight.shape[-1]
                arrays = posterior[weight.path].mean(), posterior[weight.path].stddev(), weight
                yield tuple(np.asarray(array, "float64").reshape(-1, columns) for array in arrays)


@pytest.mark.parametrize("bits, levels", [(8, 127), (4, 7)])
def test_each_channel_lies_on_a_grid_of_so_many_levels(model, bits, levels):
    network = export.round_weights(model, 1.0, 0.5, bits=bits)
    pruned = export.prune(model, 1.0, 0.5)
    for mean, _, weights in kernels(model, network):
        assert np.all(find_grid(weights.T, levels) > 0)
        assert not np.all(find_grid(mean.T, levels) > 0)
    for before, after in zip(pruned.get_weights(), network.get_weights(), strict=True):
        assert not after[before == 0].any()
        if before.ndim < 2:
            np.testing.assert_array_equal(before, after)


def test_rounding_costs_less_of_the_posterior_than_that_of_a_converter(model):
    network = export.round_weights(model, 1.0, 0.0, bits=4, step=1e-3)
    totals = np.zeros(2)
    for mean, stddev, weights in kernels(model, network):
        scale = np.abs(mean).max(axis=0) / 7
        converter = np.rint(mean / scale) * scale
        ours, theirs = (np.sum(np.square((mean - w) / stddev), axis=0) for w in (weights, converter))
        assert np.all(ours <= theirs * (1 + 1e-5))
        totals += ours.sum(), theirs.sum()
    assert totals[0] < 0.8 * totals[1]


def test_no_step_is_finer_than_the_posterior_allows(model):
    network = export.round_weights(model, 1.0, 0.0, bits=8, step=0.5)
    for _, stddev, weights in kernels(model, network):
        steps = find_grid(weights.T, 127)
        assert np.all(steps >= 0.5 / np.sqrt(np.mean(1 / stddev**2)) * (1 - 1e-4))


@pytest.mark.parametrize(
    "quantization, bits, step",
    # At 30 stddevs fewer than seven multiples reach the largest weights, and converters would spread them out.
    [("weight_only_int8", 8, 0.5), ("weight_only_int4", 4, 0.5), ("weight_only_int4", 4, 30.0)],
)
def test_weights_of_the_file_are_exactly_those_of_the_rounded_network(model, quantization, bits, step):
    rounded = export.to_tflite(export.round_weights(model, 1.0, 0.5, bits=bits, step=step), quantization, client="cpu")
    plain = export.to_tflite(export.prune(model, 1.0, 0.5), quantization, client="cpu")
    assert rounded.relative_error < 1e-5 < 1e-3 < plain.relative_error


def test_dynamic_range_keeps_the_grid_too(model):
    network = export.round_weights(model, 1.0, 0.5, bits=8, step=3.0)
    kept, exact = export.to_tflite(network, "dynamic_range"), export.to_tflite(network, sparse=False)
    floats = {tensor.name: np.frombuffer(buffer.data, "float32") for tensor, buffer in constants(parse(exact.content))}
    quantized = [pair for pair in constants(parse(kept.content)) if pair[0].type == schema.TensorType.INT8]
    assert quantized
    for tensor, buffer in quantized:
        scale = np.reshape(tensor.quantization.scale, (-1, *[1] * (len(tensor.shape) - 1)))
        weights = np.frombuffer(buffer.data, "int8").reshape(tensor.shape) * scale
        np.testing.assert_allclose(weights.ravel(), floats[tensor.name], rtol=1e-5)
    mirrored = export.prune(model, 1.0, 0.5)
    mirrored.set_weights([-w if w.ndim > 1 else w for w in mirrored.get_weights()])
    other = export.to_tflite(mirrored, "dynamic_range")
    assert keep_grid(other.content, exact.content) == other.content, "weights of another network are left alone"
    assert kept.gzip_bytes < other.gzip_bytes


@pytest.mark.parametrize("shape", [(64, 300), (40, 7), (3, 3, 6, 16), (5, 5, 24, 1), (3, 3, 8, 2)])
def test_grids_of_units_are_seen_though_no_weight_repeats(shape):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=shape)
    steps = rng.uniform(0.03, 0.04, (*shape[2:-1], shape[-1]))
    if shape[-1] > 2:  # and no depthwise convolution
        steps = steps.reshape(-1, shape[-1])[0]
    assert may_be_on_grid((np.rint(weights / steps) * steps).astype("float32"))
    assert not may_be_on_grid(weights.astype("float32"))
    assert not may_be_on_grid(np.zeros(shape, "float32"))


def test_rounded_dense_layers_are_not_rounded_again():
    rng = np.random.default_rng(0)
    network = keras.Sequential([keras.Input((64,)), layers.Dense(300, "relu"), layers.Dense(5)])
    kernel = network.layers[0].kernel
    steps = rng.uniform(0.002, 0.004, 300)
    kernel.assign(np.clip(np.rint(rng.normal(size=kernel.shape) / 8 / steps), -127, 127) * steps)
    quantized = export.to_tflite(network, "dynamic_range", client="cpu")
    exact, kept = (
        {tensor.name: (tensor, buffer.data) for tensor, buffer in constants(parse(content))}
        for content in (export.to_tflite(network, sparse=False).content, quantized.content)
    )
    (name,) = [name for name, (tensor, _) in kept.items() if list(tensor.shape) == [300, 64]]
    tensor, data = kept[name]
    weights = np.frombuffer(data, "int8").reshape(300, 64) * np.reshape(tensor.quantization.scale, (-1, 1))
    np.testing.assert_allclose(weights.ravel(), np.frombuffer(exact[name][1], "float32"), rtol=1e-5, atol=1e-9)


@given(
    st.lists(st.lists(st.integers(-7, 7), min_size=5, max_size=5), min_size=1, max_size=4),
    st.floats(1e-6, 1e6),
)
def test_grid_is_found_and_is_the_coarsest(multiples, step):
    rows = np.array(multiples, "float64") * step
    found = find_grid(rows.astype("float32").astype("float64"), 7)
    divisors = np.array([np.gcd.reduce(row) or 0 for row in np.abs(multiples)])
    expected = np.where(divisors > 0, divisors * step, 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "arguments, name", [({"bits": 3}, "bits"), ({"step": 0}, "step"), ({"rate_weight": -1}, "rate_weight")]
)
def test_bad_arguments_are_refused(model, arguments, name):
    with pytest.raises(ValueError, match=name):
        export.round_weights(model, 1.0, 0.5, **arguments)


@pytest.mark.parametrize("step", [1.0, 2.6])
def test_table_of_a_lookup_keeps_the_scale_that_its_outputs_have(step):
    keras.utils.set_random_seed(0)
    target = keras.Sequential(
        [keras.Input((12,), dtype="int32"), layers.Embedding(60, 32), layers.Flatten(), layers.Dense(3)]
    )
    model = cvhn_tf.VariationalHypernetwork(target, initial_stddev=2e-4)
    ids = np.random.default_rng(0).integers(0, 60, (64, 12))
    network = export.round_weights(model, 1.0, sparsity=0.3, step=step)
    assert export.to_tflite(network, "dynamic_range", representative_data=ids).relative_error < 0.02
