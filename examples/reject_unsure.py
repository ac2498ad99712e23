"""A small network that says when it does not know: images of which it is least sure go to someone else.

Trains on a data set, then answers the test images of lowest entropy only, and looks at pictures that are no digits.

python examples/reject_unsure.py --dataset digits --epochs 60
"""

import argparse

import keras
import numpy as np

import cvhn_tf
from cvhn_tf import datasets, targets

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--dataset", choices=datasets.names(), default="digits")
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--samples", type=int, default=32, help="networks drawn from the posterior")
args = parser.parse_args()
batch_size = 64

keras.utils.set_random_seed(0)
data = datasets.load(args.dataset)
model = cvhn_tf.VariationalHypernetwork(
    targets.get("mlp_50", data.input_shape, data.num_classes), complexity_range=(0.01, 10)
)
total_steps = args.epochs * -(-len(data.x_train) // batch_size)
model.compile(cvhn_tf.default_optimizer(total_steps), "sparse_categorical_crossentropy")
model.fit(data.x_train, data.y_train, batch_size=batch_size, epochs=args.epochs, verbose=0)

# Pixels of the test images in a random order: as dark as they are, and nothing to be seen.
rng = np.random.default_rng(0)
noise = rng.permuted(data.x_test.reshape(len(data.x_test), -1), axis=1).reshape(data.x_test.shape)

print("complexity  answered  accuracy of the answers  shuffled images rejected")
for complexity in (0.01, 0.1, 1.0):
    known = model.predict_distribution(data.x_test, complexity, args.samples, seed=0)
    unknown = model.predict_distribution(noise, complexity, args.samples, seed=0)
    right = known.mean.argmax(axis=-1) == data.y_test
    for answered in (1.0, 0.95, 0.9, 0.8):
        highest = np.quantile(known.entropy, answered)
        accuracy = right[known.entropy <= highest].mean()
        rejected = (unknown.entropy > highest).mean()
        print(f"{complexity:<12g}{answered:<10.0%}{accuracy:<25.2%}{rejected:.0%}")
    share = known.mutual_information.mean() / known.entropy.mean()
    print(f"{complexity:<12g}{share:.0%} of the entropy is about the weights, the rest is in the images")
