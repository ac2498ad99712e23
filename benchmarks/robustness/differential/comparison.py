"""A hypernetwork with next to no noise, and its target, step for step; and all that is made of the hypernetwork."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

import cvhn_tf
from benchmarks.robustness.differential.targets import Drawn
from cvhn_tf import export

COMPLEXITY = 1e-9
BATCH = 4
_OURS = {"complexity", "kl_bits", "nll"}  # figures that Keras does not have
_OUR_FIGURES = _OURS | {f"val_{name}" for name in _OURS}
# Of the narrowest type that numbers are computed in.
TOLERANCES = {"float32": 2e-4, "float64": 2e-4, "mixed_float16": 2e-2, "mixed_bfloat16": 1e-1}
NORMALIZATION = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


class Pair:
    """A target, and the hypernetwork of it, compiled alike.

    Args:
        drawn: `Drawn`.
        momentum: Of SGD.
        clip: Largest norm of all gradients together, or None.
        eagerly: Whether nothing is traced, which takes longer than to run it.
        **variational: Arguments of the hypernetwork beside those that make it the same.
    """

    def __init__(self, drawn: Drawn, momentum, clip, eagerly, **variational):
        self.drawn, self.target = drawn, drawn.target
        self.tolerance, self.eagerly = TOLERANCES[drawn.policy], eagerly
        self.model = cvhn_tf.VariationalHypernetwork(
            drawn.target,
            complexity_range=(COMPLEXITY, 2 * COMPLEXITY),
            parameterization="constant",
            kl_warmup=10**9,
            initial_stddev=1e-7,
            seed=0,
            **variational,
        )
        for network in (self.model, self.target):
            network.compile(
                keras.optimizers.SGD(0.03, momentum, global_clipnorm=clip),
                drawn.losses,
                metrics=drawn.metrics,
                run_eagerly=eagerly,
            )

    @contextlib.contextmanager
    def functions(self):
        """In which TensorFlow's functions run as this pair's steps do."""
        tf.config.run_functions_eagerly(self.eagerly)
        try:
            yield
        finally:
            tf.config.run_functions_eagerly(False)

    def train(self, model=None, epochs=2):
        """Trains both from the same seeds of what they draw, and compares all figures of each step and epoch."""
        drawn, received = self.drawn, []
        for network in (model or self.model, self.target):
            steps = _Steps()
            for variable in network.variables:
                if variable.name == "seed_generator_state":
                    variable.assign(variable.numpy() * [1, 0])
            history = network.fit(
                drawn.x,
                drawn.y,
                batch_size=BATCH,
                epochs=epochs,
                shuffle=False,
                verbose=0,
                validation_data=(drawn.x, drawn.y),
                callbacks=[steps],
                **drawn.fit,
            ).history
            received.append([*steps.figures, *_by_epoch(history)])
        for ours, theirs in zip(*received, strict=True):
            self.same_figures(ours, theirs)

    def same_figures(self, ours, theirs):
        ours = {name: value for name, value in ours.items() if name not in _OUR_FIGURES - theirs.keys()}
        assert ours.keys() == theirs.keys()
        for name in theirs:
            self.same(ours[name], theirs[name], name)

    def compare_predictions(self, model=None):
        """Compares outputs after the training, whose last figures were those of an evaluation already."""
        self.same_outputs((model or self.model).predict(self.drawn.x, verbose=0), self.outputs(self.target))

    def same_outputs(self, ours, theirs, tolerance=None):
        keras.tree.assert_same_structure(ours, theirs)
        for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
            self.same(a, b, "outputs", tolerance)

    def same(self, ours, theirs, described, tolerance=None):
        ours, theirs = (np.asarray(keras.ops.convert_to_numpy(value), "float64") for value in (ours, theirs))
        tolerance = tolerance or self.tolerance
        scale = max(np.abs(theirs).max(initial=0), 0.1)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale, err_msg=described)

    def compare_weights(self, before):
        """The weights of `at` are the target's; those that are frozen are what they were."""
        network = self.model.at(COMPLEXITY)
        for ours, theirs, old in zip(network.weights, self.target.weights, before, strict=True):
            assert ours.trainable == theirs.trainable, theirs.path
            self.same(ours, theirs, theirs.path)
            if not theirs.trainable and np.array_equal(theirs, old):  # a statistic is not trainable, but moves
                np.testing.assert_array_equal(ours, old, err_msg=theirs.path)
        self.same_outputs(self.outputs(network), self.outputs(self.target))

    def outputs(self, network):
        return network(self.drawn.x, training=False)


def compare_exports(pair, sparsity):
    """What is made of a trained hypernetwork computes what it is made from."""
    model = pair.model
    network, pruned = model.at(COMPLEXITY), export.prune(model, COMPLEXITY, sparsity=sparsity)
    posterior = set(model.posterior(COMPLEXITY))
    assert posterior == {weight.path for weight in network.trainable_weights} - _normalizing(network)
    zeros = size = 0
    for before, after in zip(network.weights, pruned.weights, strict=True):
        before, after, path, name = before.numpy(), after.numpy(), after.path, after.name
        if path in posterior and before.ndim > 1 and not name.startswith("bias"):
            zeros, size = zeros + np.sum(after == 0), size + after.size
            assert np.all((after == 0) | (after == before)), path
        else:
            np.testing.assert_array_equal(after, before, err_msg=path)
    assert zeros == round(sparsity * size)
    outputs = pair.outputs(pruned)
    pair.same_outputs(pair.outputs(export.compact(pruned)), outputs)
    # In standard deviations of the posterior; deterministic weights have none and are rounded as if they were larger.
    step = 1e-3 if isinstance(model.estimator, cvhn_tf.estimators.Deterministic) else 1.0
    packed = export.pack(model, COMPLEXITY, sparsity=sparsity, step=step, rate_weight=0.0)
    # Weights that are not drawn are packed in float16.
    pair.same_outputs(pair.outputs(export.unpack(packed)), outputs, max(pair.tolerance, 5e-3))


def compare_finetuning(pair, sparsity):
    """Zeros stay zero and frozen weights what they are, behind `compact` too; others move."""
    pruned = export.compact(export.prune(pair.model, COMPLEXITY, sparsity=sparsity))
    # In half precision Keras begins with losses 2¹⁵ times as large, and makes no step until their gradients are finite.
    epochs = 6 if pair.drawn.policy == "mixed_float16" else 1
    finetuned = export.finetune(pruned, (pair.drawn.x, pair.drawn.y), epochs, pair.drawn.losses, 1e-3, BATCH)
    moved = False
    for before, after in zip(pruned.weights, finetuned.weights, strict=True):
        assert before.trainable == after.trainable, before.path
        a, b = before.numpy(), after.numpy()
        if before.trainable:
            assert np.all(b[a == 0] == 0), before.path
            # Adam makes two steps an epoch, of about 0.001 each.
            np.testing.assert_allclose(b, a, atol=1e-2 * epochs, err_msg=before.path)
            moved |= not np.array_equal(a, b)
    assert moved


def compare_loaded(pair, path):
    """A file gives the same outputs, and goes on training as the target does."""
    pair.model.save(path)
    loaded = cvhn_tf.load_model(path)
    loaded.run_eagerly = pair.model.run_eagerly
    x = pair.drawn.x
    for ours, theirs in zip(
        keras.tree.flatten(loaded.predict(x, verbose=0)),
        keras.tree.flatten(pair.model.predict(x, verbose=0)),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    pair.train(loaded, epochs=1)
    pair.compare_predictions(loaded)


class _Steps(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.figures = []

    def on_train_batch_end(self, batch, logs=None):
        self.figures.append(dict(logs))


def _by_epoch(history):
    return [dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)]


def _normalizing(network):
    """Paths of the weights of normalization layers in the graph, which stay without noise."""
    paths = set()
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            paths |= _normalizing(layer)
        elif isinstance(layer, NORMALIZATION):
            paths |= {weight.path for weight in layer.weights}
    return paths
