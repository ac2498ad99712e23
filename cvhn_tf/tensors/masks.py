"""Keras's masks, which stand at the tensors that they belong to."""


def with_mask_of(source, tensor):
    """`tensor`, with the mask of another tensor of the same examples and steps, if that has one."""
    tensor._keras_mask = getattr(source, "_keras_mask", None)
    return tensor
