"""A network that is already trained, made smaller: its accuracy as it was, and that of files of a few sizes.

python examples/trained_model.py --epochs 20

`trained.keras` is made here if it is not there. Put your own model, and your own arrays, in its place.
"""

import argparse
import pathlib
import time

import keras

import cvhn_tf
from cvhn_tf import datasets, export

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path("trained.keras"))
parser.add_argument("--dataset", default="digits", choices=datasets.names())
parser.add_argument("--epochs", type=int, default=20, help="passes over the data that the answer may cost")
parser.add_argument("--sparsities", type=float, nargs="+", default=[0.0, 0.9, 0.95], metavar="SHARE")
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("trained.tflite"))
args = parser.parse_args()
batch_size = 32

keras.utils.set_random_seed(0)
data = datasets.load(args.dataset)
if not args.model.exists():
    network = cvhn_tf.targets.lenet_300_100(data.input_shape, data.num_classes)
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    network.fit(data.x_train, data.y_train, batch_size=batch_size, epochs=15, verbose=0)
    network.save(args.model)

trained = keras.saving.load_model(args.model, safe_mode=True)
before = export.to_tflite(trained)
accuracy = export.evaluate_tflite(before, data.x_test, data.y_test).accuracy
print(f"As it was: {before.size_bytes:,} bytes, {accuracy:.1%} right")

start = time.perf_counter()
model = cvhn_tf.VariationalHypernetwork(trained, pretrained=True, complexity_range=(0.01, 10.0), seed=0)
steps = args.epochs * -(-len(data.x_train) // batch_size)
model.compile(cvhn_tf.default_optimizer(steps, pretrained=True), "sparse_categorical_crossentropy")
model.fit(data.x_train, data.y_train, batch_size=batch_size, epochs=args.epochs, verbose=0)
print(f"Trained for {time.perf_counter() - start:.0f} s")

for sparsity in args.sparsities:
    network = export.compact(export.prune(model, complexity=1.0, sparsity=sparsity))
    artifact = export.to_tflite(network, quantization="dynamic_range")
    measured = export.evaluate_tflite(artifact, data.x_test, data.y_test)
    print(f"{sparsity:.0%} of the weights pruned: {artifact.size_bytes:,} bytes, {measured.accuracy:.1%} right")
artifact.save(args.output)
print(f"Wrote {args.output}")
