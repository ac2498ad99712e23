"""The hypernetwork G: how the posterior's parameters depend on the complexity λ, one idea a file.

Initial values of a weight and λ come in; its mean or log-stddev at that λ goes out. Begin with `base.py`, then
`optimal_response.py`, the default, which stands on `hierarchical.py`; `by_name.py` lists them.
"""

from cvhn_tf.parameterizations.base import Parameterization
from cvhn_tf.parameterizations.by_name import get
from cvhn_tf.parameterizations.gated import Gated
from cvhn_tf.parameterizations.generated import Generated
from cvhn_tf.parameterizations.hierarchical import Hierarchical
from cvhn_tf.parameterizations.low_rank import LowRank
from cvhn_tf.parameterizations.optimal_response import OptimalResponse
from cvhn_tf.parameterizations.pivots import Constant, Linear, PiecewiseLinear

__all__ = [
    "Constant",
    "Gated",
    "Generated",
    "Hierarchical",
    "Linear",
    "LowRank",
    "OptimalResponse",
    "Parameterization",
    "PiecewiseLinear",
    "get",
]
