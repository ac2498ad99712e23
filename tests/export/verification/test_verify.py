"""What the comparison with Keras sees, and what it says where it sees nothing."""

import json

import keras
import numpy as np
import pytest
from keras import layers, ops

from cvhn_tf import export
from cvhn_tf.export.clients import CLIENTS
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse
from cvhn_tf.export.verification import activity, inputs
from cvhn_tf.export.verification import verify as run_verification
from cvhn_tf.export.verification.inputs import verification_inputs
from cvhn_tf.export.verification.requantization import unscalable_output


def network_that_wakes_at(threshold):
    """Gives 0.5 until its input exceeds a threshold."""
    network = keras.Sequential([keras.Input((1,)), layers.Dense(3, "relu"), layers.Dense(1)])
    ones = np.ones((1, 3), "float32")
    network.set_weights([ones, np.full(3, -threshold, "float32"), ones.T, np.array([0.5], "float32")])
    return network


def never_firing(network):
    """A file that gives what the network does while its units are dead."""
    dead = keras.models.clone_model(network)
    weights = network.get_weights()
    dead.set_weights([*weights[:2], 0 * weights[2], weights[3]])
    return export.to_tflite(dead).content


def test_random_inputs_have_both_signs_and_are_in_their_range():
    (x,) = verification_inputs(keras.Sequential([keras.Input((50,)), layers.Dense(2)]))
    assert -1 <= x.min() < -0.5 and 0.5 < x.max() < 1


def test_inputs_are_positive_where_the_network_takes_no_others():
    source = keras.Input((5,))
    network = keras.Model(source, ops.log(source))
    (x,) = verification_inputs(network)
    assert (x >= 0).all()
    assert export.to_tflite(network).relative_error < 1e-4


@pytest.mark.parametrize("count", [1, 5, 1024, 3000])
def test_examples_are_spread_over_all_of_the_data_in_each_batch_too(count):
    network = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    (x,) = verification_inputs(network, np.arange(count, dtype="float32")[:, None])
    assert len(np.unique(x)) == len(x) == min(count, inputs.MOST_EXAMPLES)
    assert {0, count - 1} <= set(x.ravel())
    batch = x[: inputs.batch_size(network, [x])]
    assert np.diff(np.sort(batch, axis=0), axis=0).max(initial=0) <= max(2 * count / len(batch), 1)


def test_units_that_fire_on_late_examples_only_are_compared():
    network = network_that_wakes_at(0)
    x = np.linspace(-3, 3, 64, dtype="float32")[:, None]
    with pytest.raises(export.ConversionError, match="differ"):
        run_verification(never_firing(network), network, None, verification_inputs(network, x))


@pytest.mark.parametrize("threshold", [0, 5, 100])
def test_network_that_is_silent_on_the_data_is_compared_on_further_inputs(threshold):
    network = network_that_wakes_at(threshold)
    silent = [np.full((4, 1), -1, "float32")]
    with pytest.raises(export.ConversionError, match="differ"):
        run_verification(never_firing(network), network, None, silent)
    assert export.to_tflite(network, representative_data=silent[0]).caveats == ()


def test_constant_network_is_handed_over_and_says_so():
    network = keras.Sequential([keras.Input((4,)), layers.Dense(3, "relu"), layers.Dense(2, name="scores")])
    network.set_weights([0 * weight + 0.1 * (weight.ndim == 1) for weight in network.get_weights()])
    artifact = export.to_tflite(network)
    (caveat,) = artifact.caveats
    assert "constant" in caveat and "'scores'" in caveat
    assert export.annotate(artifact).metadata["caveats"] == [caveat]
    assert json.loads(json.dumps(export.read_metadata(export.annotate(artifact).content)))["caveats"] == [caveat]


def test_int8_is_not_compared_beyond_what_it_was_calibrated_on():
    network = network_that_wakes_at(-5)  # all fire, in 8 bits up to the largest example
    x = np.full((8, 1), 0.5, "float32")
    assert len(export.to_tflite(network, "int8", representative_data=x).caveats) == 1


def test_relu_behind_a_product_of_two_computed_matrices_is_missed():
    """TensorFlow's converter drops it; with positive inputs and a positive kernel nothing would show it."""
    source = keras.Input((6,))
    computed = layers.Dense(4, kernel_initializer=keras.initializers.RandomUniform(0, 1))(source)
    network = keras.Model(source, ops.relu(ops.matmul(ops.transpose(source), computed)))
    with pytest.raises(export.ConversionError, match="differ"):
        export.to_tflite(network)


def test_file_with_a_wrong_second_output_is_refused():
    source = keras.Input((4,))
    network = keras.Model(source, [layers.Dense(2)(source), layers.Dense(2)(source) * 1e38])
    content = export.to_tflite(network).content
    network.set_weights([w * (1 if i < 2 else 20) for i, w in enumerate(network.get_weights())])
    x = [np.random.default_rng(0).normal(size=(8, 4)).astype("float32")]
    with pytest.raises(export.ConversionError, match="differ"):
        run_verification(content, network, None, x)


def test_dead_units_are_those_that_give_zero_for_all_examples():
    network = network_that_wakes_at(1)
    low, high = (np.array([[0.0], [value]], "float32") for value in (0.5, 2.0))
    assert activity.is_mostly_dead(network, [low]) and not activity.is_mostly_dead(network, [high])
    assert not activity.is_mostly_dead(keras.Sequential([keras.Input((1,)), layers.Dense(2)]), [low])


def test_batches_of_a_fixed_size_are_compared_whole():
    source = keras.Input(batch_shape=(8, 6))
    network = keras.Model(source, source - ops.mean(source, axis=0, keepdims=True))
    x = np.random.default_rng(0).normal(size=(20, 6)).astype("float32")
    assert export.to_tflite(network).relative_error < 1e-5
    artifact = export.to_tflite(network, representative_data=x)
    assert artifact.relative_error < 1e-5 and artifact.verified_examples == 16


@pytest.mark.parametrize("layer", ["Add", "Subtract"])
def test_sums_whose_integers_have_no_scale_are_found_in_the_file(layer):
    source = keras.Input((6,))
    branches = [layers.Dense(4)(source), layers.Dense(4)(source)]
    network = keras.Model(source, layers.Dense(3)(getattr(layers, layer)()(branches)))
    x = np.random.default_rng(0).normal(size=(20, 6)).astype("float32")
    content = export.to_tflite(network, "int8", representative_data=x).content
    assert unscalable_output(parse(content)) is None
    model = parse(content)
    graph = model.subgraphs[0]
    (of_sum,) = (
        graph.tensors[operator.outputs[0]]
        for operator in graph.operators
        if operation_of(model, operator) in ("ADD", "SUB")
    )
    of_sum.quantization.scale = [float(of_sum.quantization.scale[0]) * 2.0**-25]  # looked at, and not run
    assert unscalable_output(model) == of_sum.name.decode()


def test_advice_names_only_encodings_that_the_client_computes():
    made, other = (
        keras.Sequential([keras.Input((64,)), keras.layers.Dense(40), keras.layers.Dense(5)]) for _ in range(2)
    )
    content = export.to_tflite(made, "dynamic_range").content
    given = inputs.verification_inputs(other)
    for client, names in (("any", "'float16'"), ("cpu", "'weight_only_int8' or 'float16'")):
        with pytest.raises(
            export.ConversionError, match=rf"Train the network before it is converted, or take {names}$"
        ):
            run_verification(content, other, "dynamic_range", given, client=CLIENTS[client])
