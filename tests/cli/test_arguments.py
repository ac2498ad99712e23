"""What the options may be is written down twice, since TensorFlow is not imported for `--help`: both say the same."""

from cvhn_tf import export
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf_cli import arguments


def test_options_name_every_encoding_and_structure():
    assert list(dict.fromkeys(arguments.QUANTIZATIONS.values())) == list(ENCODINGS)
    assert arguments.STRUCTURES == export.STRUCTURES
