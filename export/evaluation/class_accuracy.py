"""The share of examples that outputs put into the right class."""

import numpy as np


def accuracy(outputs, y) -> float | None:
    """Share of rows of `outputs` whose class is that of `y`; None where these are no class scores.

    One output column is taken for the probability of class 1, or for its logit if there are numbers that can be no
    probabilities.
    """
    if outputs.ndim != 2 or (outputs.shape[1] == 1 and not np.isin(y, (0, 1)).all()):
        return None
    if y.ndim == 2 and y.shape[1] == outputs.shape[1] > 1:
        y = y.argmax(1)
    if y.size != len(outputs) or not np.array_equal(y, np.round(y)):
        return None
    least = 0.5 if outputs.min() >= 0 and outputs.max() <= 1 else 0.0
    classes = outputs.argmax(1) if outputs.shape[1] > 1 else outputs[:, 0] > least
    return float(np.mean(classes == y.ravel()))
