"""Networks without their dead channels, narrow convolutions in phases, zeros left out: same outputs, smaller or faster.

A network with zeros comes in; a smaller Keras model goes out. Who makes and reads which channel says the room
`channels`. Begin with `compact.py`.
"""

from cvhn_tf.export.compaction.compact import compact
from cvhn_tf.export.compaction.fast_sparse import fast_sparse
from cvhn_tf.export.compaction.polyphase import polyphase

__all__ = ["compact", "fast_sparse", "polyphase"]
