"""How many weights of 1×1 convolutions have to be zero for XNNPACK to leave them out."""

import numpy as np


def count_zeros(kernels) -> tuple[int, int]:
    """Number of zeros and of weights of all of a list of arrays."""
    return sum(int(np.sum(kernel == 0)) for kernel in kernels), sum(kernel.size for kernel in kernels)


def are_left_out(zeros: int, weights: int) -> bool:
    """Whether more than two thirds are zero, which is XNNPACK's rule for all 1×1 convolutions of a graph together."""
    return 3 * zeros > 2 * weights
