"""Tables: a regression (scikit-learn's diabetes) and a binary classification (breast cancer).

python examples/tabular.py --epochs 300

Columns are scaled by a `Normalization` layer inside the model, so that the TFLite file takes the raw table.
"""

import argparse
import pathlib

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import train_test_split

import cvhn_tf
from cvhn_tf import export

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--epochs", type=int, default=300)
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("."), help="folder for the two files")
args = parser.parse_args()
batch_size = 32


def train(x, y, last_activation, loss, metric):
    normalization = keras.layers.Normalization()
    normalization.adapt(x)
    target = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            normalization,
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(32, "relu"),
            keras.layers.Dense(1, last_activation),
        ]
    )
    # Some hundred examples pay for few bits: complexities above 1 would leave nothing of the network.
    model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.001, 1.0))
    model.compile(cvhn_tf.default_optimizer(args.epochs * -(-len(x) // batch_size)), loss, metrics=[metric])
    model.fit(x, y, batch_size=batch_size, epochs=args.epochs, verbose=0)
    return model


def split(x, y):
    x_train, x_test, y_train, y_test = train_test_split(
        x.astype("float32"), y.astype("float32")[:, None], test_size=0.25, random_state=0
    )
    return x_train, y_train, x_test, y_test


args.output.mkdir(parents=True, exist_ok=True)

# Regression. The targets are scaled to mean 0 and variance 1: the mean squared error is then a log-likelihood in
# nats (but for a constant and a factor of two), the unit in which the description length is weighed against it.
x_train, y_train, x_test, y_test = split(*load_diabetes(return_X_y=True))
mean, stddev = y_train.mean(), y_train.std()
model = train(x_train, (y_train - mean) / stddev, None, "mse", "mae")
print("diabetes, mean squared error of the targets' variance 1:")
for complexity in (0.001, 0.03, 1.0):
    network = export.compact(export.prune(model, complexity, sparsity=0.8))
    artifact = export.to_tflite(network, representative_data=x_train)
    measured = export.evaluate_tflite(artifact, x_test, (y_test - mean) / stddev, loss="mse")
    print(f"  complexity {complexity:<5g}  {artifact.size_bytes:>6,} bytes  {measured.loss:.3f}")
    artifact.save(args.output / "diabetes.tflite")

# Binary classification: one output, the probability of class 1.
x_train, y_train, x_test, y_test = split(*load_breast_cancer(return_X_y=True))
model = train(x_train, y_train, "sigmoid", "binary_crossentropy", "accuracy")
comparison = export.compare(
    model, (x_test, y_test), complexities=(0.001, 0.03, 1.0), sparsities=(0.8, 0.95), representative_data=x_train
)
print("breast cancer:")
for row in comparison.rows:
    print(
        f"  complexity {row.complexity:<5g}  sparsity {row.sparsity:<4g}  {row.quantization or 'float32':<13}"
        f"  {row.size_bytes:>6,} bytes  {row.accuracy:.1%}"
    )
best = comparison.best(min_accuracy=np.max([row.accuracy for row in comparison.rows]) - 0.01)
comparison.artifact_of(best).save(args.output / "breast_cancer.tflite")
