"""From a variational hypernetwork to verified TFLite files, and to packed ones."""

from cvhn_tf.export.compaction.compact import compact
from cvhn_tf.export.compaction.fast_sparse import fast_sparse
from cvhn_tf.export.compaction.polyphase import polyphase
from cvhn_tf.export.comparison.compare import compare
from cvhn_tf.export.comparison.comparison import Comparison
from cvhn_tf.export.comparison.curve import SizeAccuracyCurve
from cvhn_tf.export.comparison.report import report
from cvhn_tf.export.comparison.rows import Row
from cvhn_tf.export.conversion.convert import to_tflite
from cvhn_tf.export.delivery.c_array import to_c_array
from cvhn_tf.export.delivery.metadata import annotate, read_metadata
from cvhn_tf.export.evaluation.accuracy_loss import check_accuracy
from cvhn_tf.export.evaluation.calibration import calibration_error
from cvhn_tf.export.evaluation.evaluate import Evaluation, evaluate_tflite
from cvhn_tf.export.packing.coded_size import CodedSize, entropy_coded_size
from cvhn_tf.export.packing.packed import PackedModel, pack, unpack
from cvhn_tf.export.packing.smallest_packed import smallest_packed
from cvhn_tf.export.pruning.finetune import finetune
from cvhn_tf.export.pruning.prune import STRUCTURES, prune
from cvhn_tf.export.pruning.recalibrate import recalibrate
from cvhn_tf.export.quantization_aware_training.train import quantization_aware
from cvhn_tf.export.rounding.integer_grid import round_weights
from cvhn_tf.export.search.best import Best, best
from cvhn_tf.export.search.candidate import Candidate
from cvhn_tf.export.search.latency_table import LatencyTable, measure_latencies
from cvhn_tf.export.search.smallest import smallest
from cvhn_tf.export.tflite.artifact import TFLiteArtifact, Unquantized
from cvhn_tf.export.verification.verify import ConversionError

__all__ = [
    "STRUCTURES",
    "Best",
    "Candidate",
    "CodedSize",
    "Comparison",
    "ConversionError",
    "Evaluation",
    "LatencyTable",
    "PackedModel",
    "Row",
    "SizeAccuracyCurve",
    "TFLiteArtifact",
    "Unquantized",
    "annotate",
    "best",
    "calibration_error",
    "check_accuracy",
    "compact",
    "compare",
    "entropy_coded_size",
    "evaluate_tflite",
    "fast_sparse",
    "finetune",
    "measure_latencies",
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
    "to_c_array",
    "to_tflite",
    "unpack",
]
