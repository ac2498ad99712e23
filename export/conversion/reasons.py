"""Why a conversion failed, in one line of the many that Keras and TensorFlow give."""

import re

_STYLES = re.compile(r"\x1b\[[0-9;]*m")
# Lines around what went wrong: where Keras was, what it was given, and where in its graph TensorFlow was.
_SAYS_NOTHING = re.compile(
    r"Exception encountered when calling|Arguments received by|•|in user code:|File \"|Traceback "
)
_UNKNOWN = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")


def reason_of(error: BaseException) -> str:
    """The first line of an error that says something, and that of what caused it if it is another.

    Operations that TFLite does not have are named, all of them.
    """
    unknown = list(dict.fromkeys(_UNKNOWN.findall(str(error))))
    if unknown:
        return f"TFLite has no operation for TensorFlow's {', '.join(unknown)}"
    reasons: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        line = _first_telling_line(current)
        if line is not None and not any(line in reason or reason in line for reason in reasons):
            reasons.append(line)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    if not reasons:
        return type(error).__name__
    return reasons[0] if len(reasons) == 1 else f"{reasons[0]} (caused by: {reasons[-1]})"


def _first_telling_line(error):
    lines = (line.strip() for line in _STYLES.sub("", str(error)).splitlines())
    return next((line for line in lines if line and not _SAYS_NOTHING.match(line)), None)
