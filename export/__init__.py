"""From a variational hypernetwork to verified TFLite files, and to packed ones."""

from cvhn_tf.export.artifact import TFLiteArtifact
from cvhn_tf.export.best import Best, best
from cvhn_tf.export.calibration import calibration_error
from cvhn_tf.export.candidate import Candidate
from cvhn_tf.export.compact import compact
from cvhn_tf.export.compare import Comparison, Row, compare
from cvhn_tf.export.convert import to_tflite
from cvhn_tf.export.curve import SizeAccuracyCurve
from cvhn_tf.export.entropy_coding import CodedSize, entropy_coded_size
from cvhn_tf.export.evaluate import Evaluation, evaluate_tflite
from cvhn_tf.export.finetune import finetune
from cvhn_tf.export.metadata import annotate, read_metadata
from cvhn_tf.export.pack_search import smallest_packed
from cvhn_tf.export.packed import PackedModel, pack, unpack
from cvhn_tf.export.polyphase import polyphase
from cvhn_tf.export.prune import STRUCTURES, prune
from cvhn_tf.export.quantization_aware import quantization_aware
from cvhn_tf.export.recalibrate import recalibrate
from cvhn_tf.export.report import report
from cvhn_tf.export.smallest import smallest
from cvhn_tf.export.verify import ConversionError
from cvhn_tf.export.weight_grid import round_weights

__all__ = [
    "STRUCTURES",
    "Best",
    "Candidate",
    "CodedSize",
    "Comparison",
    "ConversionError",
    "Evaluation",
    "PackedModel",
    "Row",
    "SizeAccuracyCurve",
    "TFLiteArtifact",
    "annotate",
    "best",
    "calibration_error",
    "compact",
    "compare",
    "entropy_coded_size",
    "evaluate_tflite",
    "finetune",
    "pack",
    "polyphase",
    "prune",
    "quantization_aware",
    "read_metadata",
    "recalibrate",
    "report",
    "round_weights",
    "smallest",
    "smallest_packed",
    "to_tflite",
    "unpack",
]
