"""The networks of MLPerf Tiny from fit to file."""

import numpy as np
import pytest

import cvhn_tf
from cvhn_tf import export, targets


@pytest.mark.parametrize(
    ("name", "input_shape", "num_classes"),
    [
        ("resnet_8", (32, 32, 3), 10),
        ("ds_cnn", (49, 10, 1), 12),
        # Smaller images than its own, for the test's time.
        pytest.param("mobilenet_v1_025", (32, 32, 3), 2, marks=pytest.mark.long),
        pytest.param("autoencoder_640", (640,), None, marks=pytest.mark.long),
    ],
)
def test_network_is_trained_pruned_by_units_and_written(name, input_shape, num_classes):
    rng = np.random.default_rng(0)
    x = rng.random((8, *input_shape), dtype="float32")
    y = x if num_classes is None else np.arange(8) % num_classes
    target = targets.get(name, input_shape, num_classes)
    model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.001, 1.0), seed=0)
    # There is one step, and to trace that of many layers takes longer than to run it.
    loss = "mse" if num_classes is None else "sparse_categorical_crossentropy"
    model.compile(cvhn_tf.PivotAdam(), loss, run_eagerly=num_classes is not None)
    history = model.fit(x, y, batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert model.at(0.1).count_params() == target.count_params()
    pruned = export.prune(model, complexity=0.1, sparsity=0.8, structure="unit", scope="layer")
    compact = export.compact(export.recalibrate(pruned, x))
    assert compact.count_params() < 0.5 * target.count_params()
    artifact = export.to_tflite(compact, quantization="dynamic_range", representative_data=x)
    whole = export.to_tflite(model.at(0.1), quantization="dynamic_range", representative_data=x)
    assert artifact.size_bytes < whole.size_bytes
