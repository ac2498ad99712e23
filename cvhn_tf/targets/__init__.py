"""Reference target networks by name, each a plain Keras model; all but the autoencoder with softmax outputs.

The shape of an input and the number of classes come in, a built `keras.Model` goes out: by its function, as
`lenet_300_100((28, 28, 1), num_classes=10)`, or by its name, as `get("lenet_300_100", (28, 28, 1), 10)`. Begin with
`by_name.py`.
"""

from cvhn_tf.targets.by_name import get, names
from cvhn_tf.targets.classic import convnet, lenet_5, lenet_5_caffe, lenet_300_100, mlp_50
from cvhn_tf.targets.mlperf_tiny import autoencoder_640, ds_cnn, mobilenet_v1_025, resnet_8
from cvhn_tf.targets.searchable import convolutional_fabric, searchable_convnet, searchable_mlp

__all__ = [
    "autoencoder_640",
    "convnet",
    "convolutional_fabric",
    "ds_cnn",
    "get",
    "lenet_5",
    "lenet_5_caffe",
    "lenet_300_100",
    "mlp_50",
    "mobilenet_v1_025",
    "names",
    "resnet_8",
    "searchable_convnet",
    "searchable_mlp",
]
