"""How far the probabilities that a classifier gives are from the shares of right answers: its calibration."""

import numpy as np

BINS = 15


def calibration_error(outputs: np.ndarray, y: np.ndarray, bins: int = BINS) -> float | None:
    """Expected calibration error of class probabilities.

    Examples are put into bins of equal width by their confidence, the probability of the class that is predicted:
    bin m holds confidences in ((m − 1)/bins, m/bins]. Then

        error = Σ_m |B_m| / n · |accuracy(B_m) − mean confidence(B_m)|

    Args:
        outputs: Probabilities of shape (examples, classes); one column is taken for the probability of class 1.
        y: Class labels, one for each example, or one-hot rows.
        bins: Number of bins.

    Returns:
        Error in [0, 1]; None where the outputs are no probabilities of classes, such as logits.

    Raises:
        ValueError: If there is not one label for each of the outputs.

    Reference: [Guo et al., 2017](https://arxiv.org/abs/1706.04599).
    """
    if not _are_probabilities(outputs):
        return None
    if len(y) != len(outputs):
        raise ValueError(
            f"Expected `y` of one label for each of the outputs. Received: {len(y)} labels, {len(outputs)} outputs"
        )
    if outputs.shape[1] == 1:
        outputs = np.concatenate([1 - outputs, outputs], axis=1)
    if y.ndim == 2 and y.shape[1] == outputs.shape[1]:
        y = y.argmax(1)
    confidence = np.clip(outputs.max(1).astype("float64"), 0, 1)
    right = outputs.argmax(1) == y.ravel()
    number = np.maximum(np.ceil(confidence * bins).astype(int) - 1, 0)
    gaps = np.bincount(number, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(outputs))


def _are_probabilities(outputs):
    if outputs.ndim != 2 or len(outputs) == 0 or not ((outputs > -1e-3) & (outputs < 1 + 1e-3)).all():
        return False
    # The 8-bit outputs of an int8 file are multiples of 1/256: each may be half of that off.
    rounding = outputs.shape[1] / 512
    return outputs.shape[1] == 1 or bool((np.abs(outputs.sum(1) - 1) < 0.01 + rounding).all())
