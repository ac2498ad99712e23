"""The entropy code: exact both ways, near the entropy, and free where nothing is kept."""

import hashlib
import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvhn_tf.export.packing import row_encoding
from cvhn_tf.export.packing.adaptive_models import AdaptiveBit, AdaptiveNumber, learned_probabilities, number_runs
from cvhn_tf.export.packing.fixed_numbers import decode_fixed, encode_fixed
from cvhn_tf.export.packing.range_coding import BitDecoder, BitEncoder, shortest
from cvhn_tf.export.packing.row_decoding import decode_rows
from cvhn_tf.export.packing.row_encoding import encode_rows
from cvhn_tf.export.packing.tensor_coding import decode_tensor, encode_tensor


def sparse(shape, density, scale=3.0, seed=0):
    rng = np.random.default_rng(seed)
    values = np.rint(rng.normal(size=shape) * scale).astype(np.int64)
    return np.where(rng.random(shape) < density, values + np.sign(values) + (values == 0), 0)


def code_of(values):
    encoder = BitEncoder()
    encode_tensor(encoder, values)
    return encoder


def entropy_bits(symbols):
    shares = np.unique(symbols, return_counts=True)[1] / np.size(symbols)
    return -np.size(symbols) * np.sum(shares * np.log2(shares))


SHAPES = [(), (1,), (7,), (0,), (3, 0), (0, 3), (1, 1), (40, 30), (30, 1), (1, 30), (3, 3, 4, 8), (2, 2, 2, 2, 2)]


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_decoded_tensor_is_the_encoded_one(shape, density):
    values = sparse(shape, density)
    decoded = decode_tensor(BitDecoder(code_of(values).to_bytes()), shape)
    assert decoded.shape == values.shape
    np.testing.assert_array_equal(decoded, values)


def test_tensors_follow_one_another_in_one_stream():
    tensors = [sparse(shape, 0.3, seed=i) for i, shape in enumerate(SHAPES)]
    encoder = BitEncoder()
    for tensor in tensors:
        encode_tensor(encoder, tensor)
        encode_fixed(encoder, 5, 3)
    decoder = BitDecoder(encoder.to_bytes())
    for tensor in tensors:
        np.testing.assert_array_equal(decode_tensor(decoder, tensor.shape), tensor)
        assert decode_fixed(decoder, 3) == [5]


@pytest.mark.parametrize(("numbers", "bits"), [([], 8), ([0], 1), ([3], 2), ([255, 0, 129], 8), ([1023], 10)], ids=str)
def test_fixed_numbers_take_their_bits_and_come_back(numbers, bits):
    encoder = BitEncoder()
    encode_fixed(encoder, numbers, bits)
    assert encoder.length_bits == bits * len(numbers)
    assert decode_fixed(BitDecoder(encoder.to_bytes()), bits, len(numbers)).tolist() == numbers


@pytest.mark.parametrize("number", [0, 1, 2, 6, 7, 8, 1000, 2**31, 2**40 + 12345, AdaptiveNumber.largest])
def test_numbers_of_any_size_come_back(number):
    runs, encoder = number_runs(np.array([3, number, 0, number]), np.zeros(4, int)), BitEncoder()
    encoder.append(runs.bits, runs.probabilities)
    decoder, model = BitDecoder(encoder.to_bytes()), AdaptiveNumber()
    assert [model.decode(decoder) for _ in range(4)] == [3, number, 0, number]


@pytest.mark.parametrize("probability", [0.0, 1e-9, 0.5, 1.0])
def test_bits_come_back_at_any_probability_even_a_wrong_one(probability):
    encoder = BitEncoder()
    bits = [0, 1, 1, 0, 1]
    encoder.append(bits, probability)
    decoder = BitDecoder(encoder.to_bytes())
    assert [decoder.decode(probability) for _ in bits] == bits


def test_bytes_are_as_many_as_the_probabilities_say():
    rng = np.random.default_rng(0)
    encoder = BitEncoder()
    probabilities = rng.random(20000) ** 4
    encoder.append(rng.random(20000) < probabilities, probabilities)
    assert encoder.length_bits / 8 - 1 <= len(encoder.to_bytes()) <= encoder.length_bits / 8 + 8


def test_an_adaptive_bit_costs_its_entropy_and_the_price_of_learning_it():
    bits = (np.random.default_rng(0).random(10000) < 0.1).astype(int)
    encoder = BitEncoder()
    encoder.append(bits, learned_probabilities(np.zeros(len(bits), int), bits))
    decoder, model = BitDecoder(encoder.to_bytes()), AdaptiveBit()
    assert [model.decode(decoder) for _ in bits] == bits.tolist()
    entropy = entropy_bits(bits)
    assert entropy <= encoder.length_bits <= entropy + 0.5 * np.log2(bits.size) + 2


@pytest.mark.parametrize("density", [0.01, 0.05, 0.3, 0.9])
def test_code_without_structure_is_within_a_tenth_of_the_empirical_entropy(density):
    values = sparse((300, 200), density)
    kept = values[values != 0]
    entropy = entropy_bits(values != 0) + entropy_bits(kept)
    assert 0.95 * entropy <= code_of(values).length_bits <= 1.1 * entropy


def test_structure_is_found_and_pays():
    rng = np.random.default_rng(0)
    density = np.outer(rng.random(200) ** 4, rng.random(150) ** 4)
    values = np.where(rng.random(density.shape) < density, 1, 0)
    assert code_of(values).length_bits < 0.75 * entropy_bits(values) + np.count_nonzero(values)


def test_dead_rows_and_columns_cost_nearly_nothing():
    live = sparse((40, 30), 0.5)
    padded = np.zeros((500, 400), np.int64)
    padded[100:140, 200:230] = live
    at_the_end = np.zeros((500, 400), np.int64)
    at_the_end[460:, 370:] = live
    alone = code_of(live).length_bits
    for matrix in (padded, padded.T, at_the_end):
        assert code_of(matrix).length_bits < alone + 0.35 * (460 + 370)


def test_a_tensor_of_zeros_costs_nothing():
    assert code_of(np.zeros((1000, 1000), np.int64)).length_bits < 16


def test_a_matrix_costs_the_same_as_its_transpose():
    values = sparse((60, 20), 0.1)
    assert code_of(values).length_bits == pytest.approx(code_of(values.T).length_bits)


def test_any_bytes_decode_to_some_tensor_or_are_refused():
    rng = np.random.default_rng(0)
    for size in range(200):
        try:
            assert decode_tensor(BitDecoder(rng.bytes(size)), (20, 30)).shape == (20, 30)
        except ValueError as error:
            assert "Received" in str(error)


@pytest.mark.parametrize("shape", [(200, 30), (200,), (30, 200)], ids=str)
def test_units_known_to_be_dead_pay_and_wrong_ones_are_no_error(shape):
    rng = np.random.default_rng(0)
    live = rng.random(shape[0]) < 0.3
    values = sparse(shape, 0.3) * live.reshape(-1, *(1 for _ in shape[1:]))
    lengths = []
    for hint in (live.tolist(), None, (~live).tolist()):
        encoder = BitEncoder()
        encode_tensor(encoder, values, hint)
        lengths.append(encoder.length_bits)
        np.testing.assert_array_equal(decode_tensor(BitDecoder(encoder.to_bytes()), shape, hint), values)
    assert lengths[0] < lengths[1]


def test_rows_like_their_neighbours_in_an_image_cost_less_than_the_same_rows_in_disorder():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:14, :14]
    values = np.zeros((196, 40), np.int64)
    for unit in range(40):  # a round field of pixels
        center = rng.random(2) * 14
        values[:, unit] = (np.hypot(y - center[0], x - center[1]) < 2.5).ravel()
    ordered = code_of(values)
    assert ordered.length_bits < 0.8 * code_of(rng.permutation(values)).length_bits
    np.testing.assert_array_equal(decode_tensor(BitDecoder(ordered.to_bytes()), values.shape), values)


class Replay:
    """Stands for a `BitDecoder`: tells the bits that an encoder has taken, and asks for the same probabilities."""

    def __init__(self, encoder):
        bits, probabilities = encoder._joined()
        self._told = zip(bits.tolist(), probabilities.tolist(), strict=True)

    def decode(self, probability):
        bit, expected = next(self._told)
        assert min(max(probability, 2.0**-20), 1 - 2.0**-20) == expected
        return bit

    def assert_at_the_end(self):
        assert next(self._told, None) is None


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(st.data())
def test_all_bits_at_once_have_the_probabilities_that_the_decoder_comes_to_one_by_one(data):
    shape = data.draw(st.tuples(st.integers(0, 24), st.integers(0, 12)))
    density = data.draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    scale = data.draw(st.sampled_from([0.1, 3.0, 1e6, 2.0**44]))
    matrix = sparse(shape, density, scale, seed=data.draw(st.integers(0, 1000)))
    period = data.draw(st.sampled_from([0, 2, 3, 7, 8, 23, 255]))
    live_rows, live_columns = (
        data.draw(st.none() | st.lists(st.booleans(), min_size=size, max_size=size)) for size in shape
    )
    encoder = BitEncoder()
    with mock.patch.object(row_encoding, "_SLAB", data.draw(st.sampled_from([1, 40, 2**15]))):
        encode_rows(encoder, matrix, live_rows, live_columns, period)
    replay = Replay(encoder)
    np.testing.assert_array_equal(decode_rows(replay, shape, live_rows, live_columns, period), matrix)
    replay.assert_at_the_end()
    decoded = decode_rows(BitDecoder(encoder.to_bytes()), shape, live_rows, live_columns, period)
    np.testing.assert_array_equal(decoded, matrix)


def numbered(shape, density, largest):
    """Integers of a magnitude up to `largest`, the same on every machine and with every version of NumPy."""
    state, values = 1, []
    for _ in range(math.prod(shape)):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        kept = state >> 40 < density * 2**24
        values.append(int(kept) * (1 + (state >> 8) % largest) * (1 - 2 * (state >> 63 & 1 ^ state >> 38 & 1)))
    return np.array(values, np.int64).reshape(shape)


# Made when each bit was still encoded on its own.
FORMAT = {
    ((40, 30), 0.1, 3, 0): "8caf14fb5d5e4155",
    ((40, 30), 0.1, 3, 3): "2e4a3354701cb5ca",
    ((24, 24), 1.0, 9, 0): "3eecb3f37d052419",  # both ways to code it are equally long but for rounding
    ((25, 25), 1.0, 2**20, 2): "c7b684692a77157c",
    ((3, 3, 4, 8), 0.4, 5, 2): "9eb0a1709ee6096f",
    ((60,), 0.5, 2**40, 3): "e668261d7f351bdf",
    ((30, 2), 0.9, 1, 0): "a173d015459c0b93",
    ((1, 1), 1.0, 1, 0): "2de44621c76edf2d",
    ((50, 20), 0.0, 1, 0): "6d58692645c9d1cf",
    ((0, 3), 0.0, 1, 0): "e3b0c44298fc1c14",
    ((112, 10), 0.2, 2, 2): "ad1d6b7d1c0d6f95",
}


@pytest.mark.parametrize("case", FORMAT, ids=str)
def test_bytes_are_those_of_the_format_from_the_first_version_on(case):
    shape, density, largest, dead = case
    rows = math.prod(shape[:-1]) if len(shape) > 1 else math.prod(shape)
    live = [i % dead > 0 for i in range(rows)] if dead else None
    values = numbered(shape, density, largest)
    encoder = BitEncoder()
    encode_tensor(encoder, values, live)
    assert hashlib.sha256(encoder.to_bytes()).hexdigest()[:16] == FORMAT[case]
    np.testing.assert_array_equal(decode_tensor(BitDecoder(encoder.to_bytes()), shape, live), values)


@settings(deadline=None, derandomize=True, database=None, max_examples=100)
@given(st.lists(st.permutations([0.1, 0.3, 0.7, 0.9, 1e-3, 0.5 + 1e-9]), min_size=1, max_size=5), st.integers(0, 4))
def test_of_codes_that_differ_by_rounding_alone_that_of_the_least_sum_is_taken(orders, longer):
    encoders = []
    for i, order in enumerate(orders):
        encoders.append(BitEncoder())
        encoders[-1].append(np.ones(6 + (i == longer), int), order + [0.9] * (i == longer))

    def length(encoder):
        return -sum(math.log2(probability) for probability in encoder._joined()[1].tolist())

    assert shortest(encoders) is min(encoders, key=length)
