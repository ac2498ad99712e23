"""No file is handed over that LiteRT has not run: it is loaded, run on examples, and compared with Keras.

A file and the Keras model that it was made of come in; nothing goes out, or a `ConversionError` that says what is
wrong. Begin with `verify.py`; `litert.py` is the interpreter.
"""

from cvhn_tf.export.verification.litert import LiteRTModel
from cvhn_tf.export.verification.verify import ConversionError, Verification, verify

__all__ = ["ConversionError", "LiteRTModel", "Verification", "verify"]
