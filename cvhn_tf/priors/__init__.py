"""Priors p(w) of the target's weights: each gives the description length of a posterior, its KL, in nats.

A posterior at some complexities comes in, a KL for each of them goes out, and `kl_weight(λ)`, by which the loss
multiplies it. A prior is a small value object: `Normal(stddev=0.1)`, its config, or its name `"normal"` say the same.
Begin with `base.py`, then `automatic_relevance.py`, the default; a file for each prior, and `by_name.py` lists them.
"""

from cvhn_tf.priors.automatic_relevance import AutomaticRelevance
from cvhn_tf.priors.base import Prior
from cvhn_tf.priors.by_name import get
from cvhn_tf.priors.group_relevance import GroupRelevance
from cvhn_tf.priors.l2 import L2
from cvhn_tf.priors.log_uniform import LogUniform
from cvhn_tf.priors.normal import Normal, ScaledNormal

__all__ = [
    "L2",
    "AutomaticRelevance",
    "GroupRelevance",
    "LogUniform",
    "Normal",
    "Prior",
    "ScaledNormal",
    "get",
]
