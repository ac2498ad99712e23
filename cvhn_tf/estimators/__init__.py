"""Estimators of the expected NLL: how noise from the posterior enters a layer's outputs during training.

A layer as a function of its inputs and weights comes in, with the posteriors of these weights and a seed; random
outputs of the layer go out. Begin with `base.py`, then `local_reparameterization.py`, the default; a file for each
estimator, and `by_name.py` lists them.
"""

from cvhn_tf.estimators.base import Estimator
from cvhn_tf.estimators.by_name import get
from cvhn_tf.estimators.deterministic import Deterministic
from cvhn_tf.estimators.flipout import Flipout
from cvhn_tf.estimators.local_reparameterization import LocalReparameterization
from cvhn_tf.estimators.weight_sampling import WeightSampling

__all__ = [
    "Deterministic",
    "Estimator",
    "Flipout",
    "LocalReparameterization",
    "WeightSampling",
    "get",
]
