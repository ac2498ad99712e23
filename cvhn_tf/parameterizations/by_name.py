"""Parameterizations by name."""

from cvhn_tf.checks.identifiers import resolve
from cvhn_tf.parameterizations.base import Parameterization
from cvhn_tf.parameterizations.gated import Gated
from cvhn_tf.parameterizations.generated import Generated
from cvhn_tf.parameterizations.hierarchical import Hierarchical
from cvhn_tf.parameterizations.low_rank import LowRank
from cvhn_tf.parameterizations.optimal_response import OptimalResponse
from cvhn_tf.parameterizations.pivots import Constant, Linear, PiecewiseLinear

_PARAMETERIZATIONS = {
    "constant": Constant,
    "gated": Gated,
    "generated": Generated,
    "hierarchical": Hierarchical,
    "linear": Linear,
    "low_rank": LowRank,
    "optimal_response": OptimalResponse,
    "piecewise_linear": PiecewiseLinear,
}


def get(identifier) -> Parameterization:
    """Takes a `Parameterization`, its config, or its name: the class's, such as `"low_rank"`."""
    return resolve("parameterization", identifier, Parameterization, _PARAMETERIZATIONS)


def get_for(prior, identifier=None) -> Parameterization:
    """What `get` takes, or where nothing is asked for the default of a prior: `OptimalResponse`, `Gated` without one.

    Args:
        prior: `Prior`, whose `response` is None where the best posterior of a weight is not known.
        identifier: As in `get`, or None.
    """
    if identifier is None:
        identifier = "gated" if prior.response is None else "optimal_response"
    return get(identifier)
