"""Who makes, passes on and reads each channel of a network, and which channels stay or go together.

A functional Keras model comes in; a graph goes out, in which channels have numbers, values and readers, and can be cut
out. Pruning ranks together what `compact` can take out together only: both ask here. Begin with `channel_graph.py`;
`channel_stages.py`, `kernel_stages.py` and `attention_stages.py` say what each kind of layer does with channels.
"""

from cvhn_tf.export.channels.channel_graph import ChannelGraph

__all__ = ["ChannelGraph"]
