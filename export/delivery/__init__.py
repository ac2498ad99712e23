"""What an app needs beside the weights: where a file comes from, how its images are scaled, and C for firmware.

A verified `TFLiteArtifact` comes in; one with more told in it goes out, or the sources that a firmware is built with.
Begin with `metadata.py`; `image_metadata.py` is for MediaPipe, `c_array.py` for tflite-micro.
"""

from cvhn_tf.export.delivery.c_array import to_c_array
from cvhn_tf.export.delivery.metadata import annotate, read_metadata

__all__ = ["annotate", "read_metadata", "to_c_array"]
