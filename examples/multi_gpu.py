"""One training on all GPUs of a machine; on a machine without any, the same on its CPU.

python examples/multi_gpu.py --epochs 40

Nothing but the scope is needed: each GPU gets its share of every batch, and draws noise of its own for it.
"""

import argparse
import pathlib

import tensorflow as tf

import cvhn_tf
from cvhn_tf import datasets, targets

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--dataset", default="mnist", choices=datasets.names())
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--examples", type=int, default=None, help="number of training images; by default all")
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("multi_gpu.keras"))
args = parser.parse_args()

strategy = tf.distribute.MirroredStrategy()
batch_size = 256 * strategy.num_replicas_in_sync
images = datasets.load(args.dataset)
x_train, y_train = images.x_train[: args.examples], images.y_train[: args.examples]
# Every batch has to be divided by the replicas, so the last one, which is smaller, is left out.
data = (
    tf.data.Dataset.from_tensor_slices((x_train, y_train))
    .shuffle(len(x_train), seed=0)
    .batch(batch_size, drop_remainder=True)
)

with strategy.scope():
    target = targets.lenet_300_100(images.input_shape, images.num_classes)
    model = cvhn_tf.VariationalHypernetwork(target)
    model.compile(
        cvhn_tf.default_optimizer(args.epochs * len(data)), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
model.fit(data, epochs=args.epochs, verbose=2)
model.save(args.output)
print(f"Wrote {args.output}, trained by {strategy.num_replicas_in_sync} replicas")
