"""What `make test` leaves to `make test-all`, and the cases that a run is to try.

`long` are cases that stand beside others of their kind, and tests that take seconds for what is shown in parts
elsewhere, such as whole trainings and searches.
"""

import pytest


def long_but(is_short, cases):
    """Values for `pytest.mark.parametrize`, of which those that a function does not accept are marked `long`.

    Args:
        is_short: Function of a case, true for those that always run.
        cases: Values of one argument.
    """
    return [case if is_short(case) else pytest.param(case, marks=pytest.mark.long) for case in cases]


def asked_for(request, argument):
    """The values of an argument that tests of the file of a fixture were collected with, once each, in their order."""
    collected = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    return list(dict.fromkeys(of.params[argument] for of in collected if of and argument in of.params))
