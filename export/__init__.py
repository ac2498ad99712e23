"""From a variational hypernetwork to verified TFLite files, and to packed ones."""

from cvhn_tf.export.artifact import TFLiteArtifact
from cvhn_tf.export.compact import compact
from cvhn_tf.export.compare import Comparison, Row, compare
from cvhn_tf.export.convert import smallest, to_tflite
from cvhn_tf.export.curve import SizeAccuracyCurve
from cvhn_tf.export.entropy_coding import CodedSize, entropy_coded_size
from cvhn_tf.export.evaluate import Evaluation, evaluate_tflite
from cvhn_tf.export.finetune import finetune
from cvhn_tf.export.pack_search import smallest_packed
from cvhn_tf.export.packed import PackedModel, pack, unpack
from cvhn_tf.export.prune import prune
from cvhn_tf.export.quantization_aware import quantization_aware
from cvhn_tf.export.verify import ConversionError

__all__ = [
    "CodedSize",
    "Comparison",
    "ConversionError",
    "Evaluation",
    "PackedModel",
    "Row",
    "SizeAccuracyCurve",
    "TFLiteArtifact",
    "compact",
    "compare",
    "entropy_coded_size",
    "evaluate_tflite",
    "finetune",
    "pack",
    "prune",
    "quantization_aware",
    "smallest",
    "smallest_packed",
    "to_tflite",
    "unpack",
]
