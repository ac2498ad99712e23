"""Files whose zeros XNNPACK leaves out by channels."""

from cvhn_tf.export.compaction.fast_sparse import fast_sparse_form
from cvhn_tf.export.conversion.convert import to_tflite_from
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.verification.verify import ConversionError


def without_zeros(artifact, network, pruned, representative_data, client):
    """The file of a network whose zeros XNNPACK leaves out by channels, where it is smaller; else the given one.

    Args:
        artifact: `TFLiteArtifact` of the compacted network.
        network: The compacted network.
        pruned: The network before; `compact` may leave too few zeros, and so much less to compute that the given file
            is the smaller one.
        representative_data: As in `to_tflite`.
        client: `Client`.
    """
    form = fast_sparse_form(network, pruned)
    if form is None:
        return artifact
    try:
        sparse = to_tflite_from(FrozenGraphs(), form, None, True, representative_data, client)
    except ConversionError:
        return artifact
    return min(artifact, sparse, key=lambda file: file.size_bytes)
