"""Noise in the weights, one draw for a batch."""

import keras
import tensorflow as tf

from cvhn_tf.estimators.base import Estimator
from cvhn_tf.tensors import noise
from cvhn_tf.tensors.channels import LAST


@keras.saving.register_keras_serializable(package="cvhn_tf")
class WeightSampling(Estimator):
    """One draw of the weights, w = mean + stddev · ε, shared by the examples of a batch. Any layer."""

    def sample(self, function, inputs, posteriors, seed, channels=LAST):
        seeds = tf.random.experimental.stateless_split(seed, num=len(posteriors))
        return function(inputs, [noise.normal(p.loc, p.scale, seeds[i]) for i, p in enumerate(posteriors)])
