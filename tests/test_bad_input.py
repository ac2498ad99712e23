"""What cannot be done is refused at once, by an error that names the argument and what was received."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import cvhn_tf
from cvhn_tf import callbacks, datasets, export, parameterizations, priors, targets
from cvhn_tf.optimizers import HoldThenDecay

NAN, INFINITY = float("nan"), float("inf")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


def make_target():
    return keras.Sequential([keras.Input((8,)), layers.Dense(16, "relu"), layers.Dense(3, "softmax")], name="target")


def frozen():
    target = make_target()
    target.trainable = False
    return target


def with_nan():
    target = make_target()
    target.layers[1].bias.assign([0.0, NAN, 0.0])
    return target


def make_model(**arguments):
    model = cvhn_tf.VariationalHypernetwork(make_target(), **arguments)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def broken_model():
    model = make_model()
    model.trainable_variables[0].assign(model.trainable_variables[0] * NAN)
    return model


class World:
    """What the rows of the table below are about; made once, as none of them may change it."""

    def __init__(self, folder):
        self.folder = folder
        rng = np.random.default_rng(0)
        self.x, self.y = rng.normal(size=(64, 8)).astype("float32"), np.arange(64) % 3
        self.nan_x, self.infinite_x = self.x.copy(), self.x.copy()
        self.nan_x[3, 2], self.infinite_x[0, 0] = NAN, INFINITY
        self.text = np.full((64, 8), "a")
        self.model = make_model()
        self.network = self.model.at(1.0)
        self.artifact = export.to_tflite(self.network)

    @property
    def data(self):
        return self.x, self.y

    def fit(self, x=None, y=None, **arguments):
        x, y = self.x if x is None else x, self.y if y is None else y
        return self.model.fit(x, y, **{"verbose": 0, **arguments})

    def board(self, **arguments):
        return callbacks.ComplexityBoard(self.folder / "logs", **arguments)

    def dataset(self, count=64, batch_size=8):
        dataset = tf.data.Dataset.from_tensor_slices((self.x[:count], self.y[:count]))
        return dataset.batch(batch_size) if batch_size else dataset


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("bad"))


def hypernetwork(**arguments):
    return lambda world: cvhn_tf.VariationalHypernetwork(make_target(), **arguments)


def hypernetwork_of(*stack):
    return lambda world: cvhn_tf.VariationalHypernetwork(keras.Sequential([keras.Input((4,)), *stack]))


def unregistered(x):
    return x


class Unregistered(layers.Dense):
    pass


def layer(**arguments):
    return lambda world: cvhn_tf.Variational(layers.Dense(3), **arguments)


TARGETS = [
    (lambda w: cvhn_tf.VariationalHypernetwork(keras.Sequential([layers.Dense(2)])), "`target`.*not built"),
    (lambda w: cvhn_tf.VariationalHypernetwork(Subclassed()), "`target`.*functional or Sequential"),
    (lambda w: cvhn_tf.VariationalHypernetwork(layers.Dense(2)), "`target`.*functional or Sequential"),
    (lambda w: cvhn_tf.VariationalHypernetwork(None), "`target`.*functional or Sequential"),
    (
        lambda w: cvhn_tf.VariationalHypernetwork(keras.Sequential([keras.Input((4,)), layers.Flatten()])),
        "`target`.*trainable weights",
    ),
    (
        lambda w: cvhn_tf.VariationalHypernetwork(keras.Sequential([keras.Input((4,)), layers.BatchNormalization()])),
        "`target`.*trainable weights",
    ),
    (lambda w: cvhn_tf.VariationalHypernetwork(frozen()), "`target`.*trainable weights"),
    (lambda w: cvhn_tf.VariationalHypernetwork(with_nan()), "`target`.*dense_.*/bias"),
    (hypernetwork_of(layers.Dense(3), layers.Lambda(lambda x: x)), "'lambda.*its function is a lambda.*register_keras"),
    (
        hypernetwork_of(layers.Lambda(unregistered), layers.Dense(3)),
        "'lambda.*know the function 'unregistered'.*register_keras",
    ),
    (hypernetwork_of(layers.Dense(3, unregistered)), "'dense.*know the function 'unregistered'.*register_keras"),
    (hypernetwork_of(Unregistered(3)), "'unregistered.*know the class 'Unregistered'.*register_keras"),
    (lambda w: keras.Sequential([layers.Dense(2, name="a"), layers.Dense(2, name="a")]), "unique names.*'a'"),
    (lambda w: targets.get("resnet", (8, 8, 1), 10), "`name`.*'resnet'"),
    (lambda w: targets.get("lenet_5", (8, 8, 1), 10), r"input_shape=\(8, 8, 1\)"),
    (lambda w: targets.get("mlp_50", None, 10), "`input_shape`.*None"),
    (lambda w: targets.get("mlp_50", (-8, 8, 1), 10), r"`input_shape`.*\(-8"),
    (lambda w: targets.get("mlp_50", (8, 8, 1), 0), "`num_classes`.*0"),
    (lambda w: targets.get("mlp_50", (8, 8, 1), "ten"), "`num_classes`.*'ten'"),
]

ARGUMENTS = [
    (hypernetwork(complexity_range=(1, 0.1)), r"`complexity_range`.*\(1, 0.1\)"),
    (hypernetwork(complexity_range=(0, 1)), r"`complexity_range`.*\(0, 1\)"),
    (hypernetwork(complexity_range=(1, 1)), r"`complexity_range`.*\(1, 1\)"),
    (hypernetwork(complexity_range=5), "`complexity_range`.*5"),
    (hypernetwork(complexity_range=("a", "b")), r"`complexity_range`.*\('a', 'b'\)"),
    (hypernetwork(complexity_range=(1, INFINITY)), r"`complexity_range`.*\(1, inf\)"),
    (hypernetwork(complexity_distribution="lognormal"), "`complexity_distribution`.*'lognormal'"),
    (hypernetwork(complexity_distribution={}), "`complexity_distribution`.*{}"),
    (
        hypernetwork(complexity_distribution={"class_name": "Normal", "config": {"mean": 1}}),
        "`complexity_distribution`.*Normal.*'mean'",
    ),
    (hypernetwork(parameterization="cubic"), "`parameterization`.*'cubic'"),
    (hypernetwork(parameterization={}), "`parameterization`.*{}"),
    (hypernetwork(prior="horseshoe"), "`prior`.*'horseshoe'"),
    (hypernetwork(prior=None), "`prior`.*None"),
    (hypernetwork(estimator=3), "`estimator`.*3"),
    (hypernetwork(prior="l2"), "`prior` and `estimator`.*L2"),
    (hypernetwork(complexity_samples=0), "`complexity_samples`.*0"),
    (hypernetwork(complexity_samples=1.5), "`complexity_samples`.*1.5"),
    (hypernetwork(complexity_samples=True), "`complexity_samples`.*True"),
    (hypernetwork(train_size=-3), "`train_size`.*-3"),
    (hypernetwork(kl_warmup=1.5), "`kl_warmup`.*1.5"),
    (hypernetwork(kl_warmup=-1), "`kl_warmup`.*-1"),
    (hypernetwork(kl_warmup="slow"), "`kl_warmup`.*'slow'"),
    (hypernetwork(kl_warmup=NAN), "`kl_warmup`.*nan"),
    (hypernetwork(initial_stddev=0.0), "`initial_stddev`.*0"),
    (hypernetwork(initial_stddev="small"), "`initial_stddev`.*'small'"),
    (hypernetwork(initial_stddev=INFINITY), "`initial_stddev`.*inf"),
    (hypernetwork(pretrained="yes"), "`pretrained`.*'yes'"),
    (hypernetwork(pretrained=1), "`pretrained`.*1"),
    (hypernetwork(seed="a"), "`seed`.*'a'"),
    (hypernetwork(seed=1.5), "`seed`.*1.5"),
    (hypernetwork(seed=-1), "`seed`.*-1"),
    (hypernetwork(seed=2**40), "`seed`.*1099511627776"),
    (layer(complexity=1e9, train_size=4), r"complexity.*1e\+09"),
    (layer(complexity=1.0), "`train_size`.*None"),
    (layer(salt="a"), "`salt`.*'a'"),
    (layer(salt=-1), "`salt`.*-1"),
    (layer(initial_stddev=-1.0), "`initial_stddev`.*-1"),
    (lambda w: cvhn_tf.Variational(5), "`layer`.*5"),
    (lambda w: priors.Normal("wide"), "`stddev`.*'wide'"),
    (lambda w: priors.ScaledNormal(NAN), "`stddev`.*nan"),
    (lambda w: priors.L2(0), "`stddev`.*0"),
    (lambda w: priors.GroupRelevance("rows"), "`axis`.*'rows'"),
    (lambda w: parameterizations.Hierarchical(pivots=1), "`pivots`.*1"),
    (lambda w: parameterizations.OptimalResponse(height_speed=0.0), "`height_speed`.*0.0"),
    (lambda w: parameterizations.LowRank(rank=0), "`rank`.*0"),
    (lambda w: parameterizations.Generated(embedding="a"), "`embedding`.*'a'"),
    (lambda w: HoldThenDecay("fast", 1), "`learning_rate`.*'fast'"),
    (lambda w: cvhn_tf.default_optimizer(10, INFINITY), "`learning_rate`.*inf"),
    (lambda w: cvhn_tf.default_optimizer(0), "`total_steps`.*0"),
    (lambda w: cvhn_tf.default_optimizer(10, pretrained="yes"), "`pretrained`.*'yes'"),
    (lambda w: cvhn_tf.default_optimizer("many", pretrained=True), "`total_steps`.*'many'"),
    (lambda w: cvhn_tf.PivotAdam(amsgrad=True), "`amsgrad`.*True"),
]

TRAINING = [
    (lambda w: w.fit(w.nan_x), "`x`.*finite.*1 NaN"),
    (lambda w: w.fit(w.infinite_x), "`x`.*finite.*1 NaN or infinite"),
    (lambda w: w.fit(tf.constant(w.nan_x)), "`x`.*finite"),
    (lambda w: w.fit([w.nan_x]), "`x`.*finite"),
    (lambda w: w.fit(y=np.full(64, NAN)), "`y`.*NaN|`y`.*no integers"),
    (lambda w: w.fit(w.x[:0], w.y[:0]), "`x`.*0 examples"),
    (lambda w: w.fit(y=w.y[:10]), "'x' sizes: 64\n'y' sizes: 10"),
    (lambda w: w.fit(w.x[:, :5]), r"`x`.*\('examples', 8\).*\(64, 5\)"),
    (lambda w: w.fit(w.text), "`x`.*float32.*str"),
    (lambda w: w.fit(w.x.astype(object)), "`x`.*float32.*object"),
    (lambda w: w.fit(w.x.astype("complex64")), "`x`.*float32.*complex64"),
    (lambda w: w.fit([[1, 2], [3]]), r"`x`.*\[\[1, 2\], \[3\]\]"),
    (lambda w: w.fit({"pixels": w.x}), "`x` for the inputs.*'pixels'"),
    (lambda w: w.model.fit(None, w.y, verbose=0), "`x`.*None"),
    (lambda w: w.model.fit(w.x, verbose=0), "`y`.*None"),
    (lambda w: w.fit(y=w.y + 1), r"`y`.*\[0, 3\).*labels from 1 to 3"),
    (lambda w: w.fit(y=w.y - 1), r"`y`.*\[0, 3\).*labels from -1 to 1"),
    (lambda w: w.fit(y=w.y + 0.5), "`y`.*no integers"),
    (lambda w: w.fit(y=np.full(64, "cat")), "`y`.*dtype"),
    (lambda w: w.fit(sample_weight=np.full(64, NAN)), "`sample_weight`.*64 NaN"),
    (lambda w: w.fit(validation_data=(w.nan_x, w.y)), "`validation_data`.*1 NaN"),
    (lambda w: w.fit(epochs=0), "`epochs`.*0"),
    (lambda w: w.fit(epochs=1.5), "`epochs`.*1.5"),
    (lambda w: w.fit(batch_size=0), "`batch_size`.*0"),
    (lambda w: w.fit(batch_size=-1), "`batch_size`.*-1"),
    (lambda w: w.fit(batch_size=1.5), "`batch_size`.*1.5"),
    (lambda w: w.fit(validation_split=1.5), "`validation_split`.*1.5"),
    (lambda w: w.fit(steps_per_epoch=0), "`steps_per_epoch`.*0"),
    (lambda w: w.model.fit(w.dataset(0), verbose=0), "`x`.*empty dataset"),
    (lambda w: w.model.fit(w.dataset(batch_size=None), verbose=0), r"`x`.*batches.*\(8,\)"),
    (lambda w: cvhn_tf.VariationalHypernetwork(make_target()).fit(w.x, w.y), "compile"),
    (lambda w: broken_model().fit(w.x, w.y, verbose=0), "`model`.*NaN or infinity in '.*_mean.*'"),
    (lambda w: make_model().train_on_batch(w.x, w.y), "`train_size`.*None"),
    (lambda w: w.fit(y=np.eye(3)[w.y]), r"sparse loss.*\(64, 3\).*argmax"),
    (lambda w: w.model.evaluate(w.x, np.eye(3)[w.y], verbose=0), r"sparse loss.*, 3\).*argmax"),
    (lambda w: w.fit(validation_data=(w.x, np.eye(3)[w.y])), r"sparse loss.*, 3\).*argmax"),
    (lambda w: w.model.at(1e-9), "complexity=1e-09"),
    (lambda w: w.model.at(np.array([1.0])), r"complexity=array\(\[1.\]\)"),
    (lambda w: w.model.posterior("1"), "complexity='1'"),
    (lambda w: w.model.description_length(True), "complexity=True"),
    (lambda w: setattr(w.model, "complexity", 1000.0), "complexity=1000"),
    (lambda w: w.model(w.x, complexity=1000.0), "complexity=1000"),
    (lambda w: w.model.predict_distribution(w.x, samples=1), "`samples`.*1"),
    (lambda w: w.model.predict_distribution(w.x, outputs="classes"), "`outputs`.*'classes'"),
    (lambda w: w.model.predict_distribution(w.nan_x), "`x`.*1 NaN"),
    (lambda w: w.model.predict_distribution(w.x[:, :3]), r"`x`.*\(64, 3\)"),
    (lambda w: w.model.predict_distribution(w.text), "`x`.*dtype"),
    (lambda w: broken_model().predict_distribution(w.x), "`model`.*NaN or infinity in"),
    (lambda w: cvhn_tf.shuffled_batches(w.data, 0, seed=0), "`batch_size`.*0"),
    (lambda w: cvhn_tf.shuffled_batches((w.x, w.y[:3]), 8, seed=0), r"`arrays`.*\[64, 3\]"),
    (lambda w: cvhn_tf.shuffled_batches((w.x[:0], w.y[:0]), 8, seed=0), r"`arrays`.*\[0, 0\]"),
    (lambda w: cvhn_tf.shuffled_batches((w.nan_x, w.y), 8, seed=0), "`arrays`.*1 NaN"),
    (lambda w: cvhn_tf.shuffled_batches(w.data, 8, seed=None), "`seed`.*None"),
    (lambda w: cvhn_tf.shuffled_batches(w.data, 8, seed=0, first_epoch=-1), "`first_epoch`.*-1"),
    (lambda w: w.board(data=5), "`data`.*int"),
    (lambda w: w.board(data=w.data, frequency=0), "`frequency`.*0"),
    (lambda w: cvhn_tf.Backup("backup.h5"), "`path`.*'backup.h5'"),
    (lambda w: cvhn_tf.Backup(None), "`path`.*None"),
    (lambda w: cvhn_tf.Backup("backup.keras", run={"loss": object()}), "`run`.*object"),
    (
        lambda w: cvhn_tf.Backup("backup.keras").restore(cvhn_tf.VariationalHypernetwork(make_target())),
        "`model`.*compiled",
    ),
    (lambda w: datasets.load("imagenet"), "`name`.*'imagenet'"),
    (lambda w: datasets.load(None), "`name`.*None"),
]


def check(world, act, message):
    before = {path: path.read_bytes() for path in world.folder.rglob("*") if path.is_file()}
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        act(world)
    assert world.model.optimizer.iterations.numpy() == 0  # nothing was trained
    assert world.model.complexity == 1.0
    assert {path: path.read_bytes() for path in world.folder.rglob("*") if path.is_file()} == before


def rows(table):
    return pytest.mark.parametrize(("act", "message"), table, ids=[message for _, message in table])


@rows(TARGETS)
def test_targets(world, act, message):
    check(world, act, message)


@rows(ARGUMENTS)
def test_arguments(world, act, message):
    check(world, act, message)


@rows(TRAINING)
def test_training_and_prediction(world, act, message):
    check(world, act, message)
