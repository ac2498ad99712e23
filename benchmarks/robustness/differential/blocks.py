"""A random layer for a tensor of each rank: all classes of Keras that have weights or state, and own ones."""

import hypothesis.strategies as st
import keras
from keras import layers

from benchmarks.robustness.differential import own_layers

activations = st.sampled_from(["linear", "relu", "tanh", "sigmoid", "linear", "gelu", "softmax"])
seeds = st.integers(0, 100)


def of_vectors(draw, width):
    units = draw(st.integers(2, 4))
    return draw(
        st.sampled_from(
            [
                lambda: layers.Dense(units, draw(activations), use_bias=draw(st.booleans())),
                lambda: layers.Dense(units),
                lambda: layers.EinsumDense("ab,bc->ac", (units,), activation=draw(activations), bias_axes="c"),
                lambda: layers.BatchNormalization(scale=draw(st.booleans())),
                lambda: layers.LayerNormalization(),
                lambda: layers.RMSNormalization(),
                lambda: layers.PReLU("uniform"),
                lambda: layers.Dropout(0.3, seed=draw(seeds)),
                lambda: layers.GaussianNoise(0.1, seed=draw(seeds)),
                lambda: layers.Normalization(mean=0.2, variance=2.0),
                lambda: layers.ActivityRegularization(l2=0.1, dtype="float32"),
                lambda: layers.Activation(draw(activations)),
                lambda: own_layers.Block(units),
                lambda: own_layers.BuiltByItsCall(units),
                lambda: own_layers.Penalized(dtype="float32"),
                lambda: own_layers.Flagged(),
                lambda: own_layers.Softened(),
                lambda: own_layers.Normalized(),
                lambda: own_layers.Skip(units) if units == width else own_layers.Normalized(),
            ]
        )
    )()


def of_sequences(draw, width):
    units, seed = draw(st.integers(2, 3)), draw(seeds)
    recurrent = draw(st.sampled_from([layers.LSTM, layers.GRU, layers.SimpleRNN]))
    cells = {"LSTM": layers.LSTMCell, "GRU": layers.GRUCell, "SimpleRNN": layers.SimpleRNNCell}
    cell = cells[recurrent.__name__]
    dropout = {"dropout": draw(st.sampled_from([0.0, 0.0, 0.3])), "seed": seed}
    return draw(
        st.sampled_from(
            [
                lambda: recurrent(units, return_sequences=True, go_backwards=draw(st.booleans()), **dropout),
                lambda: layers.Bidirectional(recurrent(units, return_sequences=True)),
                lambda: layers.RNN(cell(units, **dropout), return_sequences=True),
                lambda: layers.RNN(layers.StackedRNNCells([cell(units), layers.GRUCell(2)]), return_sequences=True),
                lambda: layers.TimeDistributed(layers.Dense(units, draw(activations))),
                lambda: layers.Dense(units, draw(activations)),
                lambda: layers.EinsumDense("abc,cd->abd", (None, units), bias_axes="d"),
                lambda: layers.LayerNormalization(),
                lambda: layers.GroupNormalization(1),
                lambda: layers.PReLU("uniform", shared_axes=[1]),
                lambda: layers.MultiHeadAttention(2, 2, dropout=draw(st.sampled_from([0.0, 0.2])), seed=seed),
                lambda: layers.GroupQueryAttention(2, 4, 2),
                lambda: layers.Attention(use_scale=True, score_mode="concat"),
                lambda: layers.AdditiveAttention(),
                lambda: layers.Conv1D(units, 2, padding=draw(st.sampled_from(["same", "causal"]))),
                lambda: layers.Conv1DTranspose(units, 2),
                lambda: layers.DepthwiseConv1D(2, padding="same"),
                lambda: layers.SeparableConv1D(units, 2, padding="same", activation=draw(activations)),
                lambda: layers.SpatialDropout1D(0.3, seed=seed, dtype=_not_mixed()),
                lambda: own_layers.Block(units),
                lambda: own_layers.Flagged(),
            ]
        )
    )()


def of_images(draw, width):
    filters = draw(st.integers(2, 3))
    options = {"padding": "same", "use_bias": draw(st.booleans()), "activation": draw(activations)}
    return draw(
        st.sampled_from(
            [
                lambda: layers.Conv2D(filters, 2, **options),
                lambda: layers.Conv2D(2, 1, dilation_rate=2, **options),
                lambda: layers.Conv2DTranspose(filters, 2, **options),
                lambda: layers.DepthwiseConv2D(2, depth_multiplier=draw(st.integers(1, 2)), **options),
                lambda: layers.SeparableConv2D(filters, 2, **options),
                lambda: layers.ConvLSTM1D(filters, 2, padding="same", return_sequences=True),
                lambda: layers.BatchNormalization(),
                lambda: layers.GroupNormalization(-1),
                lambda: layers.PReLU("uniform", shared_axes=[1, 2]),
                lambda: layers.MaxPooling2D(2, padding="same"),
                lambda: layers.SpatialDropout2D(0.3, seed=draw(seeds), dtype=_not_mixed()),
                lambda: layers.RandomFlip(seed=draw(seeds)),
                lambda: layers.TimeDistributed(layers.Conv1D(filters, 2, padding="same")),
                lambda: layers.Dense(filters),
            ]
        )
    )()


def of_volumes(draw, width):
    filters = draw(st.integers(2, 3))
    return draw(
        st.sampled_from(
            [
                lambda: layers.Conv3D(filters, 2, activation=draw(activations)),
                lambda: layers.Conv3DTranspose(filters, 2),
                lambda: layers.ConvLSTM2D(filters, 2, padding="same", return_sequences=True),
                lambda: layers.BatchNormalization(),
                lambda: layers.TimeDistributed(layers.Conv2D(filters, 1)),
            ]
        )
    )()


def _not_mixed():
    """The dtype of variables: configs of these layers tell no more of a dtype policy."""
    return keras.config.dtype_policy().variable_dtype


# Each takes the function that draws, and the size of the last axis.
OF_RANK = {2: of_vectors, 3: of_sequences, 4: of_images, 5: of_volumes}
