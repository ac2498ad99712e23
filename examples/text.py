"""Sequences of words: Embedding and GRU, on sentences made on the fly.

python examples/text.py --epochs 40

The class of a sentence is whether its last mood word is a good or a bad one, all others being filler, so that the
network has to remember. Layers like these draw their weights as a whole (weight sampling): they learn more slowly than
Dense and Conv layers do, and `compact` leaves their units alone.
"""

import argparse
import pathlib

import keras
import numpy as np

import cvhn_tf
from cvhn_tf import export

WORDS = ["", "good", "fine", "great", "bad", "poor", "awful", *(f"word{i}" for i in range(43))]
LENGTH = 16

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--examples", type=int, default=4000, help="number of training sentences")
parser.add_argument("--sparsities", type=float, nargs="+", default=[0.0, 0.5, 0.8], metavar="SHARE")
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("mood.tflite"))
args = parser.parse_args()
batch_size = 64


def write_sentences(examples, rng):
    """Sentences of shape (examples, LENGTH), each word a number, 0 behind the end; and their moods, 0 or 1."""
    x = rng.integers(7, len(WORDS), (examples, LENGTH))
    moods = rng.integers(1, 7, (examples, 3))
    places = np.sort(rng.permuted(np.tile(np.arange(8), (examples, 1)), axis=1)[:, :3], axis=1)
    np.put_along_axis(x, places, moods, axis=1)
    x[np.arange(LENGTH) >= rng.integers(8, LENGTH + 1, (examples, 1))] = 0
    return x.astype("int32"), (moods[:, -1] <= 3).astype("int64")


rng = np.random.default_rng(0)
x_train, y_train = write_sentences(args.examples, rng)
x_test, y_test = write_sentences(1000, rng)

target = keras.Sequential(
    [
        keras.Input((LENGTH,), dtype="int32"),
        keras.layers.Embedding(len(WORDS), 16),
        keras.layers.GRU(32),
        keras.layers.Dense(2, "softmax"),
    ]
)
model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.01, 1.0))
total_steps = args.epochs * -(-len(x_train) // batch_size)
model.compile(cvhn_tf.default_optimizer(total_steps), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=batch_size, epochs=args.epochs, verbose=2)

for sparsity in args.sparsities:
    network = export.prune(model, complexity=0.1, sparsity=sparsity)
    artifact = export.smallest(network, representative_data=x_train[:200], client="cpu")
    accuracy = export.evaluate_tflite(artifact, x_test, y_test).accuracy
    print(
        f"{sparsity:.0%} of the weights pruned: {artifact.size_bytes:,} bytes ({artifact.gzip_bytes:,} after gzip), "
        f"{artifact.quantization or 'float32'}, {accuracy:.1%} right"
    )
artifact.save(args.output)
print(f"Wrote {args.output}")
