"""What errors of other packages say, in one line."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its class where it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def with_cause(error: BaseException) -> str:
    """The first line of an error's message, and behind it the innermost cause that the message or Python names.

    Keras wraps an error in another one, with a config of many lines between the two.
    """
    first, (_, named, quoted) = first_line(error), str(error).rpartition("Exception encountered: ")
    cause = quoted.strip().splitlines()[0] if named and quoted.strip() else None
    inner = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    if cause is None and inner is not error:
        cause = first_line(inner)
    return first if cause is None or cause in first else f"{first} … {cause}"
