"""A batch shared out between the complexities of a step, and put together again."""

import tensorflow as tf
from keras import tree

from cvhn_tf.complexity.range import batch_shares


def split_batch(inputs, parts):
    """Cuts every tensor of a nested structure along its first axis, as `batch_shares` has it, no part being empty.

    Tensors of one row that are the same for all examples, such as a mask of attention, go to every part as they are.

    Where there are fewer examples than parts, as in a last batch, zeros stand for those that are missing: TensorFlow's
    convolutions on CPU fail without examples. `concat_batches` drops what comes of them.
    """
    if parts == 1:
        return [inputs]
    tensors = tree.flatten(inputs)
    batch = tf.shape(tensors[0])[0]
    missing = tf.maximum(parts - batch, 0)
    beyond_one_each = tf.cast(batch + missing - parts, tf.float32)
    ends = tf.range(1, parts + 1) + tf.cast(
        tf.round(tf.cumsum(tf.constant(batch_shares(parts))) * beyond_one_each), tf.int32
    )
    sizes = ends - tf.concat([[0], ends[:-1]], 0)

    def cut(tensor):
        padded = tf.pad(tensor, [[0, missing], *[[0, 0]] * (len(tensor.shape) - 1)])
        return tf.split(padded, sizes, num=parts)

    split = []
    for tensor in tensors:
        if tensor.shape[:1] == [1] and tensors[0].shape[:1] != [1]:
            split.append([tensor] * parts)
            continue
        pieces = cut(tensor)
        if getattr(tensor, "_keras_mask", None) is not None:
            for piece, mask in zip(pieces, cut(tensor._keras_mask), strict=True):
                piece._keras_mask = mask
        split.append(pieces)
    return [tree.pack_sequence_as(inputs, list(pieces)) for pieces in zip(*split, strict=True)]


def concat_batches(parts, batch):
    """Puts the outputs of the parts together again: of the first `batch` examples, the others being padding."""
    if len(parts) == 1:
        return parts[0]

    def concat(*tensors):
        outputs = tf.concat(tensors, 0)[:batch]
        masks = [getattr(tensor, "_keras_mask", None) for tensor in tensors]
        if masks[0] is not None:
            outputs._keras_mask = tf.concat(masks, 0)[:batch]
        return outputs

    return tree.map_structure(concat, *parts)
