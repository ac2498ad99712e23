"""cvhn-tf: variational hypernetworks for Keras with complexity control."""

from cvhn_tf.dependencies import check_dependencies

check_dependencies()  # before anything else imports them

from cvhn_tf import callbacks, datasets, targets
from cvhn_tf.complexity.range import ComplexityRange
from cvhn_tf.hypernetwork import VariationalHypernetwork
from cvhn_tf.layers.variational import Variational
from cvhn_tf.optimizers import PivotAdam, default_optimizer
from cvhn_tf.saving import load_model
from cvhn_tf.structure import Choice, OptionalPaths
from cvhn_tf.training.resumption import Backup
from cvhn_tf.training.shuffling import shuffled_batches

__version__ = "0.2.0"

__all__ = [
    "Backup",
    "Choice",
    "ComplexityRange",
    "OptionalPaths",
    "PivotAdam",
    "Variational",
    "VariationalHypernetwork",
    "callbacks",
    "datasets",
    "default_optimizer",
    "load_model",
    "shuffled_batches",
    "targets",
]
