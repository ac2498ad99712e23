import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from long import long_but

from cvhn_tf import export


def network_with_zeros(sparsity=0.5, **first):
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, use_bias=False, **first),
            layers.BatchNormalization(beta_initializer="normal"),
            layers.Activation("relu"),
            layers.Dense(3, "softmax", dtype="float32", bias_initializer="normal"),
        ]
    )
    rng = np.random.default_rng(0)
    for layer in (model.layers[0], model.layers[-1]):
        layer.set_weights([weight * (rng.random(weight.shape) > sparsity) for weight in layer.get_weights()])
    return model


def loss_of(model, data):
    model.compile(loss="sparse_categorical_crossentropy")
    return model.evaluate(*data, verbose=0)


@pytest.mark.parametrize(
    "policy", long_but({"mixed_float16"}.__contains__, ["float32", "mixed_float16", "mixed_bfloat16"])
)
def test_zeros_stay_zero_to_the_bit_the_others_learn_and_the_input_does_not_change(data, policy):
    model = network_with_zeros(dtype=policy)
    before = [weight.copy() for weight in model.get_weights()]
    finetuned = export.finetune(model, data, epochs=20, batch_size=16)
    zeros = 0
    for weight, path, old in zip(finetuned.get_weights(), [w.path for w in model.weights], before, strict=True):
        if "moving" in path:
            continue
        assert not np.any(np.signbit(weight[old == 0])) and not np.any(weight[old == 0])
        assert np.mean(weight[old != 0] != old[old != 0]) > 0.9
        zeros += np.sum(old == 0)
    assert zeros > 60
    assert loss_of(finetuned, data) < loss_of(model, data) / 2
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_progress_is_shown_where_asked_for(data, capfd):
    export.finetune(network_with_zeros(), data, epochs=1)
    assert not capfd.readouterr().out
    export.finetune(network_with_zeros(), data, epochs=1, verbose=2)
    assert "loss" in capfd.readouterr().out


def test_the_result_is_as_plain_as_the_input(data, tmp_path):
    model = network_with_zeros(kernel_constraint=keras.constraints.MaxNorm(0.5))
    finetuned = export.finetune(model, data, epochs=2)
    assert not finetuned.compiled
    assert finetuned.get_config() == model.get_config()
    assert all(weight.constraint is None for weight in finetuned.weights[1:])
    finetuned.save(tmp_path / "finetuned.keras")
    loaded = keras.saving.load_model(tmp_path / "finetuned.keras")
    np.testing.assert_array_equal(loaded(data[0]), finetuned(data[0]))


def test_constraints_of_the_model_hold_beside_the_zeros(data):
    model = network_with_zeros(kernel_constraint=keras.constraints.MaxNorm(0.5))
    kernel = model.layers[0].kernel.numpy()
    tuned = export.finetune(model, data, epochs=20).layers[0].kernel.numpy()
    assert np.linalg.norm(tuned, axis=0).max() < 0.5 + 1e-6
    assert not np.any(tuned[kernel == 0])


def test_batch_normalization_gets_the_statistics_of_the_network_that_pruning_left(data):
    model = network_with_zeros()
    model.layers[1].moving_mean.assign(np.full(16, 50.0))  # of another network
    finetuned = export.finetune(model, data, epochs=10, batch_size=64)
    inputs = finetuned.layers[0](data[0]).numpy()
    np.testing.assert_allclose(finetuned.layers[1].moving_mean, inputs.mean(0), atol=0.05)
    assert finetuned.layers[1].momentum == model.layers[1].momentum == 0.99


def test_frozen_layers_stay_as_they_are(data):
    model = network_with_zeros()
    model.layers[0].trainable = False
    finetuned = export.finetune(model, data, epochs=2)
    np.testing.assert_array_equal(finetuned.layers[0].kernel, model.layers[0].kernel)
    assert not finetuned.layers[0].trainable
    assert np.any(finetuned.layers[-1].bias != model.layers[-1].bias)


def test_what_prune_and_compact_give_can_be_finetuned(compiled, data):
    hypernetwork = compiled()
    hypernetwork.fit(*data, batch_size=16, epochs=5, verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(16)
    pruned = export.prune(hypernetwork, 1.0, sparsity=0.8)
    compacted = export.compact(export.prune(hypernetwork, 1.0, sparsity=0.7, structure="unit"))
    for network in (pruned, compacted):
        finetuned = export.finetune(network, dataset, epochs=30)
        assert loss_of(finetuned, data) < loss_of(network, data)
        for weight, old in zip(finetuned.get_weights(), network.get_weights(), strict=True):
            assert not np.any(weight[old == 0])


@pytest.mark.parametrize(
    "arguments",
    [{"epochs": 0}, {"epochs": 1.5}, {"batch_size": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}],
    ids=str,
)
def test_bad_arguments(data, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}`.*Received"):
        export.finetune(network_with_zeros(), data, **arguments)


def test_examples_and_labels_by_themselves_are_told_to_be_a_pair(compiled, data):
    with pytest.raises(ValueError, match=r"Expected `data` to be a pair \(x, y\)"):
        export.finetune(compiled, *data)


def test_models_and_data_that_cannot_be_trained_on(compiled, data):
    with pytest.raises(ValueError, match=r"made by `at\(complexity\)`.*a hypernetwork"):
        export.finetune(compiled(), data)
    with pytest.raises(ValueError, match="pair"):
        export.finetune(network_with_zeros(), data[0])
    with pytest.raises(ValueError, match="NaN"):
        export.finetune(network_with_zeros(), (np.full((4, 8), np.nan), data[1][:4]))
    unknown = tf.data.Dataset.from_tensor_slices(data).filter(lambda x, y: True).batch(16)
    with pytest.raises(ValueError, match="known length"):
        export.finetune(network_with_zeros(), unknown)


def test_inputs_by_name_may_stand_in_any_order():
    inputs = [keras.Input((5,), name="second"), keras.Input((3,), name="first")]
    model = keras.Model(inputs, layers.Dense(3, "softmax")(layers.Concatenate()(inputs)))
    x = {"first": np.ones((9, 3), "float32"), "second": np.ones((9, 5), "float32")}
    finetuned = export.finetune(model, (x, np.arange(9) % 3), epochs=1)
    assert np.any(finetuned.get_weights()[0] != model.get_weights()[0])
