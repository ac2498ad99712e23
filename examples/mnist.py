"""LeNet-300-100 on MNIST: one training, then the smallest file of at least 98% accuracy.

python examples/mnist.py --epochs 20
"""

import argparse
import pathlib

import keras

import cvhn_tf
from cvhn_tf import datasets, export

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--dataset", default="mnist", choices=datasets.names())
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--min-accuracy", type=float, default=0.98)
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("mnist.tflite"))
args = parser.parse_args()
batch_size = 256

images = datasets.load(args.dataset)
target = keras.Sequential(
    [
        keras.Input(images.input_shape),
        keras.layers.Flatten(),
        keras.layers.Dense(300, activation="relu"),
        keras.layers.Dense(100, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)

model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(1e-2, 1e2))
total_steps = args.epochs * -(-len(images.x_train) // batch_size)
model.compile(
    cvhn_tf.default_optimizer(total_steps),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
    jit_compile=False,
)
model.fit(images.x_train, images.y_train, batch_size=batch_size, epochs=args.epochs, verbose=2)

comparison = export.compare(
    model, (images.x_test, images.y_test), complexities=(0.1, 1.0, 10.0), sparsities=(0.0, 0.9, 0.98), client="cpu"
)
for row in comparison.rows:
    print(
        f"complexity {row.complexity:<5g} sparsity {row.sparsity:<5g} {row.quantization or 'float32':<14}"
        f"{row.size_bytes:>10,} bytes {row.accuracy:>8.2%}"
    )

best = comparison.best(min_accuracy=args.min_accuracy)
artifact = comparison.artifacts[comparison.rows.index(best)]
artifact.save(args.output)
print(f"{args.output}: {best.size_bytes:,} bytes, {best.accuracy:.2%} on the test images")
