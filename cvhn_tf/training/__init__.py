"""What `fit` needs beside Keras: the size of its data, replicas and workers, and going on after a stop.

Data, a strategy and a folder come in; counts, summed gradients, batches in an order that is found again, and backups go
out. Begin with `data.py`; the training itself is Keras's own, see `hypernetwork.py`.
"""

from cvhn_tf.training.data import TrainingData
from cvhn_tf.training.distribution import DistributedModel
from cvhn_tf.training.gradient_sums import SumsGradientsFirst
from cvhn_tf.training.resumption import Backup
from cvhn_tf.training.shuffling import shuffled_batches

__all__ = ["Backup", "DistributedModel", "SumsGradientsFirst", "TrainingData", "shuffled_batches"]
