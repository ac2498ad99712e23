"""Heads of attention: those that are dead go, whatever made them so, and outputs stay."""

import keras
import numpy as np
import pytest
from keras import layers

from cvhn_tf import export

HEADS = 4


def attention(**options):
    """A model of one attention layer with random weights, between two normalizations."""
    queries, values = keras.Input((5, 6)), keras.Input((7, 8))
    call = {key: options.pop(key) for key in ("use_causal_mask",) if key in options}
    layer = layers.MultiHeadAttention(HEADS, 3, value_dim=2, name="attention", **options)
    y = layer(layers.LayerNormalization()(queries), values, **call)
    model = keras.Model([queries, values], layers.Dense(2)(layers.LayerNormalization()(y)))
    rng = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return model, layer


def set_to_zero(variable, head, axis):
    value = variable.numpy()
    np.moveaxis(value, axis, 0)[head] = 0
    variable.assign(value)


def compact_and_compare(model):
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=(3, *tensor.shape[1:])).astype("float32") for tensor in model.inputs]
    compacted = export.compact(model)
    np.testing.assert_allclose(compacted(inputs), model(inputs), atol=1e-5)
    return compacted


@pytest.mark.parametrize(
    "options", [{}, {"use_bias": False}, {"use_gate": True}, {"dropout": 0.5}, {"use_causal_mask": True}], ids=str
)
def test_head_that_the_output_does_not_read_goes(options, tmp_path):
    model, layer = attention(**options)
    set_to_zero(layer.output_dense.kernel, [0, 2], axis=0)
    compacted = compact_and_compare(model)
    left = compacted.get_layer("attention")
    assert left.num_heads == 2
    assert left.query_dense.kernel.shape == (6, 2, 3) and left.output_dense.kernel.shape == (2, 2, 6)
    np.testing.assert_array_equal(left.key_dense.kernel, layer.key_dense.kernel.numpy()[:, [1, 3]])
    compacted.save(tmp_path / "compact.keras")
    assert keras.saving.load_model(tmp_path / "compact.keras").get_layer("attention").num_heads == 2


@pytest.mark.parametrize("shape", [3, (3, HEADS), (2, 3, HEADS)], ids=str)
def test_heads_go_whatever_the_shape_of_an_output_is(shape):
    model, layer = attention(output_shape=shape)
    set_to_zero(layer.value_dense.kernel, 1, axis=1)
    set_to_zero(layer.output_dense.kernel, 2, axis=0)
    assert compact_and_compare(model).get_layer("attention").num_heads == HEADS - 2


def test_constant_of_a_head_without_values_goes_into_the_bias_of_the_output():
    model, layer = attention()
    set_to_zero(layer.value_dense.kernel, 1, axis=1)
    left = compact_and_compare(model).get_layer("attention")
    assert left.num_heads == HEADS - 1
    constant = np.einsum("v,vo->o", layer.value_dense.bias.numpy()[1], layer.output_dense.kernel.numpy()[1])
    np.testing.assert_allclose(left.output_dense.bias, layer.output_dense.bias.numpy() + constant, rtol=1e-5)


def test_what_a_gate_makes_of_a_constant_is_none():
    model, layer = attention(use_gate=True)
    set_to_zero(layer.value_dense.kernel, 1, axis=1)
    assert export.compact(model) is model
    set_to_zero(layer.value_dense.bias, 1, axis=0)
    assert compact_and_compare(model).get_layer("attention").num_heads == HEADS - 1


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_outputs_stay_where_a_mask_leaves_nothing_to_attend_to(dropout):
    queries, mask = keras.Input((5, 6)), keras.Input((5, 5), dtype="bool")
    layer = layers.MultiHeadAttention(HEADS, 3, dropout=dropout, name="attention")
    model = keras.Model([queries, mask], layer(queries, queries, attention_mask=mask))
    rng = np.random.default_rng(0)
    layer.value_dense.bias.assign(rng.normal(size=(HEADS, 3)))
    set_to_zero(layer.value_dense.kernel, 1, axis=1)
    set_to_zero(layer.value_dense.kernel, 2, axis=1)
    set_to_zero(layer.value_dense.bias, 2, axis=0)
    compacted = export.compact(model)
    assert compacted.get_layer("attention").num_heads == (HEADS - 1 if dropout else HEADS - 2)
    given = [
        rng.normal(size=(2, 5, 6)).astype("float32"),
        rng.random((2, 5, 5)) < np.array([0, 0, 0.5, 0.5, 1])[:, None],
    ]
    np.testing.assert_allclose(compacted(given), model(given), atol=1e-5)


def test_one_head_stays():
    model, layer = attention()
    layer.output_dense.kernel.assign(np.zeros((HEADS, 2, 6)))
    compacted = compact_and_compare(model)
    assert compacted.get_layer("attention").num_heads == 1
    assert export.compact(compacted) is compacted


def test_heads_stay_where_a_mask_or_scores_tell_them_apart_or_weights_of_low_rank_are_beside():
    queries, mask = keras.Input((5, 6)), keras.Input((HEADS, 5, 5))
    layer = layers.MultiHeadAttention(HEADS, 3)
    masked = keras.Model([queries, mask], layer(queries, queries, attention_mask=mask))
    other = layers.MultiHeadAttention(HEADS, 3)
    scores = keras.Model(queries, other(queries, queries, return_attention_scores=True))
    model, low_rank = attention()
    low_rank.query_dense.enable_lora(2)
    for kept, attending in ((masked, layer), (scores, other), (model, low_rank)):
        set_to_zero(attending.output_dense.kernel, 1, axis=0)
        assert export.compact(kept) is kept


def test_mask_that_is_the_same_for_all_heads_keeps_none():
    queries, mask = keras.Input((5, 6)), keras.Input((5, 5))
    layer = layers.MultiHeadAttention(HEADS, 3, name="attention")
    model = keras.Model([queries, mask], layer(queries, queries, attention_mask=mask))
    set_to_zero(layer.output_dense.kernel, 1, axis=0)
    assert compact_and_compare(model).get_layer("attention").num_heads == HEADS - 1
