"""Each parameterization × prior × estimator trains, saves, loads in a new process, prunes, becomes a TFLite file.

`make test` tries a third of them, in which each two of these meet; `make test-all` tries them all.
"""

import itertools

import keras
import numpy as np
import pytest
from keras import layers
from long import asked_for, long_but
from programs.forked import check

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.parameterizations import Generated

PARAMETERIZATIONS = (
    "constant",
    "gated",
    "hierarchical",
    "piecewise_linear",
    "low_rank",
    "generated",
    "optimal_response",
)
NOISY_PRIORS = ("normal", "scaled_normal", "automatic_relevance", "group_relevance", "log_uniform")
NOISY_ESTIMATORS = ("local_reparameterization", "weight_sampling", "flipout")
COMBINATIONS = [
    *(
        combination
        for combination in itertools.product(PARAMETERIZATIONS, NOISY_PRIORS, NOISY_ESTIMATORS)
        if combination[:2] != ("optimal_response", "group_relevance")  # whose best posterior is not known
    ),
    *itertools.product(PARAMETERIZATIONS, ["l2"], ["deterministic"]),
]


def is_short(combination):
    """Of a Latin square over priors and estimators, shifted from one parameterization to the next."""
    parameterization, prior, estimator = combination
    if prior == "l2":
        return True
    places = PARAMETERIZATIONS.index(parameterization), NOISY_PRIORS.index(prior), NOISY_ESTIMATORS.index(estimator)
    return sum(places) % len(NOISY_ESTIMATORS) == 0


EACH = pytest.mark.parametrize("combination", long_but(is_short, COMBINATIONS), ids="-".join)
COMPLEXITY = 3.0
X = np.random.default_rng(0).normal(size=(8, 6, 6, 1)).astype("float32")
Y = np.arange(8) % 4

LOAD_AND_RUN = """
import pathlib, sys
import numpy as np
import cvhn_tf
folder = pathlib.Path(sys.argv[1])
x = np.load(folder / "x.npy")
outputs = {}
for path in folder.glob("*.keras"):
    model = cvhn_tf.load_model(path)
    outputs[path.stem] = model(x, complexity=3.0).numpy()
    outputs[path.stem + "-bits"] = model.description_length(3.0)
np.savez(folder / "outputs.npz", **outputs)
"""


def make_model(parameterization, prior, estimator):
    target = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(4, "softmax"),
        ]
    )
    model = cvhn_tf.VariationalHypernetwork(
        target,
        parameterization=parameterization,
        prior=prior,
        estimator=estimator,
        complexity_samples=2,
        train_size=8,
        kl_warmup=0,
    )
    # Eager steps: tracing one graph for each combination would take most of the time.
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy", run_eagerly=True)
    return model


def test_each_two_of_them_meet_in_what_always_runs():
    def pairs(combinations):
        return {pair for combination in combinations for pair in itertools.combinations(combination, 2)}

    short = list(filter(is_short, COMBINATIONS))
    assert pairs(short) == pairs(COMBINATIONS) and len(short) == 41


@pytest.fixture(scope="module")
def trained(request, tmp_path_factory):
    """For each combination the trained model and the paths of variables that stayed; what a new process loaded."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("combinations")
    np.save(folder / "x.npy", X)
    models = {}
    for combination in asked_for(request, "combination"):
        model = make_model(*combination)
        before = [variable.numpy() for variable in model.trainable_variables]
        for _ in range(2):
            assert np.isfinite(model.train_on_batch(X, Y, return_dict=True)["loss"])
        moved = zip(model.trainable_variables, before, strict=True)
        models[combination] = model, [variable.path for variable, old in moved if np.array_equal(variable, old)]
        model.save(folder / f"{'-'.join(combination)}.keras")
    check("-c", LOAD_AND_RUN, folder)
    return models, np.load(folder / "outputs.npz")


@EACH
def test_every_variable_is_trained_and_a_new_process_loads_the_same_model(trained, combination):
    models, loaded = trained
    (model, unmoved), name = models[combination], "-".join(combination)
    assert not unmoved
    np.testing.assert_array_equal(loaded[name], model(X, complexity=COMPLEXITY))
    assert loaded[f"{name}-bits"] == model.description_length(COMPLEXITY)


@EACH
def test_every_combination_prunes_and_becomes_a_tflite_file(trained, combination):
    model, _ = trained[0][combination]
    network = export.prune(model, COMPLEXITY, sparsity=0.5)
    kernels = np.concatenate([weight.numpy().ravel() for weight in network.weights if len(weight.shape) > 1])
    assert np.count_nonzero(kernels == 0) == round(0.5 * kernels.size)
    # The file has been run by LiteRT and compared with the network.
    assert export.to_tflite(network, sparse=False, representative_data=X).relative_error < 1e-5


@pytest.mark.parametrize("prior", [*NOISY_PRIORS, "l2"])
@pytest.mark.parametrize("estimator", [*NOISY_ESTIMATORS, "deterministic"])
def test_a_deterministic_prior_or_estimator_alone_is_refused(target, prior, estimator):
    if (prior == "l2") == (estimator == "deterministic"):
        return
    with pytest.raises(ValueError, match=r"Expected both `prior` and `estimator`.*Received: prior="):
        cvhn_tf.VariationalHypernetwork(target, prior=prior, estimator=estimator)


def shared_and_nested():
    inputs = keras.Input((5, 4))
    shared = layers.Dense(4, "relu", name="shared")
    block = keras.Sequential([keras.Input((5, 4)), layers.Conv1D(4, 3, padding="same"), layers.LSTM(3)], name="block")
    return keras.Model(inputs, layers.Dense(2)(block(shared(shared(inputs)))))


@pytest.mark.parametrize(
    "parameterization", ["low_rank", Generated(hidden=4, embedding=2, chunk=8)], ids=["low_rank", "generated"]
)
def test_structured_parameterizations_fit_shared_and_recurrent_layers_and_nested_models(parameterization, tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 5, 4)).astype("float32")
    target = shared_and_nested()
    model = cvhn_tf.VariationalHypernetwork(target, parameterization=parameterization, estimator="flipout")
    np.testing.assert_allclose(model(x, complexity=7.0), target(x), atol=1e-6)
    model.compile(cvhn_tf.PivotAdam(), "mse", run_eagerly=True)
    model.fit(x, np.ones((8, 2)), batch_size=8, epochs=2, verbose=0)
    np.testing.assert_allclose(model(x, complexity=7.0), model.at(7.0)(x), atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = cvhn_tf.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x, complexity=7.0), model(x, complexity=7.0))
    assert loaded.count_params() == model.count_params()
