"""Estimators by their names."""

from cvhn_tf.checks.identifiers import resolve
from cvhn_tf.estimators.base import Estimator
from cvhn_tf.estimators.deterministic import Deterministic
from cvhn_tf.estimators.flipout import Flipout
from cvhn_tf.estimators.local_reparameterization import LocalReparameterization
from cvhn_tf.estimators.weight_sampling import WeightSampling

_ESTIMATORS = {
    "deterministic": Deterministic,
    "flipout": Flipout,
    "local_reparameterization": LocalReparameterization,
    "weight_sampling": WeightSampling,
}


def get(identifier) -> Estimator:
    """Takes an `Estimator`, its config, or its name: the class's, such as `"local_reparameterization"`."""
    return resolve("estimator", identifier, Estimator, _ESTIMATORS)
