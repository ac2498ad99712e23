"""Any metric or loss of Keras's: its value is Keras's own, and one place knows which of two values is better."""

import math
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.evaluation.as_metric import as_metric
from cvhn_tf.export.evaluation.metric import ACCURACY

EXAMPLES = 2350  # no multiple of what is run at a time


def spread(y, outputs):
    return tf.math.reduce_std(y - outputs)


def network(units=1, activation=None):
    return keras.Sequential([keras.Input((6,)), layers.Dense(16, "relu"), layers.Dense(units, activation, name="y")])


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(EXAMPLES, 6)).astype("float32")


def two_outputs():
    inputs = keras.Input((6,))
    hidden = layers.Dense(16, "relu")(inputs)
    outputs = [layers.Dense(2, name="place")(hidden), layers.Dense(3, "softmax", name="kind")(hidden)]
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("mse", "min"),
        ("huber", "min"),
        ("AUC", "max"),
        ("cosine_similarity", "max"),
        (keras.metrics.R2Score, "max"),
        (keras.metrics.RootMeanSquaredError(), "min"),
        (keras.metrics.MeanIoU(num_classes=2), "max"),
        (keras.metrics.FalseNegatives(), "min"),
        (keras.losses.CosineSimilarity(), "min"),
        (keras.losses.cosine_similarity, "min"),
        (keras.metrics.categorical_accuracy, "max"),
        ("accuracy", "max"),
        ("Accuracy", "max"),
        (["mse", "mae"], "min"),
        ({"kind": "accuracy"}, "max"),
    ],
)
def test_direction_is_the_one_that_keras_knows(metric, direction):
    found = as_metric(metric)
    assert found.direction == direction
    better, worse = (2.0, 1.0) if direction == "max" else (1.0, 2.0)
    assert found.score_of(better) > found.score_of(worse) > found.score_of(math.nan)
    assert found.value_of(found.score_of(better)) == better


@pytest.mark.parametrize("direction", ["min", "max"])
def test_direction_of_what_keras_does_not_know_is_an_argument(direction):
    assert as_metric(spread, direction).direction == direction
    with pytest.raises(ValueError, match=r"Expected `direction`, 'min' or 'max'.*spread"):
        as_metric(spread)


@pytest.mark.parametrize(
    ("metric", "direction", "match"),
    [
        ("nope", "auto", "Expected `metric` to be 'accuracy'.*metric='nope'"),
        (3, "auto", "Expected `metric` to be 'accuracy'.*metric=3"),
        (None, "auto", "Expected `metric` to be 'accuracy'.*metric=None"),
        ([], "auto", "one output at least"),
        ([None, None], "auto", "one output at least"),
        ([["mse", "mae"]], "auto", "Expected `metric` to be 'accuracy'"),
        ("MeanIoU", "auto", "Expected `metric` to be 'accuracy'.*num_classes"),
        (layers.Dense(1), "min", "Expected `metric` to be 'accuracy'"),
        (keras.metrics.Mean(), "min", "Expected `metric` to be 'accuracy'"),
        ("mse", "up", "Expected `direction` to be 'auto', 'min' or 'max'.*'up'"),
        ("accuracy", "min", "Expected direction='max'.*'min'"),
        (["mse", keras.metrics.AUC(name="area")], "auto", r"one direction.*mse \(min\), area \(max\)"),
    ],
)
def test_what_is_no_metric_is_refused(metric, direction, match):
    with pytest.raises(ValueError, match=match):
        as_metric(metric, direction)


@pytest.mark.parametrize(
    "metric",
    [
        "mse",
        "mae",
        keras.metrics.R2Score(),
        keras.losses.Huber(),
        spread,
        keras.metrics.RootMeanSquaredError(name="a b"),
    ],
)
@pytest.mark.parametrize("columns", [False, True])
def test_value_is_that_of_all_examples_at_once(metric, columns, x):
    """Batches of uneven size are no matter, nor whether labels of a single output have an axis of one."""
    model = network()
    y = (x[:, :1] * x[:, 1:2]).astype("float64")
    artifact = export.to_tflite(model)
    found = export.evaluate_tflite(artifact, x, y if columns else y[:, 0], metric=metric)
    outputs, labels = model(x), tf.cast(y, "float32")
    if isinstance(metric, str):
        expected = np.mean(keras.losses.get(metric)(labels, outputs))
    elif isinstance(metric, keras.metrics.Metric):
        metric.reset_state()
        metric.update_state(labels, outputs)
        expected = float(metric.result())
        metric.reset_state()
    else:
        expected = float(metric(labels, outputs))
    assert found.metric == pytest.approx(expected, rel=1e-5)
    assert (found.accuracy, found.calibration_error, found.examples) == (None, None, EXAMPLES)


@pytest.mark.parametrize(
    "metric",
    [keras.metrics.MeanMetricWrapper(spread, name="spread"), keras.metrics.PearsonCorrelation(axis=0)],
    ids=lambda metric: metric.name,
)
def test_metric_of_a_function_is_that_of_all_examples(metric, x):
    """And not the mean over batches, in which the last one would count as much as others."""
    model, y = network(), x[:, :1] * np.linspace(0, 5, EXAMPLES)[:, None]
    found = export.evaluate_tflite(export.to_tflite(model), x, y, metric=metric).metric
    outputs = model(x).numpy()
    expected = np.std(y - outputs) if metric.name == "spread" else np.corrcoef(y[:, 0], outputs[:, 0])[0, 1]
    assert found == pytest.approx(expected, rel=1e-4)


def test_metric_with_a_state_begins_anew_each_time(x):
    model, metric = network(1, "sigmoid"), keras.metrics.AUC()
    y = (x[:, 0] > 0).astype(int)
    artifact = export.to_tflite(model)
    metric.update_state([0, 1], [1.0, 0.0])
    values = {export.evaluate_tflite(artifact, x, y, metric=metric).metric for _ in range(2)}
    metric.update_state(y[:, None], model(x))
    assert len(values) == 1 and values.pop() == pytest.approx(float(metric.result()), abs=1e-6)


@pytest.mark.parametrize("client", ["cpu", "gpu", "web", "tflite", "any"])
def test_each_client_measures_labels_of_any_shape(client):
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, layers.Conv2D(2, 3, padding="same")(inputs))
    rng = np.random.default_rng(0)
    images, y = rng.normal(size=(33, 8, 8, 1)).astype("float32"), rng.normal(size=(33, 8, 8, 2))
    artifact = export.to_tflite(model, client=client)
    found = export.evaluate_tflite(artifact, images, y, client=client, metric="mse")
    assert found.metric == pytest.approx(np.mean((model(images) - y) ** 2), rel=1e-5)


@pytest.mark.parametrize("as_dict", [False, True])
def test_metrics_of_several_outputs_are_added(as_dict, x):
    model = two_outputs()
    place, kind = x[:, :2], np.arange(EXAMPLES) % 3
    artifact = export.to_tflite(model)
    outputs = [output.numpy() for output in model(x)]
    mse = np.mean((outputs[0] - place) ** 2)
    loss = float(np.mean(keras.losses.sparse_categorical_crossentropy(kind, outputs[1])))
    right = np.mean(outputs[1].argmax(1) == kind)

    def value(place_metric, kind_metric):
        given = {"place": place_metric, "kind": kind_metric}
        labels = {"place": place, "kind": kind}
        if not as_dict:
            given, labels = list(given.values()), list(labels.values())
        return export.evaluate_tflite(artifact, x, labels, metric=given).metric

    assert value("mse", "sparse_categorical_crossentropy") == pytest.approx(mse + loss, rel=1e-5)
    assert value("mse", None) == pytest.approx(mse, rel=1e-5)
    assert value(None, "accuracy") == right


def test_names_of_several_outputs_are_those_of_a_history():
    assert as_metric(["mse", "mae"]).for_outputs(["place", "kind"]).name == "place_mse+kind_mae"
    assert as_metric({"kind": "mae"}).for_outputs(["place", "kind"]).name == "kind_mae"
    assert as_metric(["mse"]).for_outputs(["y"]).name == "mse"
    assert as_metric(keras.metrics.AUC(name="<b>|$x\n")).for_outputs(["y"]).name == "b_x"
    bound = as_metric(["mse", "mae"]).for_outputs(["place", "kind"])
    assert bound.for_outputs(["a", "b"]) is bound and as_metric(bound) is bound


@pytest.mark.parametrize(
    ("metric", "labels", "match"),
    [
        ("mse", [0, 1], "a network of 2 outputs.*metric for one output"),
        (["mse"], [0, 1], "metric for 1 outputs"),
        ({"where": "mse"}, [0, 1], r"\['place', 'kind'\].*the outputs \['where'\]"),
        (["mse", None], [0], "as a list, in the order of the outputs.*labels as list"),
        (["mse", None], {"kind": [1]}, r"labels for \['kind'\]"),
    ],
)
def test_several_outputs_say_what_they_need(metric, labels, match, x):
    artifact = export.to_tflite(two_outputs())
    with pytest.raises(ValueError, match=match):
        export.evaluate_tflite(artifact, x, labels, metric=metric)


@pytest.mark.parametrize(
    ("metric", "units", "y", "match"),
    [
        (
            "mse",
            3,
            np.zeros(EXAMPLES),
            r"metric='mse', labels of shape \('examples',\), outputs of shape \('examples', 3\)",
        ),
        ("mse", 1, np.zeros((EXAMPLES, 2)), "would compare all with all"),
        ("categorical_crossentropy", 3, np.zeros(EXAMPLES), "would compare all with all"),
        ("sparse_categorical_crossentropy", 3, np.full(EXAMPLES, 3), "class labels, integers in"),
        ("mse", 1, np.zeros(EXAMPLES - 1), "as many labels as examples"),
        ("mse", 1, np.full(EXAMPLES, np.nan), "to be finite"),
        ("mse", 1, np.array(["a"] * EXAMPLES), "array of numbers"),
        ("mse", 1, 3.0, "array of numbers"),
        (keras.metrics.F1Score(average=None), 3, np.eye(3)[np.arange(EXAMPLES) % 3], "result of shape"),
        (lambda y, outputs: 1 / 0, 1, np.zeros(EXAMPLES), "division by zero"),
        (lambda y, outputs: None, 1, np.zeros(EXAMPLES), "one number"),
        (keras.metrics.OneHotMeanIoU(num_classes=3), 3, np.arange(EXAMPLES) % 3, "would compare all with all"),
        (
            keras.losses.SparseCategoricalCrossentropy(ignore_class=255),
            3,
            np.zeros((EXAMPLES, 2)),
            "Expected `metric` to give one number",
        ),
    ],
)
def test_labels_that_a_metric_does_not_take_are_refused(metric, units, y, match, x):
    artifact = export.to_tflite(network(units, "softmax" if units > 1 else None))
    with pytest.raises(ValueError, match=match):
        export.evaluate_tflite(artifact, x, y, metric=metric)


def test_classes_that_a_loss_ignores_are_no_wrong_labels(x):
    model, loss = network(3, "softmax"), keras.losses.SparseCategoricalCrossentropy(ignore_class=255)
    y = np.where(np.arange(EXAMPLES) % 4 == 3, 255, np.arange(EXAMPLES) % 4)
    found = export.evaluate_tflite(export.to_tflite(model), x, y, metric=loss)
    assert found.metric == pytest.approx(float(loss(y, model(x))), rel=1e-5)


def test_accuracy_is_known_in_large_letters_as_in_keras(x):
    y = np.arange(EXAMPLES) % 2
    artifact = export.to_tflite(network(1, "sigmoid"))
    assert as_metric("Accuracy") is ACCURACY
    assert (
        export.evaluate_tflite(artifact, x, y, metric=["ACC"]).metric == export.evaluate_tflite(artifact, x, y).accuracy
    )


def test_functions_get_labels_as_keras_hands_them_to_a_loss(x):
    """In floats, of the rank of the outputs, and all at once: a few sorted ones may have no value."""

    def of_both_kinds(y, outputs):
        assert set(np.unique(y)) == {0, 1}
        return tf.reduce_mean(tf.square(y - outputs))

    inputs = keras.Input((6,))
    flat = keras.Model(inputs, keras.ops.squeeze(layers.Dense(1)(inputs), -1))
    y = np.sort(x[:, 0] > 0).astype("int64")
    for model in (network(), flat):
        artifact, outputs = export.to_tflite(model), model(x).numpy().ravel()
        for labels in (y, y[:, None]):
            found = export.check_accuracy(artifact, model, (x, labels), metric=of_both_kinds, direction="min")
            assert found.metric == pytest.approx(np.mean((outputs - y) ** 2), rel=1e-5)


def test_metric_that_is_no_number_is_refused(x):
    """It would pass for any other: the correlation along an axis of one."""
    model, metric = network(), keras.metrics.PearsonCorrelation()
    for check in (
        lambda: export.check_accuracy(export.to_tflite(model), model, (x, x[:, 0]), metric=metric),
        lambda: export.smallest(model, data=(x, x[:, 0]), metric=metric),
    ):
        with pytest.raises(ValueError, match=r"metric='pearson_correlation', NaN for outputs.*\('examples', 1\)"):
            check()


@pytest.mark.parametrize("dtype", ["int64", "uint8"])
def test_integers_are_brought_to_the_scale_of_an_integer_only_file(dtype, x):
    model, given = network(), np.abs(np.round(40 * x)).astype(dtype)
    y = model(given.astype("float32")).numpy() + 1
    artifact = export.to_tflite(model, "int8", representative_data=given, client="micro", integer_only=True)
    expected = export.evaluate_tflite(artifact, given.astype("float32"), y, metric="mse").metric
    assert export.evaluate_tflite(artifact, given, y, metric="mse").metric == expected


def test_networks_in_mixed_precision_are_measured_in_float32(x):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    artifact = export.check_accuracy(export.to_tflite(model), model, (x, x[:, 0]), metric=spread, direction="min")
    assert artifact.keras_metric == pytest.approx(artifact.metric, rel=1e-2)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda batches: batches.repeat(), "a dataset without an end"),
        (lambda batches: batches.unbatch(), "a dataset of single examples"),
        (lambda batches: batches.map(lambda x, y: x), "a dataset of elements TensorSpec"),
        (lambda batches: batches.take(0), "an empty dataset"),
    ],
)
def test_datasets_that_are_no_batches_to_the_end_are_refused(change, match, x):
    model = network()
    batches = change(tf.data.Dataset.from_tensor_slices((x, x[:, 0])).batch(100))
    with pytest.raises(ValueError, match=match):
        export.check_accuracy(export.to_tflite(model), model, batches, metric="mse")


def test_inputs_by_name_are_handed_over_by_name(x):
    inputs = {"second": keras.Input((2,), name="second"), "first": keras.Input((4,), name="first")}
    joined = layers.Concatenate()([inputs["first"], inputs["second"]])
    model = keras.Model(inputs, layers.Dense(1)(joined))
    given = {"first": x[:, :4], "second": x[:, 4:]}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        artifact = export.check_accuracy(export.to_tflite(model, client="cpu"), model, (given, x[:, 0]), metric="mse")
    expected = np.mean((model(given).numpy()[:, 0] - x[:, 0]) ** 2)
    assert artifact.keras_metric == pytest.approx(expected, rel=1e-5) == artifact.metric


def test_without_a_metric_accuracy_is_what_it_was(x):
    artifact = export.to_tflite(network(3, "softmax"))
    y = np.arange(EXAMPLES) % 3
    found = export.evaluate_tflite(artifact, x, y)
    assert found.metric is None and found.accuracy == export.evaluate_tflite(artifact, x, y, metric="acc").accuracy
    assert as_metric() is ACCURACY and ACCURACY.name == "accuracy"


def test_file_that_loses_more_of_a_metric_than_is_allowed_says_so(x):
    model = network()
    y = model(x).numpy() + 0.1
    other = keras.models.clone_model(model)
    other.set_weights([1.1 * weight for weight in model.get_weights()])
    for made_of, loss, lost in ((model, None, False), (other, None, True), (other, 1.0, True)):
        arguments = {"metric": "mse"} | ({} if loss is None else {"max_metric_loss": loss})
        artifact = export.check_accuracy(export.to_tflite(made_of), model, (x, y), **arguments)
        assert artifact.keras_metric == pytest.approx(0.01, rel=1e-4) and artifact.accuracy is None
        assert len(artifact.caveats) == lost
    assert f"mse of the file is {artifact.metric:.4g} and of its Keras model 0.01" in artifact.caveats[0]
    with pytest.raises(ValueError, match=r"Expected `max_accuracy_loss`.*max_metric_loss=0.1"):
        export.check_accuracy(artifact, model, (x, y), max_metric_loss=0.1)
    with pytest.raises(ValueError, match=r"Expected `max_metric_loss`.*metric='mse'.*max_accuracy_loss=0.1"):
        export.smallest(model, data=(x, y), metric="mse", max_accuracy_loss=0.1)
    with pytest.raises(ValueError, match=r"max_metric_loss"):
        export.check_accuracy(artifact, model, (x, y), metric="mse", max_metric_loss=-1)
