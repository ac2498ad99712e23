"""The best file within budgets, and the smallest of all encodings.

A `VariationalHypernetwork`, examples and budgets come in; the chosen file and all that was tried go out. Begin with
`best.py`; `budget_search.py` says what is tried in which order, `pruned_networks.py` and `size_bound.py` what can be
known without making a file, `trials.py` makes and measures files.
"""

from cvhn_tf.export.search.best import Best, best
from cvhn_tf.export.search.candidate import Candidate
from cvhn_tf.export.search.smallest import smallest

__all__ = ["Best", "Candidate", "best", "smallest"]
