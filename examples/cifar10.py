"""A small convolutional network on CIFAR-10: one training, then files of several sizes.

python examples/cifar10.py --epochs 60
"""

import argparse
import pathlib

import cvhn_tf
from cvhn_tf import datasets, export, targets

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--dataset", default="cifar10", choices=datasets.names())
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--examples", type=int, default=None, help="number of training images; by default all")
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("cifar10"), help="folder for the files")
args = parser.parse_args()
batch_size = 128

images = datasets.load(args.dataset)
x_train, y_train = images.x_train[: args.examples], images.y_train[: args.examples]
target = targets.convnet(images.input_shape, images.num_classes)

model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.01, 10.0))
total_steps = args.epochs * -(-len(x_train) // batch_size)
model.compile(cvhn_tf.default_optimizer(total_steps), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=batch_size, epochs=args.epochs, verbose=2)

# Convolutions gain from whole filters that are gone, not from single zeros.
comparison = export.compare(
    model,
    (images.x_test, images.y_test),
    complexities=(0.1, 1.0),
    sparsities=(0.0, 0.5, 0.8),
    quantizations=("dynamic_range",),
    representative_data=x_train[:1000],  # for batch normalization
    structure="unit",
)
args.output.mkdir(parents=True, exist_ok=True)
for row in comparison.rows:
    path = args.output / f"complexity-{row.complexity:g}_sparsity-{row.sparsity:g}.tflite"
    comparison.artifact_of(row).save(path)
    print(f"{path}: {row.size_bytes:,} bytes, {row.accuracy:.2%} on the test images, {row.latency_ms:.2f} ms an image")
