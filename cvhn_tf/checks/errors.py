"""What errors of other packages say, in one line."""

import re

_STYLES = re.compile(r"\x1b\[[0-9;]*m")
# Lines around what went wrong: where Keras was, what it was given, and where in its graph TensorFlow was.
_SAYS_NOTHING = re.compile(
    r"Exception encountered when calling|Arguments received by|•|in user code:|File \"|Traceback "
)
# Behind a config of many lines Keras quotes what it met.
_QUOTES = "Exception encountered: "


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its class where it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def with_cause(error: BaseException) -> str:
    """The first line of an error that says something, and that of what caused it if it is another.

    The cause is what the message quotes; where it quotes nothing, the innermost error that Python names.
    """
    message, _, quoted = str(error).partition(_QUOTES)
    lines = [_first_telling_line(message), _first_telling_line(quoted.rpartition(_QUOTES)[2])]
    if lines[1] is None:
        lines += map(_first_telling_line, map(str, _causes(error)))
    reasons: list[str] = []
    for line in lines:
        if line is not None and not any(line in reason or reason in line for reason in reasons):
            reasons.append(line)
    if not reasons:
        return type(error).__name__
    return reasons[0] if len(reasons) == 1 else f"{reasons[0]} (caused by: {reasons[-1]})"


def _causes(error):
    """The errors behind an error, the innermost last."""
    seen = {id(error)}
    while True:
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None or id(cause) in seen:
            return
        seen.add(id(cause))
        yield cause
        error = cause


def _first_telling_line(message):
    lines = (line.strip() for line in _STYLES.sub("", message).splitlines())
    return next((line for line in lines if line and not _SAYS_NOTHING.match(line)), None)
