import numpy as np
import pytest

from cvhn_tf import export
from cvhn_tf.export.evaluation.calibration import calibration_error


def test_error_of_an_example_by_hand():
    """Five examples, five bins: (0.4, 0.6] holds two, (0.6, 0.8] one, (0.8, 1] two."""
    outputs = np.array([[0.6, 0.4], [0.45, 0.55], [0.3, 0.7], [0.9, 0.1], [0.0, 1.0]])
    y = np.array([0, 0, 1, 0, 0])
    # |1/2 − 0.575| · 2/5 + |1 − 0.7| · 1/5 + |1/2 − 0.95| · 2/5
    assert calibration_error(outputs, y, bins=5) == pytest.approx(0.03 + 0.06 + 0.18)


def test_fifteen_bins_hold_their_upper_edge_and_not_the_lower():
    outputs = np.array([[0.6, 0.4], [0.61, 0.39]])  # 0.6 = 9/15 ends a bin
    apart = calibration_error(outputs, np.array([0, 1]))
    assert apart == pytest.approx((0.4 + 0.61) / 2)
    together = calibration_error(np.array([[0.605, 0.395], [0.61, 0.39]]), np.array([0, 1]))
    assert together == pytest.approx(abs(1 - 1.215) / 2)


def test_calibrated_probabilities_have_next_to_no_error_and_overconfident_ones_have():
    rng = np.random.default_rng(0)
    probability = rng.uniform(size=200_000)
    y = (rng.uniform(size=probability.size) < probability).astype(int)
    assert calibration_error(probability[:, None], y) < 0.005
    two_columns = np.stack([1 - probability, probability], axis=1)
    assert calibration_error(two_columns, y) == pytest.approx(calibration_error(probability[:, None], y), abs=1e-12)
    assert calibration_error(two_columns, np.eye(2)[y]) == calibration_error(two_columns, y)
    # Confidence is 1 and three quarters are right.
    assert calibration_error(np.round(two_columns), y) == pytest.approx(0.25, abs=0.005)


@pytest.mark.parametrize("outputs", [[[2.0, -1.0]], [[0.9, 0.9]], [[0.1, 0.2]], [0.5], np.zeros((0, 2))])
def test_outputs_that_are_no_probabilities_have_no_error(outputs):
    assert calibration_error(np.array(outputs), np.zeros(len(outputs), int)) is None


def test_files_are_measured_like_their_networks(compiled, data):
    x, y = data
    model = compiled()
    (row,) = export.compare(model, data, complexities=[1.0], sparsities=[0.0], quantizations=[None])
    expected = calibration_error(model.at(1.0)(x).numpy(), y)
    assert expected > 0.01
    assert row.calibration_error == pytest.approx(expected, abs=1e-4)
    (row,) = export.compare(
        model, data, complexities=[1.0], sparsities=[0.0], quantizations=["int8"], representative_data=x
    )
    assert row.calibration_error == pytest.approx(expected, abs=0.05)
