"""The fewest bytes: a network as one packed file, each tensor's integers coded by models that learn as they go.

A `VariationalHypernetwork`, λ, a sparsity and a step come in; a `PackedModel` goes out, which unpacks to exactly the
network that was packed. Begin with `packed.py`, then `network_coding.py`, `tensor_coding.py`, `row_decoding.py` and
`adaptive_models.py`; constriction does the range coding.
"""

from cvhn_tf.export.packing.coded_size import CodedSize, entropy_coded_size
from cvhn_tf.export.packing.packed import PackedModel, pack, unpack
from cvhn_tf.export.packing.smallest_packed import smallest_packed

__all__ = ["CodedSize", "PackedModel", "entropy_coded_size", "pack", "smallest_packed", "unpack"]
