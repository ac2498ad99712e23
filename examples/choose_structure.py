"""One training, a family of architectures: what λ chooses of each block, and a file within a number of multiply-adds.

python examples/choose_structure.py --epochs 30
"""

import argparse
import pathlib

import keras
from keras import layers

import cvhn_tf
from cvhn_tf import datasets, export

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--dataset", default="digits", choices=datasets.names())
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--price", type=float, default=0.2, help="nats that all paths together cost at λ = 1")
parser.add_argument("--complexities", type=float, nargs="+", default=[0.001, 0.01, 0.1, 1.0], metavar="LAMBDA")
parser.add_argument("--max-multiply-adds", type=float, default=40_000)
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("chosen.tflite"))
args = parser.parse_args()
batch_size = 64

keras.utils.set_random_seed(0)
data = datasets.load(args.dataset)


def normalized(layer, x):
    return layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(layer(x)))


# Each block is a convolution, one of an eighth of the multiply-adds, or is not there.
images = keras.Input(data.input_shape)
x = normalized(layers.Conv2D(16, 1, use_bias=False), images)
for block in ("first", "second"):
    full = normalized(layers.Conv2D(16, 3, padding="same", use_bias=False), x)
    separable = normalized(layers.SeparableConv2D(16, 3, padding="same", use_bias=False), x)
    x = cvhn_tf.Choice(name=block)([full, separable, x])
    x = layers.MaxPooling2D()(x)
target = keras.Model(images, layers.Dense(data.num_classes, activation="softmax")(layers.Flatten()(x)))

model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(1e-3, 1.0), price=args.price, seed=0)
steps = args.epochs * -(-len(data.x_train) // batch_size)
model.compile(cvhn_tf.default_optimizer(steps), "sparse_categorical_crossentropy")
model.fit(data.x_train, data.y_train, batch_size=batch_size, epochs=args.epochs, verbose=2)

# Statistics of batch normalization are of all λ together, so each network gets its own.
sample = data.x_train[:1000]
paths = ("full", "separable", "none")
print("\n     λ      first     second  multiply-adds  accuracy")
for complexity in args.complexities:
    network = export.recalibrate(model.at(complexity), sample)
    right = network.predict(data.x_test, batch_size=1000, verbose=0).argmax(axis=-1) == data.y_test
    first, second = (paths[path] for path in model.most_probable_structure(complexity).values())
    cost = model.structure_cost(complexity)
    print(f"{complexity:6g}  {first:>9}  {second:>9}  {cost:13,.0f}  {right.mean():8.1%}")

# Chosen on one half of the test images, measured on the other.
found = export.best(
    model,
    (data.x_test[::2], data.y_test[::2]),
    max_multiply_adds=args.max_multiply_adds,
    complexities=args.complexities,
    sparsities=[0.0],
    quantizations=["dynamic_range"],
    representative_data=sample,
)
accuracy = export.evaluate_tflite(found.artifact, data.x_test[1::2], data.y_test[1::2]).accuracy
found.save(args.output)
print(f"\nWrote {args.output}, {found.chosen.size_bytes:,} bytes: {found.chosen.choices}, {accuracy:.1%} right")
