"""A model from keras.applications on images of your own: MobileNetV2, made smaller by whole filters.

python examples/bring_your_own_model.py --epochs 40

The images are drawn on the fly: a circle, a square, a triangle or a cross of random colour, size and place on a noisy
ground. Put your own arrays in their place. What stays is wrapping the model, fitting it, and asking for a file.
"""

import argparse
import pathlib

import keras
import numpy as np

import cvhn_tf
from cvhn_tf import export

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--examples", type=int, default=2000, help="number of training images")
parser.add_argument("--size", type=int, default=48, help="width and height of an image in pixels, at least 32")
parser.add_argument("--sparsities", type=float, nargs="+", default=[0.0, 0.5, 0.8], metavar="SHARE")
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("shapes.tflite"))
args = parser.parse_args()
batch_size = 64


def draw_shapes(examples, size, rng):
    """Images of shape (examples, size, size, 3) in [0, 1], and the classes of their shapes."""
    y = rng.integers(0, 4, examples)
    rows, columns = np.mgrid[:size, :size]
    images = rng.uniform(0, 0.4, (examples, size, size, 3)).astype("float32")
    for image, shape in zip(images, y, strict=True):
        radius = rng.uniform(0.15, 0.3) * size
        center_row, center_column = rng.uniform(radius, size - radius, 2)
        down, right = (rows - center_row) / radius, (columns - center_column) / radius
        inside = [
            down**2 + right**2 < 1,
            np.maximum(abs(down), abs(right)) < 0.85,
            (abs(right) < (down + 1) / 2) & (down < 1),
            (np.minimum(abs(down), abs(right)) < 0.25) & (np.maximum(abs(down), abs(right)) < 1),
        ][shape]
        image[inside] = rng.uniform(0.4, 1, 3)
    return images, y


rng = np.random.default_rng(0)
x_train, y_train = draw_shapes(args.examples, args.size, rng)
x_test, y_test = draw_shapes(max(args.examples // 4, 1), args.size, rng)


def follow_faster(layer):
    """A copy whose moving statistics, if it has any, follow within tens of steps, not the thousands of ImageNet."""
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization):
        config["momentum"] = 0.9
    return type(layer).from_config(config)


# weights="imagenet" instead would start from the published weights, fetched from the network.
network = keras.applications.MobileNetV2(
    input_shape=(args.size, args.size, 3), alpha=0.35, weights=None, classes=4, classifier_activation="softmax"
)
target = keras.models.clone_model(network, clone_function=follow_faster)
target.set_weights(network.get_weights())

# 400,000 weights and 2,000 images: only small complexities leave room to learn. One complexity a step, since the graph
# of so many layers is then built fastest.
model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(1e-4, 1e-2))
total_steps = args.epochs * -(-len(x_train) // batch_size)
model.compile(cvhn_tf.default_optimizer(total_steps), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=batch_size, epochs=args.epochs, verbose=2)

for sparsity in args.sparsities:
    # Its batch normalization gets the statistics of this network, without which it would be far from its best.
    network = export.recalibrate(export.prune(model, complexity=1e-3, sparsity=sparsity, structure="unit"), x_train)
    artifact = export.to_tflite(export.compact(network), quantization="dynamic_range", representative_data=x_train[:16])
    measured = export.evaluate_tflite(artifact, x_test, y_test)
    print(
        f"{sparsity:.0%} of the weights pruned as whole filters: {artifact.size_bytes:,} bytes, "
        f"{measured.accuracy:.1%} right, {measured.latency_ms:.2f} ms an image"
    )
artifact.save(args.output)
print(f"Wrote {args.output}")
