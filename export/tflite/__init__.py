"""A TFLite file: the bytes that are handed to the user, and the same as an object that can be changed.

Bytes come in, an object of tensors and operators goes out, and the other way round. Begin with `artifact.py`;
`encodings.py` lists the ways in which a file can hold weights.
"""

from cvhn_tf.export.tflite import flatbuffer
from cvhn_tf.export.tflite.artifact import TFLiteArtifact

__all__ = ["TFLiteArtifact", "flatbuffer"]
