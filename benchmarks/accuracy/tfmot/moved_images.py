"""Batches of training images, each mirrored or not and moved at random: the same for all that are compared."""

import tensorflow as tf


def moved(x, y, batch_size, pixels):
    """Shuffled batches of examples, without the last ones that fill none.

    Args:
        x: Array of images, or of any examples where they do not move.
        y: Array of their labels.
        batch_size: Examples of a batch.
        pixels: How far an image moves at most, on each axis; 0 leaves all examples as they are.
    """

    def move(image, label):
        padded = tf.pad(tf.image.random_flip_left_right(image), [[pixels, pixels], [pixels, pixels], [0, 0]])
        return tf.image.random_crop(padded, x.shape[1:]), label

    examples = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x))
    if pixels:
        examples = examples.map(move, num_parallel_calls=1)
    return examples.batch(batch_size, drop_remainder=pixels > 0).prefetch(2)
