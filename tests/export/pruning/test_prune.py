import keras
import numpy as np
import pytest
from keras import layers

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.export.pruning.repeated_pruning import RepeatedPruning
from cvhn_tf.export.pruning.weight_groups import owners, unit_groups


@pytest.fixture
def model():
    target = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Flatten(), layers.Dense(5)]
    )
    # Of gates no weight is gone before it is pruned.
    model = cvhn_tf.VariationalHypernetwork(target, parameterization="gated")
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(size=variable.shape) * 0.3)
    return model


def kernels(network):
    return {weight.path: weight.numpy() for weight in network.trainable_weights if len(weight.shape) > 1}


def snr_of(model, complexity):
    return {path: np.abs(q.loc) / q.scale for path, q in model.posterior(complexity).items()}


@pytest.mark.parametrize("sparsity", [0.0, 0.123, 0.5, 0.98, 0.9999])
def test_sparsity_is_exact_and_takes_the_lowest_snr(model, sparsity):
    pruned = kernels(export.prune(model, 1.0, sparsity))
    values = np.concatenate([kernel.ravel() for kernel in pruned.values()])
    snr = np.concatenate([snr_of(model, 1.0)[path].numpy().ravel() for path in pruned])
    assert np.count_nonzero(values == 0) == round(sparsity * values.size)
    if 0 < np.count_nonzero(values) < values.size:
        assert snr[values == 0].max() <= snr[values != 0].min()


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.75])
def test_weights_that_are_gone_at_a_complexity_go_first_and_count(sparsity):
    target = keras.Sequential([keras.Input((8,)), layers.Dense(10), layers.Dense(2)])
    model = cvhn_tf.VariationalHypernetwork(target)
    first = next(
        variable for variable in model.trainable_variables if variable.path.endswith("kernel_mean_log_critical")
    )
    alive = np.arange(80).reshape(8, 10) % 2 == 0
    first.assign(np.where(alive, first, -1.0))  # λ_c = 1e-4
    pruned = kernels(export.prune(model, 1.0, sparsity))
    zeros = sum(np.count_nonzero(kernel == 0) for kernel in pruned.values())
    assert zeros == max(40, sparsity * 100)
    assert (next(iter(pruned.values()))[~alive] == 0).all()


def test_repeated_pruning_computes_the_posterior_of_a_complexity_once(model, monkeypatch):
    alone = [kernels(export.round_weights(model, complexity, 0.5)) for complexity in (1.0, 0.1)]
    asked = []
    posterior = model.posterior
    monkeypatch.setattr(model, "posterior", lambda complexity: asked.append(complexity) or posterior(complexity))
    repeated = RepeatedPruning(model)
    for i, complexity in enumerate((1.0, 0.1)):
        export.prune(repeated, complexity, 0.9)
        rounded = kernels(export.round_weights(repeated, complexity, 0.5))
        for mine, theirs in zip(rounded.values(), alone[i].values(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert asked == [1.0, 0.1]


def test_networks_are_used_again_once_they_are_taken_back_and_not_before(model):
    repeated = RepeatedPruning(model)
    points = [(1.0, 0.9), (1.0, 0.5), (0.1, 0.9)]
    first = export.prune(repeated, *points[0])
    assert export.prune(repeated, *points[1]) is not first
    made = set()
    for point in points:
        repeated.take_back()
        network = export.prune(repeated, *point)
        made.add(id(network))
        for mine, theirs in zip(network.weights, export.prune(model, *point).weights, strict=True):
            assert mine.path == theirs.path
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    assert len(made) < len(points)


def test_layer_scope_prunes_each_kernel_alike(model):
    for kernel in kernels(export.prune(model, 1.0, 0.75, scope="layer")).values():
        assert np.count_nonzero(kernel == 0) == round(0.75 * kernel.size)


def test_threshold_is_a_limit_on_the_snr(model):
    for path, kernel in kernels(export.prune(model, 1.0, snr_threshold=20.0)).items():
        np.testing.assert_array_equal(kernel != 0, snr_of(model, 1.0)[path] >= 20)


def test_kept_weights_and_all_others_are_those_of_the_plain_network(model):
    plain, pruned = model.at(1.0), export.prune(model, 1.0, 0.5)
    for ours, theirs in zip(pruned.weights, plain.weights, strict=True):
        kept = ours.numpy() != 0 if len(ours.shape) > 1 else slice(None)
        np.testing.assert_array_equal(ours.numpy()[kept], theirs.numpy()[kept])


def test_biases_are_pruned_only_when_asked(model):
    assert np.all(export.prune(model, 1.0, 0.99).layers[-1].bias.numpy() != 0)
    network = export.prune(model, 1.0, snr_threshold=1e9, include_biases=True)
    assert not np.any(network.layers[-1].bias.numpy())


def test_tied_snrs_do_not_change_the_number_of_zeros(target):
    model = cvhn_tf.VariationalHypernetwork(target)
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    zeros = sum(np.count_nonzero(kernel == 0) for kernel in kernels(export.prune(model, 1.0, 0.3)).values())
    assert zeros == round(0.3 * (8 * 16 + 16 * 3))


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"sparsity": 1.0}, "sparsity"),
        ({"sparsity": -0.1}, "sparsity"),
        ({"sparsity": float("nan")}, "sparsity"),
        ({"sparsity": "0.5"}, "sparsity"),
        ({"snr_threshold": -1.0}, "snr_threshold"),
        ({}, "sparsity"),
        ({"sparsity": 0.5, "snr_threshold": 1.0}, "sparsity"),
        ({"sparsity": 0.5, "scope": "filter"}, "scope"),
        ({"sparsity": 0.5, "complexity": 1e5}, "complexity"),
    ],
)
def test_bad_arguments_are_refused(model, arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        export.prune(model, **{"complexity": 1.0, **arguments})


def test_other_models_are_refused(target):
    with pytest.raises(ValueError, match="VariationalHypernetwork"):
        export.prune(target, 1.0, 0.5)


@pytest.fixture
def deep():
    """A hypernetwork whose target has units of several kinds; each weight has an SNR of its own."""
    inputs = keras.Input((8, 8, 1))
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, use_bias=False, name="conv")(inputs))
    x = layers.DepthwiseConv2D(3, name="depthwise")(layers.ReLU()(x))
    y = layers.Conv2D(6, 3, padding="same", name="branch")(x)
    x = layers.Conv2DTranspose(4, 3, name="transposed")(layers.Add()([x, y]))
    x = layers.Dense(10, "relu", name="dense")(layers.Flatten()(x))
    outputs = layers.Softmax()(layers.Dense(5, name="outputs")(x))
    model = cvhn_tf.VariationalHypernetwork(keras.Model(inputs, outputs), parameterization="gated")
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(size=variable.shape) * 0.3)
    return model


def units_of(name, kernel):
    """The kernel as (units, weights of one)."""
    axis = 2 if name in ("depthwise", "transposed") else kernel.ndim - 1
    return np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.8, 0.999])
def test_units_of_lowest_snr_go_whole_and_no_more_than_asked(deep, sparsity):
    network = export.prune(deep, 1.0, sparsity, structure="unit")
    snr = snr_of(deep, 1.0)
    zeros = total = 0
    dropped, kept = [], []
    for path, kernel in kernels(network).items():
        name = path.split("/")[-2]
        units = units_of(name, kernel)
        values = np.sqrt(np.mean(np.square(units_of(name, snr[path].numpy())), axis=1))
        zeros, total = zeros + np.count_nonzero(kernel == 0), total + kernel.size
        is_dropped = ~units.any(axis=1)
        np.testing.assert_array_equal(is_dropped, ~units.all(axis=1))
        assert not is_dropped.all()
        if name == "outputs":
            assert not is_dropped.any()
        else:
            dropped += [(value, units.shape[1]) for value in values[is_dropped]]
            kept += [(value, units.shape[1]) for value in np.delete(values, np.argmax(values))]
    kept = sorted(set(kept) - set(dropped))
    assert zeros <= sparsity * total + 1e-6
    if dropped and kept:
        assert max(dropped)[0] < kept[0][0]
    if kept:
        assert zeros + kept[0][1] > sparsity * total


def test_units_are_pruned_in_each_layer_alike(deep):
    for path, kernel in kernels(export.prune(deep, 1.0, 0.5, scope="layer", structure="unit")).items():
        expected = 0.0 if "outputs" in path else 0.5
        assert np.mean(kernel == 0) == expected


def test_units_below_a_threshold_go_but_for_the_best_of_each_layer(deep):
    snr = snr_of(deep, 1.0)
    network = export.prune(deep, 1.0, snr_threshold=1e9, structure="unit")
    for path, kernel in kernels(network).items():
        units = units_of(path.split("/")[-2], kernel)
        values = np.mean(np.square(units_of(path.split("/")[-2], snr[path].numpy())), axis=1)
        left = np.flatnonzero(units.any(axis=1))
        np.testing.assert_array_equal(left, range(5) if "outputs" in path else [np.argmax(values)])


def test_units_without_weights_keep_their_bias_and_compact_takes_them_out(deep):
    plain, network = deep.at(1.0), export.prune(deep, 1.0, 0.6, structure="unit")
    for ours, theirs in zip(network.weights, plain.weights, strict=True):
        if len(ours.shape) == 1:
            np.testing.assert_array_equal(ours, theirs)
    compacted = export.compact(network)
    assert compacted.count_params() < 0.7 * network.count_params()
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(compacted(x), network(x), atol=1e-5)


def test_units_without_noise_are_ranked_by_magnitude(target):
    model = cvhn_tf.VariationalHypernetwork(target, prior="l2", estimator="deterministic")
    network = export.prune(model, 1.0, 0.5, structure="unit")
    lengths = np.linalg.norm(model.at(1.0).layers[0].kernel, axis=0)
    dropped = ~network.layers[0].kernel.numpy().any(axis=0)
    assert dropped.sum() == (128 + 48) // 2 // 8
    assert lengths[dropped].max() < lengths[~dropped].min()


def test_layers_without_units_keep_their_weights():
    target = keras.Sequential([keras.Input((5, 3)), layers.LSTM(4), layers.Dense(6), layers.Dense(2)])
    network = export.prune(cvhn_tf.VariationalHypernetwork(target), 1.0, snr_threshold=1e9, structure="unit")
    assert np.all(network.layers[0].get_weights()[0] != 0)
    assert np.count_nonzero(network.layers[1].kernel.numpy().any(axis=0)) == 1


def test_output_layers_are_found_behind_branches_and_in_nested_models():
    inside = keras.Sequential([keras.Input((4,)), layers.Dense(5), layers.Dense(4)], name="inside")
    inputs = keras.Input((4,))
    x = layers.Dense(4)(inputs)
    model = cvhn_tf.VariationalHypernetwork(keras.Model(inputs, layers.Add()([x, inside(x)])))
    network = export.prune(model, 1.0, snr_threshold=1e9, structure="unit")
    units = [np.count_nonzero(kernel.any(axis=0)) for kernel in kernels(network).values()]
    assert sorted(units) == [1, 4, 4]


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9])
def test_blocks_of_four_inputs_live_or_die_in_dense_kernels_and_single_weights_elsewhere(sparsity):
    target = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(6)])
    model = cvhn_tf.VariationalHypernetwork(target)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(size=variable.shape) * 0.3)
    network = export.prune(model, 1.0, sparsity, structure="block")
    (convolution, conv_snr), (dense, dense_snr) = (
        (kernel, snr_of(model, 1.0)[path].numpy()) for path, kernel in kernels(network).items()
    )
    blocks = dense.reshape(8, 4, 6) != 0
    np.testing.assert_array_equal(blocks.any(axis=1), blocks.all(axis=1))
    values = np.sqrt(np.mean(np.square(dense_snr.reshape(8, 4, 6)), axis=1))
    dropped = np.concatenate([conv_snr[convolution == 0], values[~blocks.any(axis=1)]])
    kept = np.concatenate([conv_snr[convolution != 0], values[blocks.any(axis=1)]])
    assert max(dropped, default=0) <= min(kept)
    total = convolution.size + dense.size
    zeros = np.count_nonzero(convolution == 0) + np.count_nonzero(dense == 0)
    assert sparsity * total - 4 < zeros <= sparsity * total


def test_where_inputs_are_no_multiple_of_four_the_last_blocks_are_smaller():
    target = keras.Sequential([keras.Input((250,)), layers.Dense(63, "relu"), layers.Dense(8)])
    model = cvhn_tf.VariationalHypernetwork(target)
    files = {}
    for structure in ("block", "weight"):
        network = export.prune(model, 1.0, 0.8, structure=structure)
        files[structure] = export.to_tflite(network, sparse=True, client="cpu")
        if structure == "block":
            kernel = network.layers[0].kernel.numpy() != 0
            blocks = np.concatenate([kernel, kernel[[-1, -1]]]).reshape(63, 4, 63)
            np.testing.assert_array_equal(blocks.any(axis=1), blocks.all(axis=1))
    assert files["block"].relative_error < 1e-5
    assert files["block"].size_bytes < files["weight"].size_bytes


def test_blocks_make_a_sparse_file_smaller_than_single_weights_do():
    target = keras.Sequential([keras.Input((512,)), layers.Dense(64, "relu"), layers.Dense(10)])
    model = cvhn_tf.VariationalHypernetwork(target)
    files = [
        export.to_tflite(export.prune(model, 1.0, 0.8, structure=structure), sparse=True, client="cpu")
        for structure in ("block", "weight")
    ]
    assert files[0].size_bytes < 0.85 * files[1].size_bytes


def pointwise_target():
    """Kernels of 1×1 convolutions are called p…, where they lead to a map; others q…"""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, 2, padding="same", name="q_stem")(image)
    block = [
        keras.Input((4, 4, 4)),
        layers.Conv2D(6, 1, name="p_inner"),
        layers.DepthwiseConv2D(3, padding="same", name="q_filter"),
    ]
    x = keras.Sequential(block, name="block")(x)
    y = layers.Conv2D(3, 1, name="p_squeeze")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, layers.Conv2D(6, 1, name="p_excite")(y)])
    x = layers.Conv2D(8, 1, name="p_last")(x)
    head = [keras.Input((1, 1, 8)), layers.Conv2D(5, 1, name="q_head"), layers.Flatten()]
    x = keras.Sequential(head, name="head")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return keras.Model(image, layers.Dense(3, name="q_classes")(x))


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_pointwise_drops_single_weights_of_convolutions_that_lead_to_maps_and_keeps_all_others(scope):
    model = cvhn_tf.VariationalHypernetwork(pointwise_target())
    network = export.prune(model, 1.0, 0.7, structure="pointwise", scope=scope)
    snr, dropped, kept, sizes = snr_of(model, 1.0), [], [], []
    for path, kernel in kernels(network).items():
        if path.split("/")[-2].startswith("q_"):
            assert kernel.all(), path
            continue
        values = snr[path].numpy()
        if scope == "layer":
            assert np.count_nonzero(kernel == 0) == round(0.7 * kernel.size)
            assert values[kernel == 0].max() <= values[kernel != 0].min()
        dropped.append(values[kernel == 0])
        kept.append(values[kernel != 0])
        sizes.append(kernel.size)
    assert sorted(sizes) == [18, 18, 24, 48]
    if scope == "global":
        assert np.concatenate(dropped).max() <= np.concatenate(kept).min()
        assert np.concatenate(dropped).size == round(0.7 * sum(sizes))


def test_pointwise_by_threshold_and_without_such_convolutions(model):
    pointwise = cvhn_tf.VariationalHypernetwork(pointwise_target())
    found = kernels(export.prune(pointwise, 1.0, snr_threshold=1e9, structure="pointwise"))
    assert [path.split("/")[-2] for path, kernel in found.items() if not kernel.any()] == [
        "p_inner",
        "p_squeeze",
        "p_excite",
        "p_last",
    ]
    with pytest.raises(
        ValueError, match=r"1×1 convolutions for structure='pointwise'. Received: model '.*', which has none"
    ):
        export.prune(model, 1.0, 0.7, structure="pointwise")


@pytest.mark.parametrize(
    "arguments, name",
    [({"structure": "row"}, "structure"), ({"structure": "unit", "include_biases": True}, "include_biases")],
)
def test_bad_structures_are_refused(model, arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        export.prune(model, 1.0, 0.5, **arguments)


def test_layer_before_a_nested_head_has_units():
    head = keras.Sequential([keras.Input((6,)), layers.Dense(5, name="b"), layers.Dense(2, name="c")])
    network = keras.Sequential([keras.Input((4,)), layers.Dense(6, name="a"), head])
    kernels = [path for path in owners(network) if path.endswith("kernel")]
    assert [path.split("/")[-2] for path in unit_groups(network, kernels)] == ["a", "b"]
