"""What a TFLite file takes at least, told from the weights alone: most candidates need not be converted."""

import zlib

import keras
import numpy as np

from cvhn_tf.export.tflite.encodings import ENCODINGS

_BLOCK = 4
# gzip makes zeros nearly vanish, but the digits of weights that are kept are noise to it.
_LEAST_GZIP_SHARE = 0.5


def least_bytes(network, quantization, sparse=True) -> float:
    """Number of bytes below which no TFLite file of a network comes.

    A tensor is stored whole; in floats also by its non-zeros, each with an index, or by its 1×4 blocks that are not
    zero, each with an index. Everything else in a file is left out.

    Args:
        network: Built Keras model, compacted if its file will be.
        quantization: As in `to_tflite`.
        sparse: Whether zeros may be stored in the sparse encoding.
    """
    encoding = ENCODINGS[quantization]
    return sum(_least_of(weight, _size_of(weight, encoding), encoding, sparse) for weight in _stored(network))


def dense_bytes(network, quantization) -> float:
    """Number of bytes of the weights in a dense file."""
    encoding = ENCODINGS[quantization]
    return sum(
        weight.size * (encoding.vector_bytes if weight.ndim < 2 else _size_of(weight, encoding))
        for weight in network.get_weights()
    )


def least_gzip_bytes(network, quantization) -> float:
    """Number of bytes that a file of a network takes after gzip in practice at least.

    Half of its non-zeros' length. Of kernels that were rounded for an encoding of integers, the integers after gzip:
    files came out at least 1.2 times as long, with all that is beside the kernels.
    """
    return sum(_least_gzip_of(weight, ENCODINGS[quantization]) for weight in _stored(network))


def _stored(network):
    """The weights but for those of batch normalization, which the converter lets go into the layer before it."""
    layers = network._flatten_layers()
    folded = {id(w) for layer in layers if isinstance(layer, keras.layers.BatchNormalization) for w in layer.weights}
    return [weight.numpy() for weight in network.weights if id(weight) not in folded]


def _size_of(weight, encoding):
    """Bytes of each weight of a tensor that is stored whole, at least."""
    if weight.ndim > 1 and weight.size < encoding.least_numbers:
        return ENCODINGS[None].weight_bytes
    return encoding.weight_bytes


def _least_gzip_of(weight, encoding):
    if weight.ndim > 1 and encoding.integer_bits is not None:
        integers = _ranks(weight, levels=2**encoding.integer_bits)
        if integers is not None:
            return len(zlib.compress(_packed(integers) if encoding.integer_bits == 4 else integers))
    return _LEAST_GZIP_SHARE * encoding.weight_bytes * np.count_nonzero(weight)


def _ranks(kernel, levels):
    """Integers like those of a file: each weight's rank among the values of its channel; None if these are too many."""
    columns = kernel.reshape(-1, kernel.shape[-1]).T
    ranks = np.empty(columns.shape, "uint8")
    for column, row in zip(columns, ranks, strict=True):
        values, inverse = np.unique(column, return_inverse=True)
        if len(values) > levels:
            return None
        row[:] = (inverse - np.searchsorted(values, 0)) % levels  # zeros are 0 in all of them
    return ranks.ravel()


def _packed(integers):
    """Two integers of 4 bits in a byte."""
    pairs = np.resize(integers, (len(integers) + 1) // 2 * 2).reshape(-1, 2)
    return pairs[:, 0] | pairs[:, 1] << 4


def _least_of(weight, size, encoding, sparse):
    whole = weight.size * size
    if weight.ndim < 2 and not weight.any():  # biases that are all zero may share one tensor, or be left out
        return 0
    if weight.ndim < 2 or encoding.integer_bits is not None or not sparse:
        return whole
    kept = np.count_nonzero(weight)
    if weight.ndim > 2:
        return min(whole, kept * (size + 1), -(-kept // _BLOCK) * _BLOCK * size)
    inputs = np.flatnonzero(weight.any(axis=1))
    last = inputs[-1] if len(inputs) else 0
    single = kept * (size + _index_bytes(last))
    if weight.shape[0] % _BLOCK:
        return min(whole, single)
    blocks = np.count_nonzero(weight.reshape(-1, _BLOCK, weight.shape[1]).any(axis=1))
    return min(whole, single, blocks * (_BLOCK * size + _index_bytes(last // _BLOCK)))


def _index_bytes(last):
    return 1 if last < 256 else 2
