"""Parameterizations by name."""

from cvhn_tf.parameterizations.base import Parameterization
from cvhn_tf.parameterizations.pivots import Constant, Linear, PiecewiseLinear
from cvhn_tf.serialization import resolve

_PARAMETERIZATIONS = {"constant": Constant, "linear": Linear, "piecewise_linear": PiecewiseLinear}


def get(identifier) -> Parameterization:
    """Takes a `Parameterization`, its config, or its name: `"constant"`, `"linear"`, `"piecewise_linear"`."""
    return resolve("parameterization", identifier, Parameterization, _PARAMETERIZATIONS)
