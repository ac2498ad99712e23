"""`Variational`: any Keras layer with λ-conditioned random weights.

A Keras layer comes in, with a parameterization, a prior and an estimator; a layer that draws its weights in training
goes out, and the KL of their posterior. Begin with `variational.py`; `wrappable.py` says which layers it refuses.
"""

from cvhn_tf.layers.variational import Variational
from cvhn_tf.layers.wrappable import check_wrappable

__all__ = ["Variational", "check_wrappable"]
