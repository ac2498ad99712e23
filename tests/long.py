"""Cases that `make test` leaves to `make test-all`, since others of their kind stand for them."""

import pytest


def long_but(is_short, cases):
    """Values for `pytest.mark.parametrize`, of which those that a function does not accept are marked `long`.

    Args:
        is_short: Function of a case, true for those that always run.
        cases: Values of one argument.
    """
    return [case if is_short(case) else pytest.param(case, marks=pytest.mark.long) for case in cases]
