"""Units that the network ties are ranked as one, dropped as one, and taken out by `compact`."""

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
from keras import layers

import cvhn_tf
from benchmarks.robustness.random_networks import BLOCKS, KNOWN_BLOCKS, network, prune_at_random
from cvhn_tf import export
from cvhn_tf.export.channels.kernel_stages import Kernel
from cvhn_tf.export.pruning.units import graphs_of


def hypernetwork(target, seed=0):
    """Of a target with random weights, biases and numbers of batch normalization, and with SNRs that differ."""
    rng = np.random.default_rng(seed)
    model = cvhn_tf.VariationalHypernetwork(prune_at_random(target, rng, dead=0.0), pretrained=True, seed=0)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(size=variable.shape) * 0.05)
    return model


def compact_and_compare(pruned):
    inputs = np.random.default_rng(0).normal(size=(4, *pruned.inputs[0].shape[1:])).astype("float32")
    compacted = export.compact(pruned)
    for ours, theirs in zip(keras.tree.flatten(compacted(inputs)), keras.tree.flatten(pruned(inputs)), strict=True):
        scale = max(np.abs(theirs).max(), 1e-3)
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=1e-5)
    return compacted


def widths(model):
    """Shape of the kernel of each layer that has a name of its own here: those begin with a capital letter."""
    named = [layer for layer in model._flatten_layers() if layer.name[0].isupper()]
    return {layer.name: (1, *layer.kernel.shape)[-2:] for layer in named}


def residual():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", name="Stem")(inputs)
    for name in "AB":
        y = layers.Conv2D(6, 3, padding="same", use_bias=False, name=f"In{name}")(layers.ReLU()(x))
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.Conv2D(8, 3, padding="same", use_bias=False, name=f"Out{name}")(y)
        x = layers.Add()([x, layers.BatchNormalization()(y)])
    return keras.Model(inputs, layers.Dense(5, name="Classes")(layers.GlobalAveragePooling2D()(x)))


def depthwise():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 1, activation="sigmoid", name="Expand")(inputs)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="relu6", name="Filter")(x)
    x = layers.Conv2D(4, 1, activation="relu", name="Project")(layers.BatchNormalization()(x))
    x = layers.SeparableConv2D(10, 3, padding="same")(layers.ZeroPadding2D(1)(x))
    return keras.Model(inputs, layers.Conv2D(2, 3, padding="same", name="Map")(layers.Activation("silu")(x)))


def squeeze_and_excite():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="silu", name="Maps")(inputs)
    y = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    y = layers.Conv2D(4, 1, activation="relu", name="Squeeze")(y)
    y = layers.Conv2D(8, 1, activation="sigmoid", name="Excite")(y)
    x = layers.Dropout(0.2, noise_shape=(None, 1, 1, 1))(layers.Multiply()([x, y]))
    return keras.Model(inputs, layers.Dense(3, name="Classes")(layers.Flatten()(x)))


def concatenation():
    inputs = keras.Input((6, 6, 2))
    both = layers.Conv2D(4, 3, name="Left")(inputs), layers.Conv2D(6, 3, activation="tanh", name="Right")(inputs)
    x = layers.DepthwiseConv2D(3, name="Filter")(layers.Concatenate()(both))
    return keras.Model(inputs, layers.Dense(3, name="Classes")(layers.Flatten()(x)))


CASES = {
    residual: {"Stem": (3, 4), "InA": (4, 3), "OutA": (3, 4), "InB": (4, 3), "OutB": (3, 4), "Classes": (4, 5)},
    depthwise: {"Expand": (3, 3), "Filter": (3, 2), "Project": (6, 2), "Map": (5, 2)},
    squeeze_and_excite: {"Maps": (3, 4), "Squeeze": (4, 2), "Excite": (2, 4), "Classes": (4 * 64, 3)},
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_half_of_the_units_of_tied_layers_go_from_all_of_them(make):
    pruned = export.prune(hypernetwork(make()), 1.0, 0.5, scope="layer", structure="unit")
    assert widths(compact_and_compare(pruned)) == CASES[make]


@pytest.mark.parametrize("make", [*CASES, concatenation], ids=lambda make: make.__name__)
def test_one_unit_of_each_layer_stays_in_any_case(make):
    pruned = export.prune(hypernetwork(make()), 1.0, snr_threshold=1e9, structure="unit")
    left = widths(compact_and_compare(pruned))
    expected = {name: 1 for name in left} | {"Classes": left.get("Classes", (0, 1))[1], "Map": 2, "Filter": 1}
    if make is depthwise:
        expected["Filter"] = 2
    if make is concatenation:
        expected["Filter"] = left["Left"][1] + left["Right"][1]
        assert left["Filter"][0] == expected["Filter"]
    for name, (_, outputs) in left.items():
        if name != "Filter":
            assert outputs == expected[name], name


def test_concatenated_channels_are_tied_to_what_reads_them_one_by_one():
    model = hypernetwork(concatenation())
    pruned = export.prune(model, 1.0, 0.5, scope="layer", structure="unit")
    kernels = {layer.name: layer.kernel.numpy() for layer in pruned.layers if layer.name[0].isupper()}
    alive = np.concatenate([kernels[name].any(axis=(0, 1, 2)) for name in ("Left", "Right")])
    np.testing.assert_array_equal(kernels["Filter"].any(axis=(0, 1, 3)), alive)
    assert alive.sum() == 5
    left = widths(compact_and_compare(pruned))
    assert left["Left"][1] + left["Right"][1] == left["Filter"][0] == 5


def test_tied_units_go_in_the_order_of_the_root_mean_square_snr_over_all_layers():
    model = hypernetwork(residual())
    posterior = model.posterior(1.0)
    squares = {
        path.split("/")[-2]: np.square(np.abs(given.loc) / given.scale)
        for path, given in posterior.items()
        if path.endswith("kernel")
    }
    tied = [squares[name].reshape(-1, 8) for name in ("Stem", "OutA", "OutB")]
    snr = np.sqrt(np.concatenate(tied).mean(axis=0))
    pruned = export.prune(model, 1.0, 0.5, scope="layer", structure="unit")
    expected = snr >= np.sort(snr)[4]
    for name in ("Stem", "OutA", "OutB"):
        np.testing.assert_array_equal(pruned.get_layer(name).kernel.numpy().any(axis=(0, 1, 2)), expected)
    threshold = np.sort(snr)[3:5].mean()
    by_threshold = export.prune(model, 1.0, snr_threshold=threshold, structure="unit")
    np.testing.assert_array_equal(by_threshold.get_layer("OutB").kernel.numpy().any(axis=(0, 1, 2)), expected)


@pytest.mark.parametrize("make", [*CASES, concatenation], ids=lambda make: make.__name__)
def test_without_sparsity_nothing_changes(make):
    model = hypernetwork(make())
    pruned = export.prune(model, 1.0, 0.0, structure="unit")
    for ours, theirs in zip(pruned.get_weights(), model.at(1.0).get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("normalized", [True, False])
def test_constant_that_zero_padding_stops_goes_into_the_bias_behind_and_is_right_but_for_the_border(normalized):
    behind = [layers.BatchNormalization()] if normalized else []
    first = layers.Conv2D(4, 1, activation="relu", name="First")
    second = layers.Conv2D(3, 3, padding="same", use_bias=not normalized, name="Second")
    target = keras.Sequential([keras.Input((7, 7, 2)), first, second, *behind, layers.Flatten(), layers.Dense(2)])
    model = hypernetwork(target)
    pruned = export.prune(model, 1.0, 0.5, scope="layer", structure="unit")
    dropped = ~pruned.get_layer("First").kernel.numpy().any(axis=(0, 1, 2))
    constant = dropped & (pruned.get_layer("First").bias.numpy() > 0)
    assert dropped.sum() == 2 and constant.any()  # and one may be zero everywhere
    assert widths(compact_and_compare(pruned))["Second"][0] == 2

    usual = model.at(1.0)
    for name in ("First", "Second"):
        is_kept = pruned.get_layer(name).kernel.numpy().any(axis=(0, 1, 2))
        usual.get_layer(name).kernel.assign(usual.get_layer(name).kernel * is_kept)
    x = np.random.default_rng(0).normal(size=(3, 7, 7, 2)).astype("float32")
    ours, theirs = (keras.Model(m.inputs, m.layers[1 + normalized].output)(x).numpy() for m in (pruned, usual))
    np.testing.assert_allclose(ours[:, 1:-1, 1:-1], theirs[:, 1:-1, 1:-1], atol=1e-5)


def test_units_are_taken_out_after_other_statistics_and_fine_tuning_too():
    """A constant that was zero behind the activation may not be zero any more."""
    model = hypernetwork(residual())
    rng = np.random.default_rng(0)
    pruned = export.prune(model, 1.0, 0.5, scope="layer", structure="unit")
    data = rng.normal(size=(32, 8, 8, 3)).astype("float32"), rng.integers(0, 5, 32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    recalibrated = export.recalibrate(pruned, data[0])
    assert widths(compact_and_compare(recalibrated)) == CASES[residual]
    finetuned = export.finetune(pruned, data, epochs=2, loss=loss, learning_rate=0.1)
    assert widths(compact_and_compare(finetuned)) == CASES[residual]


def block(heads=4, **options):
    inputs = keras.Input((5, 8))
    y = layers.LayerNormalization()(inputs)
    y = layers.MultiHeadAttention(heads, 2, name="attention", **options)(y, y, use_causal_mask=True)
    x = layers.Add()([inputs, y])
    y = layers.Dense(16, "gelu", name="Wide")(layers.LayerNormalization()(x))
    x = layers.Add()([x, layers.Dense(8, name="Narrow")(y)])
    return keras.Model(inputs, layers.Dense(3, name="Classes")(layers.Flatten()(layers.LayerNormalization()(x))))


@pytest.mark.parametrize("options", [{}, {"use_gate": True}, {"use_bias": False}], ids=str)
def test_half_of_the_heads_and_of_the_width_between_go_whole(options):
    model = hypernetwork(block(**options))
    pruned = export.prune(model, 1.0, 0.5, scope="layer", structure="unit")
    attention = pruned.get_layer("attention")
    squares = {
        path.split("/")[-2]: np.square(np.abs(given.loc) / given.scale)
        for path, given in model.posterior(1.0).items()
        if path.endswith("kernel") and "attention" in path
    }
    output = squares.pop("attention_output")
    sums = output.sum(axis=(1, 2)) + sum(given.sum(axis=(0, 2)) for given in squares.values())
    is_kept = sums >= np.sort(sums)[2]
    for kernel in [weight.numpy() for weight in attention.weights if weight.path.endswith("kernel")]:
        by_head = kernel if kernel.shape[-1] == 8 else np.swapaxes(kernel, 0, 1)
        np.testing.assert_array_equal(by_head.any(axis=(1, 2)), is_kept)
        np.testing.assert_array_equal(by_head.all(axis=(1, 2)), is_kept)
    compacted = compact_and_compare(pruned)
    assert compacted.get_layer("attention").num_heads == 2
    left = widths(compacted)
    assert left["Wide"] == (8, 8) and left["Narrow"] == (8, 8)


def test_one_head_stays_in_any_case():
    pruned = export.prune(hypernetwork(block()), 1.0, snr_threshold=1e9, structure="unit")
    compacted = compact_and_compare(pruned)
    assert compacted.get_layer("attention").num_heads == 1
    assert widths(compacted)["Wide"] == (8, 1)


def test_units_in_nested_models_are_tied_within():
    inside = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", name="First")(inside)
    y = layers.Conv2D(6, 3, padding="same", name="Second")(layers.ReLU()(x))
    nested = keras.Model(inside, layers.Conv2D(4, 1, name="Last")(layers.Add()([x, y])))
    inputs = keras.Input((8, 8, 3))
    target = keras.Model(inputs, layers.Dense(2, name="Classes")(layers.Flatten()(nested(inputs))))
    pruned = export.prune(hypernetwork(target), 1.0, 0.5, scope="layer", structure="unit")
    left = widths(compact_and_compare(pruned))
    assert left["First"] == (3, 3) and left["Second"] == (3, 3) and left["Last"] == (3, 4)


def test_units_tied_to_frozen_ones_are_ranked_alone_and_frozen_weights_stay():
    inputs = keras.Input((6, 6, 2))
    frozen = layers.Conv2D(4, 3, padding="same", name="Frozen", trainable=False)
    x, y = frozen(inputs), layers.Conv2D(4, 3, padding="same", name="Learned")(inputs)
    x = layers.Conv2D(4, 3, padding="same", name="Reader", trainable=False)(layers.Add()([x, y]))
    target = keras.Model(inputs, layers.Dense(2, name="Classes")(layers.Flatten()(x)))
    pruned = export.prune(hypernetwork(target), 1.0, 0.5, scope="layer", structure="unit")
    for name in ("Frozen", "Reader"):
        np.testing.assert_array_equal(pruned.get_layer(name).kernel, target.get_layer(name).kernel)
    assert pruned.get_layer("Learned").kernel.numpy().any(axis=(0, 1, 2)).sum() == 2
    assert widths(compact_and_compare(pruned))["Learned"] == (2, 4)
    both = export.prune(hypernetwork(target), 1.0, 0.5, scope="layer", structure="unit", include_frozen=True)
    assert both.get_layer("Frozen").kernel.numpy().any(axis=(0, 1, 2)).sum() == 2


@pytest.mark.parametrize("examples", [12, pytest.param(50, marks=pytest.mark.long)])
def test_every_unit_that_was_dropped_from_a_generated_network_is_gone(examples):
    settings = hypothesis.settings(deadline=None, derandomize=True, database=None, max_examples=examples)
    settings(hypothesis.given(st.data())(assert_what_was_dropped_is_gone))()


def assert_what_was_dropped_is_gone(data):
    seed = data.draw(st.integers(0, 2**32 - 1))
    target = network(data.draw, data.draw(st.sampled_from([BLOCKS, KNOWN_BLOCKS])))
    sparsity, scope = data.draw(st.sampled_from([0.3, 0.6, 0.9])), data.draw(st.sampled_from(["global", "layer"]))
    pruned = export.prune(hypernetwork(target, seed), 1.0, sparsity, scope=scope, structure="unit")
    compacted = compact_and_compare(pruned)
    left = {layer.name: layer for layer in compacted._flatten_layers()}
    for graph in graphs_of(pruned):
        for node in graph.nodes:
            layer = node.stage.operation
            if isinstance(node.stage, Kernel):
                is_kept = node.stage.kernel.any(axis=(0, 1)) | graph.pinned[graph.ids[node.outputs[0]]]
                assert left[layer.name].output.shape[-1] <= max(1, is_kept.sum())
            if isinstance(layer, layers.MultiHeadAttention):
                heads = layer.output_dense.kernel.numpy().any(axis=(1, 2))
                assert left[layer.name].num_heads <= max(1, heads.sum())
