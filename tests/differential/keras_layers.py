"""Each public layer class of Keras once: what goes in, and the layer, or what calls it."""

import tempfile

import keras
import tensorflow as tf
from keras import layers

LEFT_OUT = {
    "FlaxLayer": "needs JAX and Flax, which are no dependencies",
    "JaxLayer": "needs JAX, which is no dependency",
    "Layer": "base class, which computes nothing",
    "TorchModuleWrapper": "needs PyTorch, and Keras on PyTorch",
    "Wrapper": "base class of layers around another one, which computes nothing",
}

_OF_IMAGES = {"value_range": (0.0, 1.0)}
_SEED = {"seed": 7}  # by which the target's own noise can be compared
_RANDOM = {**_OF_IMAGES, **_SEED}


@keras.saving.register_keras_serializable(package="keras_layers")
def _twice(x):
    return 2 * x


def _on_two(layer):
    """What calls a layer on a tensor and another one."""
    return lambda x: layer([x, 1.0 - x])


def _of_keys(layer):
    """What calls a layer of attention on queries and values."""
    return lambda x: layer(x, 1.0 - x)


def _crossed(layer):
    return lambda x: layer((x[:, :1], x[:, 1:2]))


def _saved_model(x):
    """Calls a layer of a model in TensorFlow's format."""
    with tempfile.TemporaryDirectory() as folder:
        signature = tf.function(lambda x: {"y": x}, [tf.TensorSpec([None, 6])])
        tf.saved_model.save(tf.Module(), folder, signatures=signature)
        return layers.TFSMLayer(folder, call_endpoint="serving_default")(x)["y"]


_ON_VECTORS = {
    "Activation": lambda: layers.Activation("tanh"),
    "ActivityRegularization": lambda: layers.ActivityRegularization(l2=0.1),
    "Add": lambda: _on_two(layers.Add()),
    "AlphaDropout": lambda: layers.AlphaDropout(0.5, **_SEED),
    "Average": lambda: _on_two(layers.Average()),
    "BatchNormalization": lambda: layers.BatchNormalization(),
    "CategoryEncoding": lambda: layers.CategoryEncoding(3, "multi_hot"),
    "Concatenate": lambda: _on_two(layers.Concatenate()),
    "Dense": lambda: layers.Dense(4),
    "Discretization": lambda: layers.Discretization([0.25, 0.5], output_mode="multi_hot"),
    "Dot": lambda: _on_two(layers.Dot(1)),
    "Dropout": lambda: layers.Dropout(0.5, **_SEED),
    "ELU": lambda: layers.ELU(),
    "EinsumDense": lambda: layers.EinsumDense("ab,bc->ac", (4,), bias_axes="c"),
    "GaussianDropout": lambda: layers.GaussianDropout(0.5, **_SEED),
    "GaussianNoise": lambda: layers.GaussianNoise(0.5, **_SEED),
    "Identity": lambda: layers.Identity(),
    "InputLayer": lambda: layers.Identity(),  # every model begins with one
    "Lambda": lambda: layers.Lambda(_twice),
    "LayerNormalization": lambda: layers.LayerNormalization(),
    "LeakyReLU": lambda: layers.LeakyReLU(),
    "Maximum": lambda: _on_two(layers.Maximum()),
    "Minimum": lambda: _on_two(layers.Minimum()),
    "Multiply": lambda: _on_two(layers.Multiply()),
    "Normalization": lambda: layers.Normalization(mean=0.5, variance=2.0),
    "PReLU": lambda: lambda x: layers.PReLU("uniform")(x - 0.5),
    "Pipeline": lambda: layers.Pipeline([layers.Rescaling(0.5)]),
    "RMSNormalization": lambda: layers.RMSNormalization(),
    "ReLU": lambda: layers.ReLU(),
    "RepeatVector": lambda: layers.RepeatVector(3),
    "Rescaling": lambda: layers.Rescaling(0.5, 0.1),
    "Reshape": lambda: layers.Reshape((3, 2)),
    "Softmax": lambda: layers.Softmax(),
    "Subtract": lambda: _on_two(layers.Subtract()),
    "UnitNormalization": lambda: layers.UnitNormalization(),
}
_ALSO_ON_VECTORS = {
    "SpectralNormalization": lambda: layers.SpectralNormalization(layers.Dense(4)),
    "TFSMLayer": lambda: _saved_model,
}
_ON_SEQUENCES = {
    "AdaptiveAveragePooling1D": lambda: layers.AdaptiveAveragePooling1D(2),
    "AdaptiveMaxPooling1D": lambda: layers.AdaptiveMaxPooling1D(2),
    "AdditiveAttention": lambda: _on_two(layers.AdditiveAttention()),
    "Attention": lambda: _on_two(layers.Attention(use_scale=True, score_mode="concat")),
    "AveragePooling1D": lambda: layers.AveragePooling1D(2),
    "Bidirectional": lambda: layers.Bidirectional(layers.LSTM(3)),
    "Conv1D": lambda: layers.Conv1D(3, 2),
    "Conv1DTranspose": lambda: layers.Conv1DTranspose(3, 2),
    "Cropping1D": lambda: layers.Cropping1D(1),
    "DepthwiseConv1D": lambda: layers.DepthwiseConv1D(2),
    "GRU": lambda: layers.GRU(3),
    "GRUCell": lambda: layers.RNN(layers.GRUCell(3)),
    "GlobalAveragePooling1D": lambda: layers.GlobalAveragePooling1D(),
    "GlobalMaxPooling1D": lambda: layers.GlobalMaxPooling1D(),
    "GroupQueryAttention": lambda: _of_keys(layers.GroupQueryAttention(2, 4, 2)),
    "LSTM": lambda: layers.LSTM(3),
    "LSTMCell": lambda: layers.RNN(layers.LSTMCell(3)),
    "Masking": lambda: layers.Masking(),
    "MaxPooling1D": lambda: layers.MaxPooling1D(),
    "MultiHeadAttention": lambda: _of_keys(layers.MultiHeadAttention(2, 2)),
    "Permute": lambda: layers.Permute((2, 1)),
    "RNN": lambda: layers.RNN(layers.SimpleRNNCell(3)),
    "SeparableConv1D": lambda: layers.SeparableConv1D(3, 2),
    "SimpleRNN": lambda: layers.SimpleRNN(3),
    "SimpleRNNCell": lambda: layers.RNN(layers.SimpleRNNCell(3)),
    "SpatialDropout1D": lambda: layers.SpatialDropout1D(0.5, **_SEED),
    "StackedRNNCells": lambda: layers.RNN(layers.StackedRNNCells([layers.GRUCell(3), layers.LSTMCell(2)])),
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Dense(3)),
    "UpSampling1D": lambda: layers.UpSampling1D(),
    "ZeroPadding1D": lambda: layers.ZeroPadding1D(),
}
_ON_IMAGES = {
    "AdaptiveAveragePooling2D": lambda: layers.AdaptiveAveragePooling2D(2),
    "AdaptiveMaxPooling2D": lambda: layers.AdaptiveMaxPooling2D(2),
    "AugMix": lambda: layers.AugMix(**_RANDOM),
    "AutoContrast": lambda: layers.AutoContrast(**_OF_IMAGES),
    "AveragePooling2D": lambda: layers.AveragePooling2D(2),
    "CenterCrop": lambda: layers.CenterCrop(4, 4),
    "ContrastLimitedAdaptiveHistogramEqualization": (
        lambda: layers.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(2, 2), **_OF_IMAGES)
    ),
    "Conv2D": lambda: layers.Conv2D(3, 2),
    "Conv2DTranspose": lambda: layers.Conv2DTranspose(3, 2),
    "Cropping2D": lambda: layers.Cropping2D(1),
    "CutMix": lambda: layers.CutMix(**_SEED),
    "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(2),
    "Equalization": lambda: layers.Pipeline([layers.Equalization(**_OF_IMAGES)]),  # Keras loses it from a graph
    "Flatten": lambda: layers.Flatten(),
    "GlobalAveragePooling2D": lambda: layers.GlobalAveragePooling2D(),
    "GlobalMaxPooling2D": lambda: layers.GlobalMaxPooling2D(),
    "GroupNormalization": lambda: layers.GroupNormalization(3),
    "MaxNumBoundingBoxes": lambda: layers.MaxNumBoundingBoxes(3),
    "MaxPooling2D": lambda: layers.MaxPooling2D(),
    "MixUp": lambda: layers.MixUp(**_SEED),
    "RandAugment": lambda: layers.RandAugment(**_RANDOM),
    "RandomBrightness": lambda: layers.RandomBrightness(0.2, **_RANDOM),
    "RandomColorDegeneration": lambda: layers.RandomColorDegeneration(0.2, **_RANDOM),
    "RandomColorJitter": lambda: layers.RandomColorJitter(**_RANDOM, brightness_factor=0.2),
    "RandomContrast": lambda: layers.RandomContrast(0.2, **_RANDOM),
    "RandomCrop": lambda: layers.RandomCrop(4, 4, **_SEED),
    "RandomElasticTransform": lambda: layers.RandomElasticTransform(0.2, **_RANDOM),
    "RandomErasing": lambda: layers.RandomErasing(**_RANDOM),
    "RandomFlip": lambda: layers.RandomFlip(**_SEED),
    "RandomGaussianBlur": lambda: layers.RandomGaussianBlur(1.0, **_RANDOM),
    "RandomGrayscale": lambda: layers.RandomGrayscale(0.5, **_SEED),
    "RandomHue": lambda: layers.RandomHue(0.2, **_RANDOM),
    "RandomInvert": lambda: layers.RandomInvert(0.5, **_RANDOM),
    "RandomPerspective": lambda: layers.RandomPerspective(1.0, **_SEED),
    "RandomPosterization": lambda: layers.RandomPosterization(4, **_RANDOM),
    "RandomRotation": lambda: layers.RandomRotation(0.1, **_SEED),
    "RandomSaturation": lambda: layers.RandomSaturation(0.2, **_RANDOM),
    "RandomSharpness": lambda: layers.RandomSharpness(0.2, **_RANDOM),
    "RandomTranslation": lambda: layers.RandomTranslation(0.2, 0.2, **_SEED),
    "RandomZoom": lambda: layers.RandomZoom(0.2, **_SEED),
    "Resizing": lambda: layers.Resizing(4, 4),
    "SeparableConv2D": lambda: layers.SeparableConv2D(3, 2),
    "Solarization": lambda: layers.Solarization(0.1, **_RANDOM),
    "SpatialDropout2D": lambda: layers.SpatialDropout2D(0.5, **_SEED),
    "UpSampling2D": lambda: layers.UpSampling2D(),
    "ZeroPadding2D": lambda: layers.ZeroPadding2D(),
}
_ALSO_ON_IMAGES = {"RandomShear": lambda: layers.RandomShear(0.2, 0.2, **_SEED)}
_ON_VOLUMES = {
    "AdaptiveAveragePooling3D": lambda: layers.AdaptiveAveragePooling3D(2),
    "AdaptiveMaxPooling3D": lambda: layers.AdaptiveMaxPooling3D(2),
    "AveragePooling3D": lambda: layers.AveragePooling3D(2),
    "Conv3D": lambda: layers.Conv3D(3, 2),
    "Conv3DTranspose": lambda: layers.Conv3DTranspose(3, 2),
    "Cropping3D": lambda: layers.Cropping3D(1),
    "GlobalAveragePooling3D": lambda: layers.GlobalAveragePooling3D(),
    "GlobalMaxPooling3D": lambda: layers.GlobalMaxPooling3D(),
    "MaxPooling3D": lambda: layers.MaxPooling3D(),
    "SpatialDropout3D": lambda: layers.SpatialDropout3D(0.5, **_SEED),
    "UpSampling3D": lambda: layers.UpSampling3D(),
    "ZeroPadding3D": lambda: layers.ZeroPadding3D(),
}
_ON_INTEGERS = {
    "Embedding": lambda: layers.Embedding(7, 3),
    "HashedCrossing": lambda: _crossed(layers.HashedCrossing(5, output_mode="one_hot")),
    "Hashing": lambda: layers.Hashing(5, output_mode="multi_hot"),
    "IntegerLookup": lambda: layers.IntegerLookup(vocabulary=[1, 2, 3], output_mode="multi_hot"),
    "ReversibleEmbedding": lambda: layers.ReversibleEmbedding(7, 3),
}
_ON_WORDS = {
    "StringLookup": lambda: layers.StringLookup(vocabulary=["a", "b"], output_mode="multi_hot"),
    "TextVectorization": lambda: layers.TextVectorization(vocabulary=["a", "b"], output_mode="multi_hot"),
}
_MEL = {"sampling_rate": 64, "num_mel_bins": 4, "min_freq": 1.0}

# Shape and dtype of an example, and the classes that stand side by side in one target of such inputs.
GROUPS = [
    ((6,), "float32", _ON_VECTORS),
    ((6,), "float32", _ALSO_ON_VECTORS),
    ((6, 4), "float32", _ON_SEQUENCES),
    ((8, 8, 3), "float32", _ON_IMAGES),
    ((8, 8, 3), "float32", _ALSO_ON_IMAGES),
    ((4, 4, 4, 2), "float32", _ON_VOLUMES),
    ((3, 4, 2), "float32", {"ConvLSTM1D": lambda: layers.ConvLSTM1D(2, 2)}),
    ((3, 4, 4, 2), "float32", {"ConvLSTM2D": lambda: layers.ConvLSTM2D(2, 2)}),
    ((2, 3, 3, 3, 2), "float32", {"ConvLSTM3D": lambda: layers.ConvLSTM3D(2, 2)}),
    ((64,), "float32", {"MelSpectrogram": lambda: layers.MelSpectrogram(16, 8, 16, **_MEL)}),
    ((64, 1), "float32", {"STFTSpectrogram": lambda: layers.STFTSpectrogram("real", 16, 8, 16)}),
    ((5,), "int32", _ON_INTEGERS),
    ((1,), "string", _ON_WORDS),
]
