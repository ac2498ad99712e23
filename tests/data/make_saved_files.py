"""Makes the saved files beside it, which later versions must load: run once for each released format, then kept.

    python tests/data/make_saved_files.py tests/data/saved_0_1_0

Each `.keras` file of a hypernetwork stands beside an `.npz` file of inputs and what the model gave for them.
"""

import pathlib
import sys

import keras
import numpy as np

import cvhn_tf
from cvhn_tf import export

VARIANTS = {
    "gated": {"parameterization": "gated"},
    "hierarchical_group_relevance_flipout": {
        "parameterization": "hierarchical",
        "prior": "group_relevance",
        "estimator": "flipout",
    },
    "piecewise_linear_normal": {"parameterization": "piecewise_linear", "prior": "normal"},
    "linear_scaled_normal_weight_sampling": {
        "parameterization": "linear",
        "prior": "scaled_normal",
        "estimator": "weight_sampling",
    },
    "low_rank_log_uniform": {"parameterization": "low_rank", "prior": "log_uniform"},
    "generated": {"parameterization": "generated"},
    "constant_l2": {"parameterization": "constant", "prior": "l2", "estimator": "deterministic"},
}


def convolutional_target():
    """A small network with most that a saved file has to name: nested layers, statistics, several kinds of weights."""
    inputs = keras.Input((6, 6, 1), name="image")
    x = keras.layers.Conv2D(3, 3, activation="relu", name="convolution")(inputs)
    x = keras.layers.BatchNormalization(name="normalization")(x)
    x = keras.layers.MaxPooling2D(name="pooling")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(5, "relu", name="hidden")(x)
    return keras.Model(inputs, keras.layers.Dense(3, "softmax", name="classes")(x), name="small")


def main(folder):
    keras.utils.set_random_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(0).random((24, 6, 6, 1), "float32")
    y = np.arange(24) % 3
    for name, variant in VARIANTS.items():
        model = cvhn_tf.VariationalHypernetwork(convolutional_target(), complexity_range=(0.1, 10.0), seed=1, **variant)
        model.compile(cvhn_tf.PivotAdam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        model.save(folder / f"{name}.keras")
        at = {f"at_{value:g}": model.at(value).predict(x, verbose=0) for value in (0.1, 1.0, 10.0)}
        bits = np.array([model.description_length(value) for value in (0.1, 1.0, 10.0)])
        history = model.fit(x, y, batch_size=8, epochs=1, verbose=0, shuffle=False).history["loss"]
        np.savez_compressed(folder / f"{name}.npz", x=x, y=y, bits=bits, loss_of_next_epoch=history[0], **at)
        if name == "gated":
            export.pack(model, 1.0, sparsity=0.5).save(folder / "packed.cvhn")
            unpacked = export.unpack(folder / "packed.cvhn").predict(x, verbose=0)
            pruned = export.prune(model, 1.0, sparsity=0.8, structure="unit")
            compacted = export.compact(export.prune(model, 1.0, sparsity=0.8))
            pruned.save(folder / "pruned.keras")
            compacted.save(folder / "compacted.keras")
            np.savez_compressed(
                folder / "networks.npz",
                x=x,
                unpacked=unpacked,
                pruned=pruned.predict(x, verbose=0),
                compacted=compacted.predict(x, verbose=0),
            )
    layers = keras.Sequential(
        [
            keras.Input((4,)),
            cvhn_tf.Variational(keras.layers.Dense(3, "relu"), complexity=0.5, train_size=24),
            cvhn_tf.Variational(keras.layers.Dense(2), complexity=0.5, train_size=24),
        ]
    )
    layers.save(folder / "variational_layers.keras")
    inputs = x.reshape(24, -1)[:, :4]
    np.savez_compressed(folder / "variational_layers.npz", x=inputs, outputs=layers.predict(inputs, verbose=0))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
