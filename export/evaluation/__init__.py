"""What a file is worth: its accuracy, loss, latency and calibration in LiteRT, on labelled examples.

A file and examples come in, an `Evaluation` goes out. Begin with `evaluate.py`.
"""

from cvhn_tf.export.evaluation.accuracy_loss import check_accuracy
from cvhn_tf.export.evaluation.calibration import calibration_error
from cvhn_tf.export.evaluation.evaluate import Evaluation, evaluate_tflite

__all__ = ["Evaluation", "calibration_error", "check_accuracy", "evaluate_tflite"]
