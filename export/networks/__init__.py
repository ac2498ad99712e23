"""Plain Keras networks: whether their graph is known, and how they are made again with other layers.

A Keras model comes in; another one with the same outputs, or with some layers in the place of others, goes out. Every
stage of the export stands on this room. Begin with `rebuild.py`.
"""

from cvhn_tf.export.networks.check_network import check_network
from cvhn_tf.export.networks.full_precision import in_float32
from cvhn_tf.export.networks.rebuild import as_functional, rebuild
from cvhn_tf.export.networks.select_features import SelectFeatures

__all__ = ["SelectFeatures", "as_functional", "check_network", "in_float32", "rebuild"]
