"""What has to be known of single tensors: where their channels lie, their names, their noise and their masks.

A layer, its weights or a seed come in; axes, paths and draws go out. Begin with `channels.py`: it lists the layers that
are linear in their weights.
"""

from cvhn_tf.tensors import channels, masks, noise, paths

__all__ = ["channels", "masks", "noise", "paths"]
