"""Reference target networks by name, each a plain Keras model; all but the autoencoder with softmax outputs.

Comes in: the shape of an input, and the number of classes. Goes out: a built `keras.Model`. Begin reading at
`by_name.py`.

```python
target = cvhn_tf.targets.lenet_300_100((28, 28, 1), num_classes=10)
target = cvhn_tf.targets.get("lenet_300_100", (28, 28, 1), 10)  # the same
```
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
