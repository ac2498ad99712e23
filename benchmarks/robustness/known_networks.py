"""Networks that people have, with random weights: families of keras.applications, small backbones of keras-hub."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

_CLASSES = 10
_VOCABULARY = 200
_LENGTH = 16


@dataclasses.dataclass
class KnownNetwork:
    """A network by name.

    Args:
        make: Makes it, a classifier of ten classes or what a backbone gives, pooled and classified.
        draw: From the network, a generator and a number of examples to inputs, as `fit` takes them.
    """

    make: Callable[[], keras.Model]
    draw: Callable[[keras.Model, np.random.Generator, int], object]


def known_networks() -> dict[str, KnownNetwork]:
    """By name; those of keras-hub only where it is installed."""
    return {**_applications(), **_backbones()}


def _applications():
    sizes = {
        "MobileNet": 64,
        "MobileNetV2": 64,
        "MobileNetV3Small": 64,
        "MobileNetV3Large": 64,
        "EfficientNetB0": 64,
        "EfficientNetV2B0": 64,
        "NASNetMobile": 64,
        "DenseNet121": 64,
        "ResNet50": 64,
        "ResNet50V2": 64,
        "InceptionV3": 80,
        "InceptionResNetV2": 80,
        "Xception": 80,
        "ConvNeXtTiny": 64,
        "VGG16": 64,
    }
    return {name: _application(name, size) for name, size in sizes.items()}


def _application(name, size):
    shape = (size, size, 3)

    def make():
        return getattr(keras.applications, name)(weights=None, input_shape=shape, classes=_CLASSES)

    # These scale their images themselves.
    scaled = name.startswith(("MobileNetV3", "EfficientNet", "ConvNeXt"))
    return KnownNetwork(
        make, lambda network, rng, count: rng.random((count, *shape), "float32") * (255 if scaled else 1)
    )


def _backbones():
    try:
        from keras_hub import models
    except ImportError:
        return {}
    words = {"vocabulary_size": _VOCABULARY}
    plain = {"num_layers": 2, "hidden_dim": 32, "intermediate_dim": 64}
    headed = {**plain, "num_heads": 2}
    small = {**headed, "max_sequence_length": _LENGTH}
    rotary = {**words, **plain, "num_query_heads": 2, "num_key_value_heads": 1}
    image = (32, 32, 3)
    vision = {"image_shape": image, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 32}
    texts = {
        "BertBackbone": {**words, **small},
        "DistilBertBackbone": {**words, **small},
        "RobertaBackbone": {**words, **small},
        "AlbertBackbone": {**words, **small, "embedding_dim": 16},
        "DebertaV3Backbone": {**words, **small},
        "ElectraBackbone": {"vocab_size": _VOCABULARY, **small, "embedding_dim": 16},
        "FNetBackbone": {**words, **plain, "max_sequence_length": _LENGTH},
        "GPT2Backbone": {**words, **small},
        "OPTBackbone": {**words, **small},
        "GPTNeoXBackbone": {**words, **small},
        "BloomBackbone": {**words, **headed},
        "LlamaBackbone": rotary,
        "MistralBackbone": rotary,
        "Qwen2Backbone": rotary,
        "GemmaBackbone": {**rotary, "head_dim": 16},
        "Gemma3Backbone": {**rotary, "head_dim": 16, "image_size": 16},
        "T5Backbone": {**words, **headed},
        "BartBackbone": {**words, **small},
    }
    images = {
        "ViTBackbone": {**vision, "mlp_dim": 64},
        "DeiTBackbone": {**vision, "intermediate_dim": 64},
        "ResNetBackbone": {
            "input_conv_filters": [64],
            "input_conv_kernel_sizes": [3],
            "stackwise_num_filters": [64, 64],
            "stackwise_num_blocks": [1, 1],
            "stackwise_num_strides": [1, 2],
            "block_type": "basic_block",
            "image_shape": image,
        },
        "VGGBackbone": {"stackwise_num_repeats": [1, 1], "stackwise_num_filters": [8, 16], "image_shape": image},
        "MiTBackbone": {
            "layerwise_num_heads": [1, 2],
            "layerwise_sr_ratios": [2, 1],
            "layerwise_patch_sizes": [7, 3],
            "layerwise_strides": [4, 2],
            "num_layers": 2,
            "hidden_dims": [16, 32],
            "layerwise_depths": [1, 1],
            "max_drop_path_rate": 0.1,
            "image_shape": image,
        },
    }
    whisper = {
        **words,
        **headed,
        "num_mels": 16,
        "max_encoder_sequence_length": 2 * _LENGTH,
        "max_decoder_sequence_length": _LENGTH,
    }
    known = {**texts, **images, "WhisperBackbone": whisper}
    return {name: _backbone(models, name, arguments) for name, arguments in known.items()}


def _backbone(models, name, arguments):
    def make():
        backbone = getattr(models, name)(**arguments)
        # As one who exports it: called on inputs of a fixed length, the backbone within a model.
        if isinstance(backbone.input, dict):
            inputs = {
                key: keras.Input(_sizes(key, tensor.shape[1:]), dtype=tensor.dtype, name=key)
                for key, tensor in backbone.input.items()
            }
        else:
            inputs = keras.Input(backbone.input_shape[1:], name="images")
        features = keras.tree.flatten(backbone(inputs))[-1]  # of several, as of encoder and decoder, the last
        if len(features.shape) > 2:
            pool = (keras.layers.GlobalAveragePooling1D, keras.layers.GlobalAveragePooling2D)[len(features.shape) - 3]
            features = pool(name="pooled_features")(features)
        probabilities = keras.layers.Dense(_CLASSES, "softmax", name="classes")(features)
        return keras.Model(inputs, probabilities, name=name)

    def draw(network, rng, count):
        if not isinstance(network.input, dict):
            return rng.random((count, *network.input_shape[1:]), "float32")
        return {key: _drawn(key, tensor.shape[1:], rng, count) for key, tensor in network.input.items()}

    return KnownNetwork(make, draw)


def _sizes(name, shape):
    length = 2 * _LENGTH if name == "encoder_features" else _LENGTH
    return tuple(size or length for size in shape)


def _drawn(name, shape, rng, count):
    shape = (count, *shape)
    if "padding_mask" in name:  # the last quarter is padding
        return np.broadcast_to(np.arange(shape[1]) < 3 * shape[1] // 4, shape).astype("int32")
    if "ids" in name:
        return rng.integers(1, 2 if "segment" in name else _VOCABULARY, shape).astype("int32")
    return rng.random(shape, "float32")
