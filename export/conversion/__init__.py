"""From a Keras network to a TFLite file, in any of the encodings.

A network and the name of an encoding come in; a verified `TFLiteArtifact` goes out. TensorFlow's converter and
ai-edge-quantizer do the work; what stands here chooses, mends and looks at what they gave. Begin with `convert.py`.
"""

from cvhn_tf.export.conversion.convert import to_tflite
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs

__all__ = ["FrozenGraphs", "to_tflite"]
