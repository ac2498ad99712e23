"""The entropy code: exact both ways, near the entropy, and free where nothing is kept."""

import numpy as np
import pytest

from cvhn_tf.export.packing.adaptive_models import AdaptiveBit, AdaptiveNumber, code_fixed
from cvhn_tf.export.packing.range_coding import BitDecoder, BitEncoder
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
        code_fixed(encoder, 5, 3)
    decoder = BitDecoder(encoder.to_bytes())
    for tensor in tensors:
        np.testing.assert_array_equal(decode_tensor(decoder, tensor.shape), tensor)
        assert code_fixed(decoder, None, 3) == 5


@pytest.mark.parametrize("number", [0, 1, 2, 6, 7, 8, 1000, 2**31, 2**40 + 12345, AdaptiveNumber.largest])
def test_numbers_of_any_size_come_back(number):
    encoder, model = BitEncoder(), AdaptiveNumber()
    assert [model.code(encoder, n) for n in (3, number, 0, number)] == [3, number, 0, number]
    decoder, model = BitDecoder(encoder.to_bytes()), AdaptiveNumber()
    assert [model.code(decoder, None) for _ in range(4)] == [3, number, 0, number]


@pytest.mark.parametrize("probability", [0.0, 1e-9, 0.5, 1.0])
def test_bits_come_back_at_any_probability_even_a_wrong_one(probability):
    encoder = BitEncoder()
    bits = [0, 1, 1, 0, 1]
    for bit in bits:
        encoder.code(bit, probability)
    decoder = BitDecoder(encoder.to_bytes())
    assert [decoder.code(None, probability) for _ in bits] == bits


def test_bytes_are_as_many_as_the_probabilities_say():
    rng = np.random.default_rng(0)
    encoder = BitEncoder()
    for probability in rng.random(20000) ** 4:
        encoder.code(int(rng.random() < probability), probability)
    assert encoder.length_bits / 8 - 1 <= len(encoder.to_bytes()) <= encoder.length_bits / 8 + 8


def test_an_adaptive_bit_costs_its_entropy_and_the_price_of_learning_it():
    bits = (np.random.default_rng(0).random(10000) < 0.1).astype(int)
    encoder, model = BitEncoder(), AdaptiveBit()
    for bit in bits:
        model.code(encoder, int(bit))
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
