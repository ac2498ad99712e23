"""The complexity coefficient λ: its range, its law in training, and the parts of a batch that go to each λ of a step.

Two numbers or a distribution come in; draws of λ, λ encoded for the hypernetwork and shares of the batch go out.
Begin with `range.py`.
"""

from cvhn_tf.complexity.batch_parts import concat_batches, split_batch
from cvhn_tf.complexity.distribution import ComplexityDistribution
from cvhn_tf.complexity.range import ComplexityRange, batch_shares, evenly_spread

__all__ = [
    "ComplexityDistribution",
    "ComplexityRange",
    "batch_shares",
    "concat_batches",
    "evenly_spread",
    "split_batch",
]
