"""Weights rounded by what the posterior knows of them: to the grids of 8 and 4 bits, or to multiples of a step.

A `VariationalHypernetwork`, λ, a sparsity and a step in posterior stddevs come in; a network on a grid goes out, for
the encodings of integers, or integers and their steps, for packed files. Begin with `integer_grid.py`.
"""

from cvhn_tf.export.rounding.integer_grid import round_weights
from cvhn_tf.export.rounding.rate import round_by_rate
from cvhn_tf.export.rounding.step_grid import RoundedTensor, round_to_steps

__all__ = ["RoundedTensor", "round_by_rate", "round_to_steps", "round_weights"]
