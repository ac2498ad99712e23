import itertools
import os
import sys
import types

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.conversion.weight_only import quantize_by_recipe
from cvhn_tf.export.verification.litert import open_file
from cvhn_tf.export.verification.verify import verify


@pytest.fixture(scope="module")
def network():
    """A network with 97% zeros, large enough for its encodings to differ."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((100,)), layers.Dense(300, "relu"), layers.Dense(100, "relu"), layers.Dense(10, "softmax")]
    )
    rng = np.random.default_rng(0)
    for layer in model.layers:
        kernel = layer.kernel.numpy() * (rng.random(layer.kernel.shape) > 0.97) * 6
        layer.set_weights([kernel, rng.normal(size=layer.units)])
    return model


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(300, 100)).astype("float32")


def run(content, x):
    """The interpreter's own interface, one example at a time."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    outputs = []
    for example in x:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], example[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0].copy())
    return np.stack(outputs)


@pytest.mark.parametrize(
    "quantization, tolerance",
    [
        (None, 1e-5),
        ("float16", 2e-3),
        ("dynamic_range", 0.05),
        ("int8", 0.1),
        ("weight_only_int8", 0.02),
        ("weight_only_int4", 0.3),
        ("dynamic_int4", 0.3),
    ],
)
def test_every_file_does_in_litert_what_the_network_does_in_keras(network, x, quantization, tolerance):
    artifact = export.to_tflite(network, quantization, representative_data=x, client="cpu")
    assert np.abs(run(artifact.content, x[:50]) - network(x[:50])).max() < tolerance
    assert artifact.quantization == quantization and artifact.relative_error < 2 * tolerance


def test_sparse_encoding_is_taken_where_it_is_smaller(network):
    sizes = {
        sparse: export.to_tflite(network, sparse=sparse, client="cpu").size_bytes for sparse in (True, False, "auto")
    }
    assert sizes["auto"] == min(sizes[True], sizes[False]) < sizes[False] / 2


def test_dense_network_gets_no_sparse_encoding(target):
    assert not export.to_tflite(target).sparse


def test_smallest_is_the_smallest_of_all_encodings(network, x):
    sizes = {q: export.to_tflite(network, q, representative_data=x).size_bytes for q in (None, "float16", "int8")}
    assert export.smallest(network, representative_data=x).size_bytes <= min(sizes.values())


def test_smallest_loses_no_more_accuracy_than_it_may(network, x):
    y = network(x).numpy().argmax(1)  # the float32 file is right on all of them
    found = {
        loss: export.smallest(network, data=(x, y), max_accuracy_loss=loss, client="cpu") for loss in (0.0, 0.02, 1.0)
    }
    for loss, artifact in found.items():
        assert export.evaluate_tflite(artifact, x, y).accuracy >= 1 - loss
    others = [
        export.to_tflite(network, quantization, client="cpu")
        for quantization in (None, "float16", "dynamic_range", "weight_only_int8", "weight_only_int4", "dynamic_int4")
    ]
    assert found[1.0].size_bytes == min(artifact.size_bytes for artifact in others)
    for artifact in others:
        loss = 1 - export.evaluate_tflite(artifact, x, y).accuracy
        assert loss > 0.02 or artifact.size_bytes >= found[0.02].size_bytes
    assert found[0.0].size_bytes >= found[0.02].size_bytes >= found[1.0].size_bytes


def test_smallest_without_labels_stays_near_the_outputs_of_the_network(network, x):
    far = keras.models.clone_model(network)
    artifact = export.smallest(network, rounded={8: far, 4: far})
    assert artifact.relative_error <= 0.05
    assert np.mean((run(artifact.content, x[:50]) - network(x[:50])) ** 2) < 0.01


@pytest.mark.parametrize("loss", [-0.1, 1.5, "small", float("nan")])
def test_accuracy_loss_is_checked_before_anything_is_converted(network, loss):
    with pytest.raises(ValueError, match="max_accuracy_loss"):
        export.smallest(network, max_accuracy_loss=loss)


def test_missing_quantizer_is_named_and_others_do_without_it(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    with pytest.raises(ModuleNotFoundError, match=r"cvhn-tf\[quantization\]"):
        export.to_tflite(network, "weight_only_int4")
    assert export.smallest(network).size_bytes > 0


def test_int4_of_integer_products_takes_no_more_bytes_than_expanded_weights(network, x):
    files = [
        export.to_tflite(network, quantization, client="cpu") for quantization in ("dynamic_int4", "weight_only_int4")
    ]
    assert files[0].size_bytes <= files[1].size_bytes


def test_quantizer_that_leaves_sparse_weights_as_they_are_is_found_out(network):
    sparse = export.to_tflite(network, sparse=True, client="cpu")
    with pytest.raises(export.ConversionError, match="ai-edge-quantizer"):
        quantize_by_recipe(sparse.content, "weight_only_wi8_afp32", bits=8)


def test_file_is_written_whole_with_the_sizes_it_says(network, tmp_path):
    artifact = export.to_tflite(network)
    path = artifact.save(tmp_path / "network.tflite")
    assert path.read_bytes() == artifact.content and artifact.size_bytes == path.stat().st_size
    assert 0 < artifact.gzip_bytes < artifact.size_bytes
    assert os.listdir(tmp_path) == ["network.tflite"]


def test_failed_write_leaves_the_old_file_and_no_half_one(network, tmp_path, monkeypatch):
    path = tmp_path / "network.tflite"
    path.write_bytes(b"old")

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        export.to_tflite(network).save(path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["network.tflite"]
    with pytest.raises(FileNotFoundError):
        export.to_tflite(network).save(tmp_path / "missing" / "network.tflite")


def test_file_that_does_something_else_is_not_handed_over(network, x):
    other = keras.models.clone_model(network)
    content = export.to_tflite(other).content
    with pytest.raises(export.ConversionError, match="differ"):
        verify(content, network, None, [x[:16]])
    with pytest.raises(export.ConversionError, match="cannot run"):
        verify(content[: len(content) // 2], network, None, [x[:16]])


def test_combination_that_litert_refuses_is_an_error(network, x):
    """Sparse 8-bit weights: the converter writes them, LiteRT cannot load them."""
    with pytest.raises(export.ConversionError, match="int8"):
        export.to_tflite(network, "int8", sparse=True, representative_data=x, client="cpu")


def two_inputs_two_outputs():
    a, b = keras.Input((3,), name="b_first"), keras.Input((2,), name="a_second")
    x = layers.Concatenate()([layers.Dense(4, "relu")(a), b])
    return keras.Model([a, b], [layers.Dense(2)(x), layers.Dense(1)(x)])


def recurrent():
    return keras.Sequential([keras.Input((5,), dtype="int32"), layers.Embedding(7, 4), layers.LSTM(3), layers.Dense(2)])


@pytest.mark.parametrize("make_model", [two_inputs_two_outputs, recurrent], ids=lambda f: f.__name__)
def test_other_architectures_are_verified_too(make_model):
    artifact = export.to_tflite(make_model())
    assert artifact.relative_error < 1e-4


def test_int8_of_a_loop_is_refused_since_its_calibration_would_end_the_process():
    """And `smallest`, which tries all encodings, goes on to the others."""
    words = np.zeros((8, 5), "int32")
    with pytest.raises(export.ConversionError, match=r"'lstm.*' \(LSTM\) is a loop.*unroll"):
        export.to_tflite(recurrent(), "int8", representative_data=words)
    assert export.smallest(recurrent(), representative_data=words).quantization in (None, "float16", "dynamic_range")


@pytest.mark.parametrize(
    "make_layer",
    [
        lambda: keras.layers.Conv2D(2, 3, activation="relu"),
        lambda: keras.layers.DepthwiseConv2D(3, activation="relu"),
        lambda: keras.layers.Dense(1, activation="relu"),
    ],
    ids=["conv", "depthwise", "dense"],
)
def test_int8_of_a_layer_that_never_fires_is_refused_before_it_could_end_the_process(make_layer):
    """LiteRT fails to scale its integers, and how it fails depends on what memory it hits."""
    rng = np.random.default_rng(0)
    layer = make_layer()
    network = keras.Sequential([keras.Input((6, 5, 3)), layer, keras.layers.Conv2D(2, 1)])
    x = rng.uniform(size=(16, 6, 5, 3)).astype("float32")
    export.to_tflite(network, "int8", representative_data=x)
    kernel, bias = layer.get_weights()
    layer.set_weights([-np.abs(kernel) - 0.5, bias])
    with pytest.raises(export.ConversionError, match=r"cannot run the file.* never fire"):
        export.to_tflite(network, "int8", representative_data=x)


def test_int8_of_an_unrolled_recurrent_layer_is_verified():
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), layers.Embedding(7, 4), layers.GRU(3, unroll=True), layers.Dense(2)]
    )
    words = np.arange(40).reshape(8, 5).astype("int32") % 7
    assert export.to_tflite(model, "int8", representative_data=words).relative_error < 0.1


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"quantization": "int4"}, "quantization"),
        ({"sparse": "maybe"}, "sparse"),
        ({"quantization": "int8"}, "representative_data"),
        ({"quantization": "int8", "representative_data": np.zeros((5, 3))}, "`representative_data` of shapes"),
        ({"representative_data": np.zeros((0, 100))}, "at least one example"),
        ({"quantization": "int8", "representative_data": np.full((5, 100), np.nan)}, "finite"),
        ({"quantization": "int8", "representative_data": np.full((5, 100), "a")}, "numbers"),
        ({"representative_data": {"other": np.zeros((5, 100))}}, "for the inputs"),
    ],
)
def test_bad_arguments_are_refused(network, arguments, name):
    with pytest.raises(ValueError, match=name):
        export.to_tflite(network, **arguments)


def test_accuracy_and_loss_are_those_of_the_outputs(network, x):
    y = np.random.default_rng(2).integers(0, 10, len(x))
    artifact = export.to_tflite(network)
    result = export.evaluate_tflite(artifact, x, y, loss="sparse_categorical_crossentropy")
    outputs = run(artifact.content, x)
    assert result.accuracy == np.mean(outputs.argmax(1) == y)
    assert result.loss == pytest.approx(-np.log(np.maximum(outputs[np.arange(len(y)), y], 1e-7)).mean(), rel=1e-3)
    assert result.examples == 300 and result.latency_ms > 0
    assert export.evaluate_tflite(artifact, x, keras.utils.to_categorical(y, 10)).accuracy == result.accuracy


def test_latency_is_the_median_of_single_runs_in_ms(network, x, monkeypatch):
    """On a clock of its own: every fifth run takes a second, and the others 2 ms, with pauses between them."""
    runs = [1.0 if i % 5 == 0 else 0.002 for i in range(1000)]
    clock = itertools.accumulate(seconds for run in runs for seconds in (0.3, run))
    monkeypatch.setattr(
        "cvhn_tf.export.verification.litert.time", types.SimpleNamespace(perf_counter=lambda: next(clock))
    )
    result = export.evaluate_tflite(export.to_tflite(network), x, np.zeros(300, int))
    assert result.latency_ms == pytest.approx(2.0)


def test_accuracy_of_a_binary_file_and_none_of_a_regression(x):
    binary = keras.Sequential([keras.Input((100,)), layers.Dense(1, "sigmoid")])
    y = np.arange(300) % 2
    expected = np.mean((binary.predict(x, verbose=0)[:, 0] > 0.5) == y)
    assert export.evaluate_tflite(export.to_tflite(binary), x, y).accuracy == expected
    assert export.evaluate_tflite(export.to_tflite(binary), x, y + 0.5, loss="mse").accuracy is None


def test_evaluation_needs_examples(network, x):
    with pytest.raises(ValueError, match="same number of examples"):
        export.evaluate_tflite(export.to_tflite(network), x, np.zeros(3))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("quantization", [None, "float16", "dynamic_range"])
def test_network_of_another_precision_becomes_a_file_of_float32(policy, quantization):
    block = keras.Sequential(
        [keras.Input((8, 8, 2)), layers.Conv2D(4, 3, activation="relu", dtype=policy), layers.Dropout(0.5)]
    )
    inputs = keras.Input((8, 8, 2))
    x = layers.TimeDistributed(layers.Dense(40, "relu", dtype=policy), dtype=policy)(block(inputs))
    x = layers.BatchNormalization(dtype=policy)(layers.Flatten(dtype=policy)(x))
    model = keras.Model(inputs, layers.Dense(3, dtype=policy)(x))
    x = np.random.default_rng(0).normal(size=(20, 8, 8, 2)).astype("float32")
    artifact = export.to_tflite(model, quantization)
    expected = np.asarray(model(x), "float32")
    np.testing.assert_allclose(run(artifact.content, x), expected, atol=0.05 * np.abs(expected).max())
    assert model.layers[-1].compute_dtype != "float32"


def test_outputs_with_names_of_their_own_stand_in_the_order_of_keras():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, {"y10": layers.Dense(3)(inputs), "y2": layers.Dense(3)(inputs)})
    litert = open_file(export.to_tflite(model).content)
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    for ours, expected in zip(litert.run([x]), keras.tree.flatten(model(x)), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("make_first", [lambda: layers.Conv1D(8, 3), lambda: layers.Dense(8)], ids=["conv", "dense"])
def test_inputs_of_any_length_run_at_each_length(make_first):
    model = keras.Sequential(
        [keras.Input((None, 4)), make_first(), layers.GlobalAveragePooling1D(), layers.Dense(3, "softmax")]
    )
    artifact = export.annotate(export.to_tflite(model, client="cpu"), labels=["a", "b", "c"])
    rng = np.random.default_rng(0)
    for length in (20, 5):
        x = rng.normal(size=(7, length, 4)).astype("float32")
        y = np.asarray(model(x)).argmax(1)
        assert export.evaluate_tflite(artifact, x, y).accuracy == 1.0
        assert export.evaluate_tflite(artifact, x[:1], y[:1]).accuracy == 1.0


def test_batches_of_a_fixed_size_are_filled_up():
    model = keras.Sequential([keras.Input(batch_shape=(32, 4)), layers.Dense(3, "softmax")])
    x = np.random.default_rng(0).normal(size=(70, 4)).astype("float32")
    outputs = model.predict(np.concatenate([x, x[:26]]), batch_size=32, verbose=0)[:70]
    artifact = export.to_tflite(model)
    np.testing.assert_allclose(open_file(artifact.content).run([x])[0], outputs, atol=1e-6)
    assert export.evaluate_tflite(artifact, x, outputs.argmax(1)).accuracy == 1.0


def test_examples_by_the_names_of_the_inputs():
    inputs = [keras.Input((5,), name="second"), keras.Input((3,), name="first")]
    model = keras.Model(inputs, layers.Dense(3, "softmax")(layers.Concatenate()(inputs)))
    rng = np.random.default_rng(0)
    second, first = (rng.normal(size=(9, n)).astype("float32") for n in (5, 3))
    y = np.asarray(model([second, first])).argmax(1)
    content = export.to_tflite(model).content
    assert export.evaluate_tflite(content, {"first": first, "second": second}, y).accuracy == 1.0
    with pytest.raises(ValueError, match=r"\['first', 'second'\]. Received: x for \['third'\]"):
        export.evaluate_tflite(content, {"third": first}, y)


def test_one_output_may_be_a_probability_or_a_logit_and_has_two_labels():
    logits = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    probabilities = keras.Sequential([keras.Input((4,)), layers.Dense(1), layers.Activation("sigmoid")])
    probabilities.set_weights(logits.get_weights())
    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    y = (np.asarray(logits(x))[:, 0] > 0).astype(int)
    for model in (logits, probabilities):
        artifact = export.annotate(export.to_tflite(model), np.float32(1.0), np.float32(0.5), labels=["no", "yes"])
        assert artifact.metadata["labels"] == ["no", "yes"] and artifact.metadata["sparsity"] == 0.5
        assert export.evaluate_tflite(artifact, x, y).accuracy == 1.0
    counts = export.evaluate_tflite(artifact, x, np.arange(50), loss="mse")
    assert counts.accuracy is None and counts.calibration_error is None


def test_rounded_networks_for_other_bits_are_refused(network):
    with pytest.raises(ValueError, match="8 and 4 bits"):
        export.smallest(network, rounded={16: network})


def test_smallest_of_a_network_of_mixed_precision_is_measured_against_float32(x, monkeypatch):
    monkeypatch.setattr(sys.modules["cvhn_tf.export.search.smallest"], "available_quantizations", lambda *_: [None])
    stack = [layers.Dense(300, "relu", dtype="mixed_bfloat16"), layers.Dense(10, dtype="mixed_bfloat16")]
    artifact = export.smallest(keras.Sequential([keras.Input((100,)), *stack]), representative_data=x, client="cpu")
    assert artifact.relative_error < 1e-5
