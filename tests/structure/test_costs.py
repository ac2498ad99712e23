import keras
import pytest
from keras import layers

import cvhn_tf
from cvhn_tf.structure.costs import Costs
from cvhn_tf.structure.multiply_adds import count_multiply_adds
from cvhn_tf.structure.usage import Usage

# By hand: output positions times weights of each output channel, which for transposed convolutions are input positions.
COUNTS = [
    (layers.Dense(5), (7,), 7 * 5),
    (layers.Dense(5), (3, 7), 3 * 7 * 5),
    (layers.Conv2D(4, 3, padding="same"), (8, 8, 3), 64 * 9 * 3 * 4),
    (layers.Conv2D(4, 3, strides=2), (9, 9, 3), 16 * 9 * 3 * 4),
    (layers.Conv2D(4, 3, groups=2, padding="same"), (8, 8, 6), 64 * 9 * 3 * 4),
    (layers.Conv1D(4, 3), (9, 2), 7 * 3 * 2 * 4),
    (layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2), (8, 8, 3), 64 * 9 * 6),
    (layers.SeparableConv2D(4, 3, padding="same"), (8, 8, 3), 64 * (9 * 3 + 3 * 4)),
    (layers.Conv2DTranspose(4, 3, strides=2, padding="same"), (8, 8, 3), 64 * 9 * 3 * 4),
    (layers.EinsumDense("abc,cd->abd", (5, 6)), (5, 4), 5 * 4 * 6),
    (layers.EinsumDense("abc,cde->abde", (5, 2, 3)), (5, 4), 5 * 4 * 6),
    (layers.LSTM(4), (6, 3), 6 * (3 * 16 + 4 * 16)),
    (layers.GRU(4, return_sequences=True), (6, 3), 6 * (3 * 12 + 4 * 12)),
    (layers.Bidirectional(layers.LSTM(4)), (6, 3), 2 * 6 * (3 * 16 + 4 * 16)),
    (layers.TimeDistributed(layers.Conv2D(4, 3)), (5, 8, 8, 3), 5 * 36 * 9 * 3 * 4),
    (layers.BatchNormalization(), (8, 8, 3), 0),
    (layers.MaxPooling2D(), (8, 8, 3), 0),
    (layers.Embedding(9, 4), (6,), 0),
]


@pytest.mark.parametrize("layer,shape,expected", COUNTS, ids=lambda value: type(value).__name__)
def test_multiply_adds(layer, shape, expected):
    inputs = keras.Input(shape)
    assert count_multiply_adds(layer, [inputs], [layer(inputs)]) == expected


def test_multiply_adds_of_attention():
    queries, values, same = keras.Input((6, 10)), keras.Input((4, 8)), keras.Input((4, 10))
    heads = layers.MultiHeadAttention(2, key_dim=3, value_dim=5, output_shape=7)
    outputs = heads(queries, values)
    projections = 6 * 10 * 2 * 3 + 4 * 8 * 2 * 3 + 4 * 8 * 2 * 5 + 6 * 2 * 5 * 7
    assert count_multiply_adds(heads, [queries, values], [outputs]) == projections + 2 * 6 * 4 * (3 + 5)
    grouped = layers.GroupQueryAttention(3, 4, 2)
    outputs = grouped(queries, same)
    projections = 6 * 10 * 4 * 3 + 2 * 4 * 10 * 2 * 3 + 6 * 4 * 3 * 10
    assert count_multiply_adds(grouped, [queries, same], [outputs]) == projections + 4 * 6 * 4 * (3 + 3)
    images = keras.Input((6, 5, 4))
    along_rows = layers.MultiHeadAttention(2, key_dim=3, attention_axes=2)
    outputs = along_rows(images, images)
    assert count_multiply_adds(along_rows, [images, images], [outputs]) == 30 * 4 * 4 * 2 * 3 + 2 * 30 * 5 * (3 + 3)
    plain = layers.Attention()
    assert count_multiply_adds(plain, [queries, same], [plain([queries, same])]) == 6 * 4 * (10 + 10)


def target():
    inputs = keras.Input((8,))
    shared = layers.Dense(8, name="shared")
    x = cvhn_tf.Choice(name="choice")([shared(shared(inputs)), layers.Dense(8, name="other")(inputs), inputs])
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


def test_costs_of_calls_and_of_layers():
    usage = Usage(target())
    chosen = usage.probabilities([[1.0, 0.0, 0.0]])
    half = usage.probabilities([[0.5, 0.25, 0.25]])
    multiply_adds = Costs(usage, "multiply_adds")
    assert multiply_adds.total == 3 * 64 + 16
    assert multiply_adds.expected(*chosen) == 2 * 64 + 16  # called twice
    assert multiply_adds.expected(*half) == 0.5 * 128 + 0.25 * 64 + 16
    parameters = Costs(usage, "parameters")
    assert parameters.total == 2 * 72 + 18
    assert parameters.expected(*chosen) == 72 + 18
    table = Costs(usage, {"shared": 1.5, "other": 4.0, "head": 0.25})
    assert table.expected(*chosen) == 3.25 and table.total == 7.25


@pytest.mark.parametrize(
    "layer", [layers.TimeDistributed(layers.Dense(3)), layers.Bidirectional(layers.LSTM(3)), layers.Attention()]
)
def test_what_depends_on_a_free_length_is_refused(layer):
    sequence = keras.Input((None, 4))
    given = [sequence, sequence] if isinstance(layer, layers.Attention) else sequence
    with pytest.raises(ValueError, match="of free size"):
        count_multiply_adds(layer, keras.tree.flatten(given), [layer(given)])


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match=r"Expected `structure_cost` to have each layer .* a table without 'other'"):
        Costs(Usage(target()), {"shared": 1.0, "head": 1.0})
    for layer, shape in ((layers.ConvLSTM1D(3, 2), (5, 4, 2)), (layers.Conv1D(3, 1), (None, 2))):
        inputs = keras.Input(shape)
        with pytest.raises(ValueError, match=rf"multiply-adds of layer '{layer.name}' .* cannot be counted"):
            count_multiply_adds(layer, [inputs], [layer(inputs)])
