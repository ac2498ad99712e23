"""Small random networks with choices: within each other, shared layers, nested models, depths."""

import itertools

import keras
import numpy as np
from keras import layers

import cvhn_tf

WIDTH = 3


def random_target(seed):
    """A network of vectors whose choices read what was made before, some of it in nested models."""
    rng = np.random.default_rng(seed)
    names = (f"layer_{i}" for i in itertools.count())
    inputs = keras.Input((WIDTH,))
    shared = layers.Dense(WIDTH, name="shared")
    made = [layers.Dense(WIDTH, name=next(names))(inputs)]

    def path():
        x = made[rng.integers(len(made))]
        kind = rng.integers(4)
        if kind == 0:
            return x
        return shared(x) if kind == 1 else layers.Dense(WIDTH, name=next(names))(x)

    for i in range(rng.integers(2, 5)):
        kind = cvhn_tf.Choice if rng.random() < 0.6 else cvhn_tf.OptionalPaths
        made.append(kind(name=f"choice_{i}")([path() for _ in range(rng.integers(2, 4))]))
    x = made[-1]
    if rng.random() < 0.5:
        own = keras.Input((WIDTH,))
        inner = cvhn_tf.Choice(name="inner")([layers.Dense(WIDTH, name="within")(own), own])
        nested = keras.Model(own, inner, name="nested")
        x = nested(nested(x)) if rng.random() < 0.5 else nested(x)
    return keras.Model(inputs, layers.Dense(2, name="head")(x), name="target")


def structures(usage):
    """All structures of a target, as the paths of each choice."""

    def of_choice(choice, size):
        if isinstance(choice, cvhn_tf.Choice):
            return [(path,) for path in range(size)]
        return [paths for count in range(size + 1) for paths in itertools.combinations(range(size), count)]

    return itertools.product(*map(of_choice, usage.choices, usage.sizes))


def weights_of(structure, sizes):
    """Zeros and ones for the paths of each choice."""
    return [[float(i in paths) for i in range(size)] for paths, size in zip(structure, sizes, strict=True)]
