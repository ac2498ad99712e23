"""From a variational hypernetwork to verified TFLite files."""

from cvhn_tf.export.artifact import TFLiteArtifact
from cvhn_tf.export.compact import compact
from cvhn_tf.export.compare import Comparison, Row, compare
from cvhn_tf.export.convert import smallest, to_tflite
from cvhn_tf.export.evaluate import Evaluation, evaluate_tflite
from cvhn_tf.export.prune import prune
from cvhn_tf.export.verify import ConversionError

__all__ = [
    "Comparison",
    "ConversionError",
    "Evaluation",
    "Row",
    "TFLiteArtifact",
    "compact",
    "compare",
    "evaluate_tflite",
    "prune",
    "smallest",
    "to_tflite",
]
