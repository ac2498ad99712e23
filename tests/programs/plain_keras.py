"""Keras's own `fit` on several workers, which fails twice: while it builds the model, and on the figures of a step."""

import keras
import numpy as np
import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()
x, y = np.zeros((16, 4), "float32"), np.zeros(16)


class BuiltBefore(keras.Sequential):
    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=(x[:4], y[:4], None))


for failure, kind in (("build", keras.Sequential), ("logs", BuiltBefore)):
    with strategy.scope():
        model = kind([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    try:
        model.fit(x, y, batch_size=8, verbose=0)
    except Exception as error:
        print(f"{failure}: {type(error).__name__} {error}", flush=True)
