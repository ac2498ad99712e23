"""Packed files: the quantized network exactly, or one clear error."""

import dataclasses
import json
import struct
import zlib

import keras
import numpy as np
import pytest
from keras import layers
from long import long_but

import cvhn_tf
from cvhn_tf import datasets, export
from cvhn_tf.export.packing.packed import pack_network
from cvhn_tf.export.packing.range_coding import BitEncoder
from cvhn_tf.export.packing.tensor_coding import encode_tensor
from cvhn_tf.export.rounding.step_grid import round_to_steps, step_size

HEADER = 21


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.fixture(scope="module")
def model(digits):
    keras.utils.set_random_seed(0)
    target = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(100, "relu"), layers.Dense(10, "softmax")]
    )
    model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.01, 10), seed=0)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    model.fit(digits.x_train, digits.y_train, batch_size=32, epochs=25, verbose=0)
    return model


@pytest.fixture
def small():
    """A convolution, normalization and dense layers, with weights of all sizes."""
    target = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.Dropout(0.1),
            layers.Flatten(),
            layers.Dense(5, "softmax"),
        ]
    )
    model = cvhn_tf.VariationalHypernetwork(target)
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if variable.path.split("/")[-1] in ("gamma", "beta", "moving_mean", "moving_variance"):
            variable.assign(rng.random(variable.shape) + 0.5)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(size=variable.shape) * 0.3)
    return model


def accuracy_of(network, digits):
    return np.mean(network(digits.x_test).numpy().argmax(1) == digits.y_test)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("step", long_but({1.0}.__contains__, [0.1, 1.0, 5.0]))
def test_unpacked_network_is_the_quantized_one_exactly(small, sparsity, step):
    network, tensors = round_to_steps(small, 1.0, sparsity, step=step)
    unpacked = export.unpack(export.pack(small, 1.0, sparsity, step=step))
    assert [w.path for w in unpacked.weights] == [w.path for w in network.weights]
    for theirs, ours, tensor in zip(unpacked.weights, network.weights, tensors, strict=True):
        if tensor is None:
            np.testing.assert_allclose(theirs.numpy(), ours.numpy(), rtol=2.0**-11)
        else:
            np.testing.assert_array_equal(theirs.numpy(), tensor.weights())
    network.set_weights(unpacked.get_weights())
    x = np.random.default_rng(0).random((16, 8, 8, 1)).astype("float32")
    np.testing.assert_array_equal(unpacked(x), network(x))


def test_rounding_errs_by_half_a_step_and_the_step_by_the_stddevs(small):
    network, tensors = round_to_steps(small, 1.0, 0.3, step=0.7, rate_weight=0.0)
    posterior = small.posterior(1.0)
    for weight, tensor in zip(network.weights, tensors, strict=True):
        if tensor is None:
            assert weight.path not in posterior
            continue
        kept = weight.numpy() != 0
        stddev = posterior[weight.path].scale.numpy()[kept]
        size = step_size(tensor.step_exponent)
        assert 2**-0.25 <= size / (0.7 / np.sqrt(np.mean(stddev**-2.0))) <= 1
        assert np.abs(weight.numpy() - tensor.weights()).max() <= size / 2 * (1 + 1e-6)


@pytest.mark.long
def test_rounding_by_rate_costs_less_in_sum_of_error_and_code_than_rounding_to_the_nearest(model):
    posterior = model.posterior(1.0)

    def cost(rate_weight):
        network, tensors = round_to_steps(model, 1.0, 0.9, step=1.0, rate_weight=rate_weight)
        nats = pack_network(network, tensors).weights_bytes * 8 * np.log(2)
        for weight, tensor in zip(network.weights, tensors, strict=True):
            errors = (weight.numpy() - tensor.weights()) / posterior[weight.path].scale.numpy()
            nats += np.sum(np.square(errors)) / 2
        return nats

    assert cost(1.0) < 0.9 * cost(0.0)


def test_pruned_weights_stay_zero(small):
    pruned = export.prune(small, 1.0, 0.8)
    unpacked = export.unpack(export.pack(small, 1.0, 0.8))
    for ours, theirs in zip(pruned.trainable_weights, unpacked.trainable_weights, strict=True):
        assert not np.any(theirs.numpy()[ours.numpy() == 0])


@pytest.mark.long
def test_size_falls_with_sparsity_rate_weight_and_step(model):
    by_sparsity = [
        export.pack(model, 1.0, s, rate_weight=0.0).weights_bytes for s in (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
    ]
    assert by_sparsity == sorted(by_sparsity, reverse=True)
    by_rate = [export.pack(model, 1.0, 0.9, rate_weight=r).weights_bytes for r in (0.0, 0.25, 0.5, 1.0, 2.0)]
    assert by_rate == sorted(by_rate, reverse=True)
    by_step = [export.pack(model, 1.0, 0.9, step=s, rate_weight=0.0).weights_bytes for s in (0.25, 0.5, 1.0, 2.0, 4.0)]
    assert by_step == sorted(by_step, reverse=True)


def test_threshold_packs_as_the_sparsity_that_it_makes(model):
    packed = export.pack(model, 1.0, snr_threshold=1.0)
    pruned = export.prune(model, 1.0, snr_threshold=1.0)
    kernels = [w.numpy() for w in pruned.weights if len(w.shape) > 1]
    sparsity = 1 - sum(np.count_nonzero(k) for k in kernels) / sum(k.size for k in kernels)
    assert packed == export.pack(model, 1.0, sparsity)


def test_size_is_near_the_empirical_entropy_of_what_it_holds(model):
    # Steps so coarse that values repeat: of values that differ, what their distribution takes to be learned is most.
    network, tensors = round_to_steps(model, 1.0, 0.9, step=4.0)
    entropy = 0.0
    for tensor in tensors:
        shares = np.unique(tensor.values, return_counts=True)[1] / tensor.values.size
        entropy -= tensor.values.size * np.sum(shares * np.log2(shares))
    # Structure makes it smaller than the entropy of independent weights; distributions that it must learn, larger.
    assert 0.5 * entropy <= 8 * pack_network(network, tensors).weights_bytes <= 1.15 * entropy


@pytest.mark.parametrize("complexity", [0.1, 1.0])
@pytest.mark.parametrize("step", long_but({0.5}.__contains__, [0.25, 0.5, 1.0]))
def test_quantization_at_a_step_up_to_one_stddev_keeps_the_accuracy_within_a_point(model, digits, complexity, step):
    pruned = accuracy_of(export.prune(model, complexity, 0.9), digits)
    assert pruned > 0.85
    nearest = export.unpack(export.pack(model, complexity, 0.9, step=step, rate_weight=0.0))
    assert accuracy_of(nearest, digits) >= pruned - 0.01


def test_default_step_and_rate_weight_keep_the_accuracy_within_three_points_and_save_a_sixth(model, digits):
    pruned = accuracy_of(export.prune(model, 1.0, 0.9), digits)
    packed = export.pack(model, 1.0, 0.9)
    assert accuracy_of(export.unpack(packed), digits) >= pruned - 0.03
    assert packed.weights_bytes < 5 / 6 * export.pack(model, 1.0, 0.9, step=1.0, rate_weight=0.0).weights_bytes


def test_coded_size_measures_the_file(model, digits):
    coded = export.entropy_coded_size(model, 1.0, 0.9, data=(digits.x_test, digits.y_test), step=1.0)
    packed = export.pack(model, 1.0, 0.9, step=1.0)
    network = export.unpack(packed)
    assert (coded.weights_bytes, coded.architecture_bytes) == (packed.weights_bytes, packed.architecture_bytes)
    assert coded.weights_bytes + coded.architecture_bytes == packed.size_bytes == len(packed.content)
    assert coded.weights_kept == sum(np.count_nonzero(w) for w in network.get_weights())
    assert coded.bits_per_kept_weight == 8 * coded.weights_bytes / coded.weights_kept
    assert coded.accuracy == pytest.approx(accuracy_of(network, digits))
    assert coded.kl_bits == model.description_length(1.0)
    assert export.entropy_coded_size(model, 1.0, 0.9, step=1.0) == dataclasses.replace(coded, accuracy=None)


def test_a_layer_of_which_nothing_is_kept_costs_a_few_bytes(small):
    for layer in small.trainable_variables:
        layer.assign(layer * 0)
    assert export.pack(small, 1.0, 0.5).weights_bytes < HEADER + 16 + 2 * 4 * 4  # batch normalization has 4 × 4 numbers


def test_weights_without_noise_have_a_step_too(target):
    model = cvhn_tf.VariationalHypernetwork(target, prior="l2", estimator="deterministic")
    network = export.unpack(export.pack(model, 1.0, 0.5, step=1.0, rate_weight=0.0))
    for ours, theirs in zip(export.prune(model, 1.0, 0.5).weights, network.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=np.sqrt(np.mean(ours.numpy() ** 2)) / 8)


def test_normalization_weights_that_float16_cannot_hold_stay_as_they_are(small):
    large = next(v for v in small.variables if v.path.endswith("moving_variance"))
    large.assign(np.array([1e9, 1e-9, 1.0, 3.0]))
    unpacked = export.unpack(export.pack(small, 1.0, 0.5))
    np.testing.assert_array_equal(unpacked.layers[1].moving_variance.numpy(), large.numpy())


def test_graph_of_several_branches_and_integer_weights_comes_back():
    inputs = keras.Input((8,))
    x = layers.Normalization(mean=0.0, variance=1.0)(inputs)
    shared = layers.Dense(6)
    outputs = layers.Add()([shared(x), layers.Dense(6)(shared(layers.Dense(8)(x)))])
    model = cvhn_tf.VariationalHypernetwork(keras.Model(inputs, outputs))
    packed = export.pack(model, 1.0, 0.0, step=0.01, rate_weight=0.0)
    x = np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
    np.testing.assert_allclose(export.unpack(packed)(x), model(x, complexity=1.0), rtol=0.01, atol=0.01)


def test_batch_normalization_has_the_statistics_of_the_packed_network(small):
    x = np.random.default_rng(1).random((64, 8, 8, 1)).astype("float32")
    packed = export.pack(small, 1.0, 0.5, representative_data=x)
    stale, network = export.unpack(export.pack(small, 1.0, 0.5)), export.unpack(packed)
    for ours, theirs in zip(network.get_weights(), export.recalibrate(stale, x).get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2.0**-10)
    assert np.abs(network.layers[1].moving_mean - stale.layers[1].moving_mean).max() > 0.1
    y = network(x).numpy().argmax(1)
    assert (stale(x).numpy().argmax(1) != y).any()
    assert export.entropy_coded_size(small, 1.0, 0.5, data=(x, y), representative_data=x).accuracy == 1
    settings = {"complexities": [1.0], "sparsities": [0.5], "steps": [2.0], "rate_weights": [0.3]}
    found = export.smallest_packed(small, (x, y), 0.99, **settings, representative_data=x)
    assert found.content == packed.content
    with pytest.raises(ValueError, match=r"`representative_data`.*Received"):
        export.pack(small, 1.0, 0.5, representative_data=x[:, 1:])


def test_saved_file_is_the_content_and_unpacks_from_its_path(small, tmp_path):
    packed = export.pack(small, 1.0, 0.5)
    path = packed.save(tmp_path / "network.cvhn")
    assert path.read_bytes() == packed.content
    assert [file.name for file in tmp_path.iterdir()] == ["network.cvhn"]
    for source in (path, str(path), packed.content, bytearray(packed.content), packed):
        for ours, theirs in zip(export.unpack(source).weights, export.unpack(packed).weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"step": 0.0}, "step"),
        ({"step": -1.0}, "step"),
        ({"step": float("nan")}, "step"),
        ({"step": float("inf")}, "step"),
        ({"step": "1"}, "step"),
        ({"step": True}, "step"),
        ({"rate_weight": -0.1}, "rate_weight"),
        ({"rate_weight": float("nan")}, "rate_weight"),
        ({"sparsity": 1.0}, "sparsity"),
        ({"snr_threshold": 1.0}, "snr_threshold"),
        ({"complexity": 1e9}, "complexity"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(small, arguments, name):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received"):
        export.pack(small, **{"complexity": 1.0, "sparsity": 0.5, **arguments})


def test_weights_that_are_not_finite_are_refused(small):
    small.trainable_variables[0].assign(small.trainable_variables[0] * np.nan)
    with pytest.raises(ValueError, match="Expected finite weights in `model`"):
        export.pack(small, 1.0, 0.0)


def refused(content):
    with pytest.raises(ValueError, match=r"^Expected a whole file that `pack` wrote\. Received: "):
        export.unpack(content)


def mutations(content, count):
    """Files like `content` but for flipped, lost, repeated, moved or foreign bytes, most of them a few."""
    rng = np.random.default_rng(0)
    for i in range(count):
        changed = bytearray(content)
        start, length = int(rng.integers(len(content))), int(rng.integers(1, 9))
        if i % 2:  # half of them in the header
            start = int(rng.integers(HEADER))
        match i // 2 % 6:
            case 0:
                changed[start] ^= 1 << int(rng.integers(8))
            case 1:
                changed[start : start + length] = rng.bytes(length)
            case 2:
                del changed[start : start + length]
            case 3:
                changed[start:start] = rng.bytes(length)
            case 4:
                del changed[start:]
            case 5:
                changed[start : start + 4] = b"\xff\xff\xff\xff"
        yield bytes(changed)


def test_mutated_files_are_refused(small):
    content = export.pack(small, 1.0, 0.9).content
    for changed in mutations(content, 6000):
        if changed != content:
            refused(changed)


def test_foreign_files_are_refused(small, tmp_path):
    small.at(1.0).save(tmp_path / "network.keras")
    rng = np.random.default_rng(0)
    for content in (b"", b"C", b"CVHN", b"hello" * 100, bytes(1000), rng.bytes(10000)):
        refused(content)
    refused(tmp_path / "network.keras")
    with pytest.raises(FileNotFoundError):
        export.unpack(tmp_path / "missing.cvhn")


def file_of(architecture, weights, version=1, weights_checksum=0):
    """A file whose lengths and checksum are right, whatever it holds."""
    prefix = struct.pack("<4sBII", b"CVHN", version, len(architecture), len(weights))
    tail = struct.pack("<I", weights_checksum) + architecture + weights
    return prefix + struct.pack("<I", zlib.crc32(tail, zlib.crc32(prefix))) + tail


def test_nonsense_with_a_right_checksum_is_refused(small):
    content = export.pack(small, 1.0, 0.9).content
    (length,) = struct.unpack_from("<I", content, 5)
    architecture, weights = content[HEADER : HEADER + length], content[HEADER + length :]
    (checksum,) = struct.unpack_from("<I", content, 17)
    assert file_of(architecture, weights, weights_checksum=checksum) == content
    refused(file_of(architecture, weights, version=2))
    refused(file_of(b"no zlib", weights))
    refused(file_of(zlib.compress(b"no json"), weights))
    for config in ("text", [], {}, {"class_name": "Nothing"}, keras.saving.serialize_keras_object(layers.Dense(3))):
        refused(file_of(zlib.compress(json.dumps(config).encode()), weights))
    unsafe = keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: x)])
    refused(file_of(zlib.compress(json.dumps(keras.saving.serialize_keras_object(unsafe)).encode()), weights))
    rng = np.random.default_rng(0)
    for size in range(0, 400, 20):
        refused(file_of(architecture, rng.bytes(size)))


def test_file_is_no_longer_than_its_tensors_are_one_by_one(model):
    network, tensors = round_to_steps(model, 1.0, 0.95)
    encoder = BitEncoder()
    for tensor in tensors:
        encode_tensor(encoder, tensor.values)
    steps = 12 * len(tensors)
    size = pack_network(network, tensors).weights_bytes - HEADER
    assert 8 * size <= encoder.length_bits + steps + 64


def test_smallest_packed_is_the_smallest_of_those_accurate_enough(model, digits):
    tried = []
    data = (digits.x_test, digits.y_test)
    grid = {"complexities": [0.1, 1.0], "sparsities": [0.9], "steps": [1.0, 4.0], "rate_weights": [0.0, 1.0]}
    best = export.smallest_packed(model, data, 0.93, progress=lambda *result: tried.append(result), **grid)
    assert len(tried) == 8
    fits = []
    for complexity, sparsity, step, rate_weight, accuracy, code_bytes in tried:
        assert (code_bytes is not None) == (accuracy >= 0.93)
        if code_bytes is not None:
            packed = export.pack(model, complexity, sparsity, step=step, rate_weight=rate_weight)
            assert accuracy == pytest.approx(accuracy_of(export.unpack(packed), digits))
            assert code_bytes == packed.weights_bytes - HEADER
            fits.append(packed)
    assert best in fits
    assert best.size_bytes == min(packed.size_bytes for packed in fits)
    assert export.smallest_packed(model, data, 1.0, **grid) is None


def test_packed_networks_are_judged_by_any_metric(model, digits):
    data, loss = (digits.x_test, digits.y_test), "sparse_categorical_crossentropy"
    expected = keras.losses.SparseCategoricalCrossentropy()
    tried = []
    grid = {"complexities": [0.1], "sparsities": [0.9], "steps": [1.0, 4.0], "rate_weights": [0.0, 1.0]}
    losses = [
        export.entropy_coded_size(model, 0.1, 0.9, None, data, step, rate_weight, metric=loss).metric
        for step in grid["steps"]
        for rate_weight in grid["rate_weights"]
    ]
    bound = (min(losses) + max(losses)) / 2
    best = export.smallest_packed(
        model, data, **grid, metric=loss, max_metric=bound, progress=lambda *result: tried.append(result)
    )
    assert [result[4] for result in tried] == losses
    fits = []
    for complexity, sparsity, step, rate_weight, value, code_bytes in tried:
        assert (code_bytes is not None) == (value <= bound)
        coded = export.entropy_coded_size(model, complexity, sparsity, None, data, step, rate_weight, metric=loss)
        packed = export.pack(model, complexity, sparsity, step=step, rate_weight=rate_weight)
        of_packed = float(expected(digits.y_test, export.unpack(packed)(digits.x_test)))
        assert (coded.metric, coded.accuracy) == (value, None)
        assert value == pytest.approx(of_packed, rel=1e-5)  # of all images at once, which are summed in another order
        if code_bytes is not None:
            fits.append(packed)
    assert 0 < len(fits) < len(tried)
    assert best == min(fits, key=lambda packed: packed.weights_bytes)


def test_networks_that_are_no_classifiers_are_packed_by_their_error():
    target = keras.Sequential([keras.Input((6,)), layers.Dense(4, "relu"), layers.Dense(6)], name="autoencoder")
    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    model = cvhn_tf.VariationalHypernetwork(target, initial_stddev=1e-3)
    error = export.entropy_coded_size(model, 1.0, 0.5, data=(x, x), metric="mae").metric
    settings = {"complexities": [1.0], "sparsities": [0.5], "steps": [2.0], "rate_weights": [0.3], "metric": "mae"}
    packed = export.smallest_packed(model, (x, x), **settings, max_metric=error + 1e-6)
    assert packed == export.pack(model, 1.0, 0.5)
    assert export.smallest_packed(model, (x, x), **settings, max_metric=error - 1e-3) is None
    with pytest.raises(ValueError, match=r"`max_metric` as a bound of mae.*Received: min_metric=0\.1"):
        export.smallest_packed(model, (x, x), **settings, min_metric=0.1)


def test_search_for_a_packed_network_says_how_far_it_is(small, capsys):
    x = np.zeros((4, *small.at(1.0).input_shape[1:]), "float32")
    grid = {"complexities": [1.0], "sparsities": [0.5], "steps": [2.0], "rate_weights": [0.0, 1.0]}
    found = export.smallest_packed(small, (x, np.zeros(4, int)), 0.0, **grid, verbose=True)
    *_, last = capsys.readouterr().err.splitlines()
    assert last == f"Packing: 100%, {found.weights_bytes - HEADER:,} bytes of weights"


def test_search_for_a_packed_network_needs_a_bound(small):
    x = np.zeros((4, *small.at(1.0).input_shape[1:]), "float32")
    with pytest.raises(ValueError, match=r"Expected `min_accuracy`.*Received: min_accuracy=None"):
        export.smallest_packed(small, (x, np.zeros(4, int)))


@pytest.mark.parametrize(
    "arguments", [{"steps": []}, {"steps": 2.0}, {"rate_weights": None}, {"sparsities": None}], ids=str
)
def test_searches_without_anything_to_try_are_refused(small, arguments):
    x = np.zeros((4, *small.at(1.0).input_shape[1:]), "float32")
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` to be a list of at least one"):
        export.smallest_packed(small, (x, np.zeros(4, int)), min_accuracy=0.5, **arguments)
