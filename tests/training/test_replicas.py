"""Two replicas of one model: λ is drawn jointly, and each replica has weight noise of its own."""

import subprocess
import sys

PROGRAM = """
import numpy as np
import tensorflow as tf
import keras

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

import cvhn_tf


def outputs_of_two_replicas(**arguments):
    with strategy.scope():
        target = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax")])
        model = cvhn_tf.VariationalHypernetwork(target, train_size=16, **arguments)
        model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    x, y = np.random.default_rng(0).normal(size=(16, 4)).astype("float32"), np.arange(16) % 3
    model.fit(x, y, batch_size=8, epochs=30, verbose=0)  # until the outputs depend on λ
    assert int(model._step.numpy()) == 60
    run = tf.function(lambda: strategy.run(lambda: model(tf.constant(x), training=True)))
    return [output.numpy() for output in strategy.experimental_local_results(run())]


first, second = outputs_of_two_replicas(initial_stddev=0.5)
assert np.abs(first - second).max() > 1e-2, "equal noise"
first, second = outputs_of_two_replicas(prior="l2", estimator="deterministic")
np.testing.assert_allclose(first, second, atol=1e-6)
"""


def test_noise_differs_between_replicas_and_complexity_does_not():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
