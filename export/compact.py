"""Removing dead units, so that zeros become smaller dense layers: the file shrinks and the network runs faster."""

import keras
import numpy as np

# Between two layers with kernels these leave channels apart, and keep a constant channel constant.
_CHANNELWISE = (
    keras.layers.Activation,
    keras.layers.AveragePooling2D,
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.LeakyReLU,
    keras.layers.MaxPooling2D,
    keras.layers.ReLU,
)
_MIXING_ACTIVATIONS = ("softmax", "log_softmax", "glu", "sparsemax")
# Selecting features costs an operation and an index each: worth it only if many weights go.
_LEAST_UNUSED_SHARE = 0.25


@keras.saving.register_keras_serializable(package="cvhn_tf")
class SelectFeatures(keras.layers.Layer):
    """Passes on some of the features of a (batch, features) input.

    Args:
        indices: List of the features to keep, ascending.
    """

    def __init__(self, indices, **kwargs):
        super().__init__(**kwargs)
        self.indices = [int(index) for index in indices]

    def call(self, inputs):
        return keras.ops.take(inputs, self.indices, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], len(self.indices))

    def get_config(self):
        return {**super().get_config(), "indices": self.indices}


def compact(keras_model):
    """A smaller model with the same outputs, without the units that are dead.

    A unit (of a Dense layer) or filter (of a Conv2D layer) is dead if all its outgoing weights are zero, or if
    all its incoming weights are: then its output is a constant, which goes into the bias behind it. Removing it
    may kill others, so this repeats until none dies. Input features that no unit reads are selected away.

    Works on chains of Dense, Conv2D, 2D pooling, Flatten, BatchNormalization, Dropout and elementwise activations.
    Around other layers units are kept; models with branches or several inputs come back as they are.

    Args:
        keras_model: Built functional or Sequential Keras model. It is not changed.

    Returns:
        Functional Keras model, or `keras_model` itself if nothing can be removed.
    """
    if not _is_chain(keras_model):
        return keras_model
    stages = [_Stage(layer) for layer in keras_model.layers if not isinstance(layer, keras.layers.InputLayer)]
    changed = False
    while any([_remove_dead_units(*pair) for pair in _pairs(stages)]):
        changed = True
    changed = _select_features(stages, keras_model.inputs[0].shape) or changed
    return _rebuild(keras_model, stages) if changed else keras_model


class _Stage:
    """A layer's config and weights, apart from Keras, so that they can be cut."""

    def __init__(self, layer):
        self.layer = layer
        self.config = layer.get_config()
        self.weights = [keras.ops.convert_to_numpy(weight) for weight in layer.weights]

    @property
    def has_kernel(self):
        if isinstance(self.layer, keras.layers.Dense):
            return True
        is_plain = type(self.layer) is keras.layers.Conv2D
        return is_plain and self.layer.groups == 1 and self.layer.data_format == "channels_last"

    @property
    def kernel(self):
        return self.weights[0]

    @property
    def units(self):
        return self.kernel.shape[-1]

    @property
    def bias(self):
        return self.weights[1] if len(self.weights) > 1 else np.zeros(self.units, self.kernel.dtype)

    def kernel_by_input(self, channels):
        """The kernel as (positions, channels, units): positions are those of a window or of a flattened image."""
        return self.kernel.reshape(-1, channels, self.units)

    def is_elementwise(self):
        activation = getattr(self.layer, "activation", None)
        return getattr(activation, "__name__", "linear") not in _MIXING_ACTIVATIONS

    def pass_constants(self, values):
        """What the layer makes of channels that have one value everywhere."""
        if isinstance(self.layer, keras.layers.BatchNormalization):
            config, weights = self.config, list(self.weights)
            gamma = weights.pop(0) if config["scale"] else 1.0
            beta = weights.pop(0) if config["center"] else 0.0
            mean, variance = weights
            return gamma * (values - mean) / np.sqrt(variance + config["epsilon"]) + beta
        if isinstance(
            self.layer, keras.layers.Activation | keras.layers.ReLU | keras.layers.LeakyReLU | keras.layers.ELU
        ):
            return keras.ops.convert_to_numpy(self.layer(values[None]))[0]
        return values


def _is_chain(model):
    if not isinstance(model, keras.Sequential | keras.Function) or len(model.inputs) != 1 or len(model.outputs) != 1:
        return False
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs)
    if len(model.operations) != len(model.layers):
        return False
    reads = [tensor for operation in model.operations for node in _nodes(model, operation) for tensor in node]
    return len(reads) == len({id(tensor) for tensor in reads}) == len(model.layers) - 1


def _nodes(model, operation):
    """Inputs of each use of an operation within the model."""
    used = {id(node) for nodes in model._nodes_by_depth.values() for node in nodes}
    return [node.input_tensors for node in operation._inbound_nodes if id(node) in used and not node.is_input]


def _pairs(stages):
    """Every layer with a kernel, the channelwise layers behind it, and the next layer with a kernel."""
    for i, producer in enumerate(stages):
        if not (producer.has_kernel and producer.is_elementwise()):
            continue
        between = []
        for stage in stages[i + 1 :]:
            if stage.has_kernel:
                yield producer, between, stage
                break
            if not (isinstance(stage.layer, _CHANNELWISE) and stage.is_elementwise()):
                break
            if getattr(stage.layer, "data_format", "channels_last") != "channels_last":
                break
            between.append(stage)


def _remove_dead_units(producer, between, consumer):
    outgoing = consumer.kernel_by_input(producer.units)
    unread = ~outgoing.any(axis=(0, 2))
    constant = ~producer.kernel.any(axis=tuple(range(producer.kernel.ndim - 1)))
    values = producer.bias
    if getattr(producer.layer, "activation", None) is not None:
        values = keras.ops.convert_to_numpy(producer.layer.activation(keras.ops.convert_to_tensor(values)))
    for stage in between:
        values = stage.pass_constants(values)
    if consumer.config.get("padding") == "same":
        constant &= values == 0  # at the border a padded convolution sees less of the constant
    dead = unread | constant
    if dead.all():  # a layer keeps one unit, which need read nothing if nothing reads it
        dead[0] = False
        if unread[0]:
            producer.weights[0] = np.where(np.arange(producer.units) == 0, 0, producer.kernel)
    if not dead.any():
        return False
    folded = np.where(dead & ~unread, values, 0).astype(outgoing.dtype)
    if folded.any():
        bias = consumer.bias + np.einsum("c,pcu->u", folded, outgoing)
        consumer.weights = [consumer.kernel, bias]
        consumer.config["use_bias"] = True
    consumer.weights[0] = _drop_inputs(consumer.kernel, outgoing, dead)
    producer.weights = [weight[..., ~dead] for weight in producer.weights]
    producer.config["units" if "units" in producer.config else "filters"] = int((~dead).sum())
    for stage in between:
        stage.weights = [weight[~dead] for weight in stage.weights]
    return True


def _drop_inputs(kernel, by_input, dead):
    kept = by_input[:, ~dead]
    return (
        kept.reshape(*kernel.shape[:-2], -1, kernel.shape[-1])
        if kernel.ndim > 2
        else kept.reshape(-1, kernel.shape[-1])
    )


def _select_features(stages, input_shape):
    before = 0
    while before < len(stages) and isinstance(stages[before].layer, keras.layers.Flatten | keras.layers.Dropout):
        before += 1
    is_flat = len(input_shape) == 2 or any(isinstance(s.layer, keras.layers.Flatten) for s in stages[:before])
    if before == len(stages) or not is_flat or not isinstance(stages[before].layer, keras.layers.Dense):
        return False
    first = stages[before]
    used = first.kernel.any(axis=1)
    used[0] |= not used.any()
    if np.mean(~used) < _LEAST_UNUSED_SHARE:
        return False
    first.weights[0] = first.kernel[used]
    stages.insert(before, _Stage(SelectFeatures(np.flatnonzero(used), name=f"{first.layer.name}_inputs")))
    return True


def _rebuild(model, stages):
    (old,) = model.inputs
    inputs = x = keras.Input(batch_shape=old.shape, dtype=old.dtype, name=old.name)
    layers = []
    for stage in stages:
        layers.append(type(stage.layer).from_config(stage.config))
        x = layers[-1](x)
    for layer, stage in zip(layers, stages, strict=True):
        if stage.weights:
            layer.set_weights(stage.weights)
    return keras.Model(inputs, x, name=model.name)
