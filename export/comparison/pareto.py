"""The Pareto front of size and accuracy, or another metric."""

import math

from cvhn_tf.export.evaluation.metric import ACCURACY, Metric


def pareto_front(rows, metric: Metric = ACCURACY) -> set[int]:
    """Indices of the rows that no other row beats in both size and metric."""
    front, best = set(), -math.inf
    for i in sorted(range(len(rows)), key=lambda i: (rows[i].size_bytes, -metric.score(rows[i]))):
        if metric.score(rows[i]) > best:
            front.add(i)
            best = metric.score(rows[i])
    return front
