"""From a hypernetwork to a plain network without the weights of low signal-to-noise ratio.

A `VariationalHypernetwork`, λ and a sparsity come in; a Keras model with zeros goes out, and what mends it: statistics
of its own (`recalibrate.py`), a short training (`finetune.py`). Begin with `prune.py`; `weight_groups.py` says which
weights go together, `units.py` which channels, in all layers that make them.
"""

from cvhn_tf.export.pruning.finetune import finetune
from cvhn_tf.export.pruning.layer_statistics import LayerSparsity, SnrHistogram
from cvhn_tf.export.pruning.prune import STRUCTURES, prune
from cvhn_tf.export.pruning.recalibrate import recalibrate
from cvhn_tf.export.pruning.repeated_pruning import RepeatedPruning

__all__ = ["STRUCTURES", "LayerSparsity", "RepeatedPruning", "SnrHistogram", "finetune", "prune", "recalibrate"]
