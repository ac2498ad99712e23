"""Which parts of a network there are, as random as its weights: choices in a target, and their posterior over λ.

A target with `Choice` and `OptionalPaths` layers comes in; which layers are used with which probability, what they
cost, and the network without choices go out. Begin with `choices.py`, what users write, then `usage.py`, which follows
a network from its outputs to what they read; `posterior.py` holds q(z | λ).
"""

from cvhn_tf.structure.choices import Choice, OptionalPaths

__all__ = ["Choice", "OptionalPaths"]
