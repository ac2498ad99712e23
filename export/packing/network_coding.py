"""All weights of a network as one entropy-coded stream.

The stream holds them in the order of `network.weights`, one after another. Each begins with two bits: 0 for integers
and their step (10 bits), 1 for float16, 2 for the weight's own type. Integers are coded as `tensor_coding` says, floats
byte by byte, little-endian.
"""

import zlib

import keras
import numpy as np

from cvhn_tf.architecture import finalize_normalization
from cvhn_tf.export.packing.fixed_numbers import decode_fixed, encode_fixed
from cvhn_tf.export.packing.range_coding import BitDecoder, BitEncoder
from cvhn_tf.export.packing.tensor_coding import decode_tensor, encode_tensor
from cvhn_tf.export.rounding.step_grid import STEP_EXPONENTS, RoundedTensor

_QUANTIZED, _FLOAT16, _RAW = range(3)
_STEP_BITS = 10


def encode_weights(network, tensors) -> tuple[bytes, int]:
    """Codes the weights of a network.

    Args:
        network: Keras model.
        tensors: For each of its `weights` a `RoundedTensor`, which is coded in its place, or None for a weight that
            is kept as it is: in float16 where none of its numbers is too large or too small, else in its own type.

    Returns:
        Pair of the stream and the CRC-32 of the weights that it decodes to.
    """
    encoder = BitEncoder()
    checksum, units = 0, _Units()
    for weight, tensor in zip(network.weights, tensors, strict=True):
        values = _encode_weight(encoder, keras.ops.convert_to_numpy(weight), tensor, units)
        checksum = zlib.crc32(_as_bytes(values), checksum)
    return encoder.to_bytes(), checksum


def decode_weights(network, content) -> int:
    """Assigns the weights of a stream to a network of the architecture that it was made from.

    Returns:
        CRC-32 of the weights.

    Raises:
        ValueError: If no such network has this stream. Not all bytes that are none are found out: compare the checksum.
    """
    decoder = BitDecoder(content)
    checksum, units = 0, _Units()
    for variable in network.weights:
        dtype = keras.ops.convert_to_numpy(variable).dtype
        values = _decode_weight(decoder, tuple(variable.shape), dtype, units)
        checksum = zlib.crc32(_as_bytes(values), checksum)
        variable.assign(values)
    finalize_normalization(network)
    return checksum


class _Units:
    """Which units of the last kernel have any weights: the others are dead, and so should be what belongs to them."""

    def __init__(self):
        self._live = []

    def see(self, values):
        """Takes the integers of a weight."""
        if values.ndim > 1:
            self._live = values.any(axis=tuple(range(values.ndim - 1))).tolist()

    def expected(self, shape):
        """Which rows of a kernel, or numbers of a bias, should not be zero; None where that is not known."""
        rows = int(np.prod(shape[:-1])) if len(shape) > 1 else int(np.prod(shape))
        # Windows and flattened images have the units as their last axis, over and over.
        return self._live * (rows // len(self._live)) if self._live and rows % len(self._live) == 0 else None


def _encode_weight(encoder, values, tensor, units):
    """Appends a weight; returns the values that its code stands for."""
    if tensor is not None:
        encode_fixed(encoder, _QUANTIZED, 2)
        encode_fixed(encoder, tensor.step_exponent - STEP_EXPONENTS[0], _STEP_BITS)
        encode_tensor(encoder, tensor.values, units.expected(tensor.values.shape))
        units.see(tensor.values)
        return tensor.weights(values.dtype)
    kind, coded = _RAW, values
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            half = values.astype("float16")
        if np.allclose(half.astype(values.dtype), values, rtol=2.0**-11, atol=0):
            kind, coded, values = _FLOAT16, half, half.astype(values.dtype)
    encode_fixed(encoder, kind, 2)
    encode_fixed(encoder, np.frombuffer(_as_bytes(coded), np.uint8), 8)
    return values


def _decode_weight(decoder, shape, dtype, units):
    kind = int(decode_fixed(decoder, 2)[0])
    if kind == _QUANTIZED:
        exponent = int(decode_fixed(decoder, _STEP_BITS)[0]) + STEP_EXPONENTS[0]
        values = decode_tensor(decoder, shape, units.expected(shape))
        units.see(values)
        return RoundedTensor(values, exponent).weights(dtype)
    coded = np.dtype("float16" if kind == _FLOAT16 else dtype)
    size = int(np.prod(shape)) * coded.itemsize
    content = decode_fixed(decoder, 8, size).astype(np.uint8).tobytes()
    return np.frombuffer(content, coded.newbyteorder("<")).reshape(shape).astype(dtype)


def _as_bytes(values):
    return values.astype(values.dtype.newbyteorder("<")).tobytes()
