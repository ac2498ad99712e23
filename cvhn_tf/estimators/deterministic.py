"""No noise: the baseline."""

import keras

from cvhn_tf.estimators.base import Estimator
from cvhn_tf.tensors.channels import LAST


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Deterministic(Estimator):
    """No noise: the deterministic baseline, whose posteriors are points. Any layer.

    Goes with the prior `"l2"` only.
    """

    deterministic = True

    def sample(self, function, inputs, posteriors, seed, channels=LAST):
        return function(inputs, [posterior.loc for posterior in posteriors])
