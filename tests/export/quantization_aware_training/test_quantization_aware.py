"""Quantization-aware training in its own process: what comes back, and what is refused before it starts."""

import sys

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from cvhn_tf import datasets, export
from cvhn_tf.export.clients import as_client
from cvhn_tf.export.quantization_aware_training import train
from cvhn_tf.export.quantization_aware_training.verified_file import verified_file
from cvhn_tf.export.tflite.flatbuffer import constants, parse


def every_covered_layer():
    inputs = keras.Input((8, 8, 1))
    x = layers.ZeroPadding2D(1)(inputs)
    x = layers.Conv2D(8, 3, use_bias=False)(x)
    x = layers.BatchNormalization(beta_initializer="normal")(x)
    skipped = layers.Activation("relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(skipped)
    x = layers.BatchNormalization(beta_initializer="normal")(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(8, 1, activation="relu")(layers.Dropout(0.1)(x))
    x = layers.Add()([skipped, x])
    x = layers.Concatenate()([layers.MaxPooling2D()(x), layers.AveragePooling2D(2)(x)])
    x = layers.Flatten()(layers.Reshape((16, 16))(x))
    x = layers.Dense(32, "tanh")(x)
    return keras.Model(inputs, layers.Softmax()(layers.Dense(10)(x)))


def with_zeros(model, share=0.4):
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if "kernel" in weight.path or "bias" in weight.path:
            value = weight.numpy() + (0.01 if "bias" in weight.path else 0)
            weight.assign(value * (rng.random(value.shape) > share))
    return model


def test_trained_network_keeps_its_zeros_and_the_int8_file_is_as_accurate(accuracy_of, tmp_path):
    digits = datasets.load("digits")
    model = with_zeros(every_covered_layer())
    before = [weight.copy() for weight in model.get_weights()]
    artifact, trained = export.quantization_aware(
        model, digits.x_train, digits.y_train, epochs=5, batch_size=32, learning_rate=5e-3
    )
    for old, same, new, weight in zip(before, model.get_weights(), trained.get_weights(), model.weights, strict=True):
        np.testing.assert_array_equal(same, old)
        if weight.trainable:
            assert np.mean(new[old != 0] != old[old != 0]) > 0.5
        if "kernel" in weight.path or "bias" in weight.path:
            assert not np.any(new[old == 0])
    accuracy = np.mean(trained.predict(digits.x_test, verbose=0).argmax(1) == digits.y_test)
    assert accuracy > 0.9
    assert accuracy_of(artifact.save(tmp_path / "digits.tflite")) > accuracy - 0.02
    assert artifact.quantization == "int8" and artifact.relative_error < 0.2
    assert float_operators(artifact) == {"QUANTIZE", "DEQUANTIZE"}


def float_operators(artifact):
    """Names of the operators that read or write a float tensor."""
    interpreter = Interpreter(model_content=artifact.content, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    kinds = {detail["index"]: detail["dtype"] for detail in interpreter.get_tensor_details()}
    return {
        operator["op_name"]
        for operator in interpreter._get_ops_details()
        if operator["op_name"] != "DELEGATE"
        and any(kinds.get(index) == np.float32 for index in (*operator["inputs"], *operator["outputs"]))
    }


@pytest.mark.long
def test_compacted_network_and_a_loss_of_logits(data, capsys):
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16, "relu"), layers.Dense(3)])
    kernel, bias = model.layers[0].get_weights()
    kernel[[0, 3, 5]] = 0
    kernel[:, :6] = 0
    model.layers[0].set_weights([kernel, bias])
    compacted = export.compact(model, weight_bits=1000)  # or selecting would not pay for so few
    assert compacted.layers[1].__class__.__name__ == "SelectFeatures" and compacted.count_params() < 100
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    artifact, trained = export.quantization_aware(
        compacted, *data, epochs=30, loss=loss, batch_size=16, learning_rate=1e-2, client=("any", "micro"), verbose=True
    )
    assert capsys.readouterr().out.count("loss: ") == 30
    assert artifact.clients == ("any", "micro") and len(artifact.verified_by) == 2
    names = Interpreter(model_content=artifact.content).get_signature_list()["serving_default"]
    assert names == {"inputs": [compacted.inputs[0].name], "outputs": [compacted.layers[-1].name]}
    for tensor, buffer in constants(parse(artifact.content)):
        assert artifact.content.index(bytes(buffer.data)) % 16 == 0, tensor.name
    assert loss(data[1], trained(data[0])) < loss(data[1], compacted(data[0])) / 2
    measured = export.evaluate_tflite(artifact, *data, loss=loss)
    assert measured.loss == pytest.approx(float(loss(data[1], trained(data[0]))), abs=0.05)


def test_what_fails_in_the_process_is_one_sentence(target, data, tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'Traceback ...' >&2\necho 'MemoryError: no room' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(export.ConversionError, match=r"training failed: MemoryError: no room$"):
        export.quantization_aware(target, *data)


def called_twice():
    inputs, dense = keras.Input((4,)), layers.Dense(4)
    return keras.Model(inputs, dense(dense(inputs)))


def frozen():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    model.layers[0].trainable = False
    return model


def two_inputs():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    return keras.Model(inputs, layers.Add()(inputs))


def stack(*some_layers):
    return lambda: keras.Sequential([keras.Input((4, 4, 2)), *some_layers])


@pytest.mark.parametrize(
    "make_model, problem",
    [
        (stack(layers.LayerNormalization()), "LayerNormalization"),
        (stack(layers.Conv2D(2, 3, activation="gelu")), "activation 'gelu'"),
        (stack(layers.BatchNormalization()), "behind"),
        (stack(layers.Conv2D(2, 3, activation="relu"), layers.BatchNormalization()), "behind"),
        (stack(layers.Conv2D(2, 1, data_format="channels_first")), "channels first"),
        (stack(keras.Sequential([layers.Conv2D(2, 3)])), "Sequential"),
        (called_twice, "more than once"),
        (frozen, "frozen"),
        (two_inputs, "one input"),
        (lambda: keras.Sequential([layers.Dense(2)]), "built"),
    ],
)
def test_what_is_not_covered_is_refused_before_training(make_model, problem, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")  # any process would fail
    with pytest.raises(ValueError, match=problem):
        export.quantization_aware(make_model(), np.ones((4, 4)), np.ones(4))


@pytest.mark.parametrize(
    "arguments",
    [{"epochs": 0}, {"learning_rate": -1.0}, {"batch_size": 0}, {"loss": "nonsense"}, {"loss": len}],
    ids=str,
)
def test_bad_arguments_are_refused_before_training(arguments, target, data, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}"):
        export.quantization_aware(target, *data, **arguments)


def test_missing_tfmot_is_one_sentence(target, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization", None)
    with pytest.raises(ImportError, match=r"pip install 'cvhn-tf\[quantization-aware\]'"):
        export.quantization_aware(target, *data)


def test_layer_that_never_fires_is_refused_before_any_training(monkeypatch):
    network = keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(2, 3, activation="relu"), layers.Flatten(), layers.Dense(2)]
    )
    kernel, bias = network.layers[0].get_weights()
    network.layers[0].set_weights([-np.abs(kernel) - 0.5, bias])
    x = np.random.default_rng(0).uniform(size=(32, 6, 6, 3)).astype("float32")
    monkeypatch.setattr(train, "_run", None)  # nothing is trained
    with pytest.raises(export.ConversionError, match="never fire"):
        export.quantization_aware(network, x, np.zeros(32, "int32"))


def far_but_right(right):
    """A network and an int8 file whose outputs are far from its, with the same classes or others."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((6,)), layers.Dense(16, "relu"), layers.Dense(3)])
    other = keras.models.clone_model(network)
    factor = 1.6 if right else -0.6
    weights = network.get_weights()
    other.set_weights([*weights[:2], factor * weights[2] + (0 if right else weights[2][:, ::-1]), weights[3]])
    x = np.random.default_rng(0).normal(size=(300, 6)).astype("float32")
    content = export.to_tflite(other, "int8", representative_data=x).content
    return network, content, x, network(x).numpy().argmax(1)


def test_file_of_far_outputs_is_handed_over_if_it_is_as_accurate_and_says_so():
    network, content, x, y = far_but_right(True)
    artifact = verified_file(content, network, x, y, as_client("any"))
    assert artifact.accuracy >= artifact.keras_accuracy - 0.01 - 1e-9 and artifact.relative_error > 0.35
    assert "differ" in artifact.caveats[-1]
    with pytest.raises(export.ConversionError, match="differ"):
        verified_file(
            content, network, x, network.predict(x, verbose=0), as_client("any")
        )  # of targets that are no classes


def test_file_of_far_outputs_that_is_less_accurate_is_refused_with_advice():
    network, content, x, y = far_but_right(False)
    with pytest.raises(export.ConversionError, match="epochs"):
        verified_file(content, network, x, y, as_client("any"))


def test_what_is_frozen_and_outputs_in_a_dict_are_refused_before_any_training(target, data, monkeypatch):
    monkeypatch.setattr(train, "_run", None)
    named = keras.Model(target.inputs, {"classes": target.outputs[0]})
    with pytest.raises(ValueError, match="no dict"):
        export.quantization_aware(named, *data)
    target.layers[0].kernel.trainable = False
    with pytest.raises(ValueError, match="a weight of which is frozen"):
        export.quantization_aware(target, *data)
