"""Files of many complexities, sparsities and encodings side by side: tables, plots and the report.

A `VariationalHypernetwork` and examples come in; a `Comparison` goes out, as a table, a picture or a web page.
Begin with `compare.py`; `report.py` shows what a search has tried as well.
"""

from cvhn_tf.export.comparison.compare import compare
from cvhn_tf.export.comparison.comparison import Comparison
from cvhn_tf.export.comparison.curve import SizeAccuracyCurve
from cvhn_tf.export.comparison.report import report
from cvhn_tf.export.comparison.rows import Row

__all__ = ["Comparison", "Row", "SizeAccuracyCurve", "compare", "report"]
