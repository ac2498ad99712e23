"""Every layer class of Keras in a target: what docs/targets.md says is what happens.

python tests/differential/test_keras_layers.py  # writes docs/targets.md anew

The classes that take the same inputs stand side by side in one target, each with an output of its own and a Dense layer
behind it. Of a target that is refused, each half is tried by itself, until it is known which classes are to blame.
"""

import functools
import pathlib
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import cvhn_tf

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))  # where this is run as a script
from differential.keras_layers import GROUPS, LEFT_OUT
from places import ROOT

TABLE = ROOT / "docs" / "targets.md"
TINY, MODERATE = 1e-7, 0.05  # stddevs
COPIES = 400  # of one example
ON_OUTPUTS, DRAWN = "noise on outputs", "weights drawn"
DETERMINISTIC, NO_WEIGHTS = "kept deterministic", "no weights"
# Their copies augment otherwise: the config does not hold the seed, or chains are drawn by Python's own generator.
SEED_IS_LOST = {"AugMix", "RandomGrayscale"}


def public_classes() -> list[str]:
    """Names of Keras's layer classes; of several names for one class that by which it calls itself, if it is one."""
    public = {name: value for name, value in vars(layers).items() if isinstance(value, type)}
    names = {}
    for name, value in sorted(public.items(), key=lambda item: item[0] != item[1].__name__):
        if issubclass(value, layers.Layer):
            names.setdefault(value, name)
    return sorted(names.values())


class Group:
    """A target of classes that take the same inputs, and its hypernetwork.

    Args:
        shape, dtype: Of an example.
        makers: Dict from the names of the classes to functions that make a layer.
        stddev: Of all weights.
    """

    def __init__(self, shape, dtype, makers, stddev):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)
        self.shape, self.dtype, self.names = shape, dtype, list(makers)
        inputs = keras.Input(shape, dtype=dtype)
        outputs = [make()(inputs) for make in makers.values()]
        heads = [layers.Dense(2, name=f"behind_{name}")(_vector(y)) for name, y in zip(makers, outputs, strict=True)]
        self.target = keras.Model(inputs, [*outputs, *heads], name="target")
        self.model = cvhn_tf.VariationalHypernetwork(
            self.target,
            complexity_range=(1e-9, 2e-9),  # gradients are divided by 1 + λ
            parameterization="constant",
            prior="normal",
            train_size=8,
            kl_warmup=10**9,
            initial_stddev=stddev,
            seed=1,
        )

    def parts(self):
        """Dict from the names of the classes to the networks that end with their outputs."""
        return {name: keras.Model(self.target.inputs, y) for name, y in zip(self.names, self.target.outputs)}  # noqa: B905

    def examples(self, count):
        if self.dtype == "string":
            return tf.constant([["a b"], ["b"], ["c"], ["a"]] * (count // 4))
        rng, shape = np.random.default_rng(0), (count, *self.shape)
        return tf.constant(rng.integers(0, 5, shape) if self.dtype == "int32" else rng.uniform(size=shape), self.dtype)

    def train_step(self, network):
        network.compile(
            keras.optimizers.SGD(0.1), [None] * len(self.names) + ["mse"] * len(self.names), run_eagerly=True
        )
        y = [np.zeros([8, *tensor.shape[1:]]) for tensor in self.target.outputs]
        return network.train_on_batch(self.examples(8), y, return_dict=True)

    def outputs(self, network, x, **arguments):
        """Dict from the names of the classes to what they give."""
        return {name: y.numpy() for name, y in zip(self.names, network(x, **arguments))}  # noqa: B905


def _vector(x):
    """A vector of each example."""
    return layers.GlobalAveragePooling2D()(x) if len(x.shape) == 4 else layers.Flatten()(x)


def make_groups(shape, dtype, makers, stddev):
    """The groups that are not refused, and a dict from the names of the other classes to the reasons."""
    try:
        return [Group(shape, dtype, makers, stddev)], {}
    except ValueError as error:
        if len(makers) == 1:
            return [], {name: str(error) for name in makers}
    halves = [make_groups(shape, dtype, dict(list(makers.items())[start::2]), stddev) for start in (0, 1)]
    return halves[0][0] + halves[1][0], halves[0][1] | halves[1][1]


@functools.cache
def tiny_groups(number):
    return make_groups(*GROUPS[number], TINY)


@functools.cache
def noisy_group(number):
    """The classes with weights, at a moderate stddev; None if there are none."""
    shape, dtype, makers = GROUPS[number]
    made, _ = tiny_groups(number)
    with_weights = [name for group in made for name, part in group.parts().items() if part.trainable_weights]
    return Group(shape, dtype, {name: makers[name] for name in with_weights}, MODERATE) if with_weights else None


@functools.cache
def outputs_of_copies(number):
    """What the classes give in training, twice for copies of one example."""
    group = noisy_group(number)
    x = tf.repeat(group.examples(8)[:1], COPIES, 0)
    return [group.outputs(group.model, x, training=True) for _ in range(2)]


@functools.cache
def outcomes(number) -> dict[str, str]:
    made, refused = tiny_groups(number)
    found = {name: f"refused: {reason}" for name, reason in refused.items()}
    found |= {name: NO_WEIGHTS for group in made for name in group.names}
    if noisy_group(number) is not None:
        first, second = outputs_of_copies(number)
        for name in first:
            if np.array_equal(first[name], second[name]):
                found[name] = DETERMINISTIC
            else:
                found[name] = DRAWN if np.ptp(first[name], axis=0).max() < 1e-5 else ON_OUTPUTS
    return found


NUMBERS = pytest.mark.parametrize("number", range(len(GROUPS)), ids=lambda number: next(iter(GROUPS[number][2])))


def made_of(number):
    """The groups that are not refused."""
    return tiny_groups(number)[0]


@pytest.mark.long  # test_against_keras.py trains targets of layers of all kinds
@NUMBERS
def test_layers_train_as_those_of_the_target(number):
    for group in made_of(number):
        losses = [group.train_step(network) for network in (group.model, group.target)]
        compared = set(group.names) - SEED_IS_LOST
        for name in compared:
            key = f"behind_{name}_loss" if len(group.names) > 1 else "loss"
            assert losses[0][key] == pytest.approx(losses[1][key], rel=1e-4), name
        for ours, theirs in zip(group.model.at(1e-9).weights, group.target.weights, strict=True):
            if not any(f"behind_{name}/" in theirs.path for name in SEED_IS_LOST):
                np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=theirs.path)


@NUMBERS
def test_the_same_outputs_once_loaded_as_a_plain_network_and_with_tiny_noise(number, tmp_path):
    with_noise = [name for name, outcome in outcomes(number).items() if outcome in (ON_OUTPUTS, DRAWN)]
    for group in made_of(number):
        x = group.examples(8)
        ours = group.outputs(group.model, x)
        group.model.save(tmp_path / "model.keras")
        loaded = group.outputs(cvhn_tf.load_model(tmp_path / "model.keras"), x)
        plain = group.outputs(group.model.at(1e-9), x, training=False)
        for name in group.names:
            np.testing.assert_array_equal(loaded[name], ours[name], err_msg=name)
            np.testing.assert_allclose(plain[name], ours[name], atol=1e-5, err_msg=name)
        noisy = group.outputs(group.model, x, complexity=1e-9, training=True) if with_noise else {}
        for name in with_noise:
            np.testing.assert_allclose(noisy[name], ours[name], atol=1e-5, err_msg=name)


@pytest.mark.long
@NUMBERS
def test_noise_on_outputs_has_the_variance_of_drawn_weights(number):
    group, rng = noisy_group(number), np.random.default_rng(0)
    for name in [name for name, outcome in outcomes(number).items() if outcome == ON_OUTPUTS]:
        part = group.parts()[name]
        means = part.get_weights()
        draws = []
        for _ in range(COPIES):
            part.set_weights([mean + MODERATE * rng.normal(size=mean.shape) for mean in means])
            draws.append(part(group.examples(8)[:1], training=False).numpy()[0])
        part.set_weights(means)
        expected = np.var(draws, axis=0)
        received = np.var(outputs_of_copies(number)[0][name], axis=0)
        assert np.mean(received) == pytest.approx(np.mean(expected), rel=0.2), name
        np.testing.assert_allclose(received, expected, rtol=0.7, err_msg=name)


def make_table() -> str:
    rows = {name: f"left out: {reason}" for name, reason in LEFT_OUT.items()}
    for number in range(len(GROUPS)):
        rows |= outcomes(number)
    lines = [
        "# Which layers can stand in a target",
        "",
        "`tests/differential/test_keras_layers.py` puts each layer class of Keras into a target, trains it for a step",
        "beside plain Keras, saves it and loads it; it fails where this table is wrong or lacks a class, and",
        "`python tests/differential/test_keras_layers.py` writes the table anew.",
        "",
        "| entry | meaning |",
        "| --- | --- |",
        f"| {ON_OUTPUTS} | in training each example has noise of its own, of the variance that drawn weights give |",
        f"| {DRAWN} | in training the weights are drawn, once for the batch |",
        f"| {DETERMINISTIC} | the weights are trained without noise, one set for all complexities |",
        f"| {NO_WEIGHTS} | nothing to train; computes as in Keras |",
        "| refused | the error when the hypernetwork is made |",
        "| left out | not tried, for the reason that stands there |",
        "",
        "A `Lambda` is taken where its function has a name and is registered by",
        "`@keras.saving.register_keras_serializable()`, as the one here; any other is refused.",
        "",
        "| class | what happens |",
        "| --- | --- |",
        *(f"| {name} | {rows[name]} |" for name in sorted(rows)),
    ]
    return "\n".join(lines) + "\n"


def test_table_says_what_happens_to_every_class_of_keras():
    table = TABLE.read_text()
    rows = table.split("| class | what happens |\n| --- | --- |\n")[1].splitlines()
    assert [row.split(" | ")[0] for row in rows] == [f"| {name}" for name in public_classes()]
    assert table == make_table(), "python tests/differential/test_keras_layers.py writes the table anew"


if __name__ == "__main__":
    TABLE.write_text(make_table())
