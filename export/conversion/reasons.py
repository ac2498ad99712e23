"""Why a conversion failed, in one line of the many that Keras and TensorFlow give."""

import re

from cvhn_tf.checks.errors import with_cause

_UNKNOWN = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")


def reason_of(error: BaseException) -> str:
    """The operations that TFLite does not have, all of them; where there are none, the error and its cause."""
    unknown = list(dict.fromkeys(_UNKNOWN.findall(str(error))))
    if unknown:
        return f"TFLite has no operation for TensorFlow's {', '.join(unknown)}"
    return with_cause(error)
