"""Priors by their names."""

from cvhn_tf.checks.identifiers import resolve
from cvhn_tf.priors.automatic_relevance import AutomaticRelevance
from cvhn_tf.priors.base import Prior
from cvhn_tf.priors.group_relevance import GroupRelevance
from cvhn_tf.priors.l2 import L2
from cvhn_tf.priors.log_uniform import LogUniform
from cvhn_tf.priors.normal import Normal, ScaledNormal

_PRIORS = {
    "automatic_relevance": AutomaticRelevance,
    "group_relevance": GroupRelevance,
    "l2": L2,
    "log_uniform": LogUniform,
    "normal": Normal,
    "scaled_normal": ScaledNormal,
}


def get(identifier) -> Prior:
    """Takes a `Prior`, its serialised config, or its name: the class's, such as `"scaled_normal"` or `"l2"`."""
    return resolve("prior", identifier, Prior, _PRIORS)
