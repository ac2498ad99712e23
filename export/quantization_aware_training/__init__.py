"""Training that knows of 8 bits, through tensorflow-model-optimization in a process of its own.

A network and examples come in; an int8 file and the trained network go out. `train.py` describes the network to
`process.py`, which runs on legacy Keras and imports nothing of this package. Begin with `train.py`.
"""

from cvhn_tf.export.quantization_aware_training.train import quantization_aware

__all__ = ["quantization_aware"]
