"""The checks of what users give: numbers, arrays, weights, and classes by their names.

A value and the name of its argument come in; the value goes out in the form that the caller needs, or a `ValueError`
says what was expected and what was received. Begin with `arguments.py`.
"""

from cvhn_tf.checks.arguments import check_initial_stddev, check_integer, check_positive, check_share, is_finite_number
from cvhn_tf.checks.arrays import as_input_arrays, flatten_inputs
from cvhn_tf.checks.errors import first_line, with_cause
from cvhn_tf.checks.finite_weights import check_finite_variables, check_finite_weights, first_non_finite
from cvhn_tf.checks.identifiers import resolve

__all__ = [
    "as_input_arrays",
    "check_finite_variables",
    "check_finite_weights",
    "check_initial_stddev",
    "check_integer",
    "check_positive",
    "check_share",
    "first_line",
    "first_non_finite",
    "flatten_inputs",
    "is_finite_number",
    "resolve",
    "with_cause",
]
