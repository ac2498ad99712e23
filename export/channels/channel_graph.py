"""A functional model as a graph of stages, in which channels can be told apart, valued, and cut out."""

import dataclasses

import keras
import numpy as np

from cvhn_tf.export.channels.attention_stages import ATTENTION, Attention
from cvhn_tf.export.channels.channel_ids import ChannelIds
from cvhn_tf.export.channels.channel_stages import (
    Elementwise,
    Flattening,
    Joining,
    Merging,
    Normalization,
    Padding,
    Passing,
    Stage,
    operation_class,
    width,
)
from cvhn_tf.export.channels.kernel_stages import KERNELS, Kernel

AUGMENTATIONS = (
    keras.layers.RandomBrightness,
    keras.layers.RandomContrast,
    keras.layers.RandomFlip,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomZoom,
)
_STAGES = {
    **ATTENTION,
    **KERNELS,
    **dict.fromkeys(AUGMENTATIONS, Passing),
    **dict.fromkeys(
        (
            keras.layers.AlphaDropout,
            keras.layers.AveragePooling1D,
            keras.layers.AveragePooling2D,
            keras.layers.AveragePooling3D,
            keras.layers.Cropping1D,
            keras.layers.Cropping2D,
            keras.layers.Dropout,
            keras.layers.GaussianDropout,
            keras.layers.GaussianNoise,
            keras.layers.GlobalAveragePooling1D,
            keras.layers.GlobalAveragePooling2D,
            keras.layers.GlobalAveragePooling3D,
            keras.layers.GlobalMaxPooling1D,
            keras.layers.GlobalMaxPooling2D,
            keras.layers.GlobalMaxPooling3D,
            keras.layers.Identity,
            keras.layers.MaxPooling1D,
            keras.layers.MaxPooling2D,
            keras.layers.MaxPooling3D,
            keras.layers.SpatialDropout1D,
            keras.layers.SpatialDropout2D,
            keras.layers.UpSampling1D,
            keras.layers.UpSampling2D,
        ),
        Passing,
    ),
    keras.layers.ZeroPadding1D: Padding,
    keras.layers.ZeroPadding2D: Padding,
    keras.layers.Activation: Elementwise,
    keras.layers.ELU: Elementwise,
    keras.layers.LeakyReLU: Elementwise,
    keras.layers.ReLU: Elementwise,
    keras.layers.Rescaling: Elementwise,
    keras.layers.BatchNormalization: Normalization,
    keras.layers.Flatten: Flattening,
    keras.layers.Reshape: Flattening,
    keras.layers.Add: Merging,
    keras.layers.Average: Merging,
    keras.layers.Maximum: Merging,
    keras.layers.Minimum: Merging,
    keras.layers.Multiply: Merging,
    keras.layers.Subtract: Merging,
    keras.layers.Concatenate: Joining,
}
_ACTIVATIONS = (
    *(keras.ops.elu, keras.ops.gelu, keras.ops.hard_sigmoid, keras.ops.hard_silu, keras.ops.leaky_relu, keras.ops.relu),
    *(keras.ops.relu6, keras.ops.selu, keras.ops.sigmoid, keras.ops.silu, keras.ops.softplus, keras.ops.tanh),
)
_ELEMENTWISE_OPERATIONS = {operation_class(function, 1) for function in _ACTIVATIONS}
_ARITHMETIC = {
    operation_class(function, 2)
    for function in (keras.ops.add, keras.ops.maximum, keras.ops.minimum, keras.ops.multiply, keras.ops.subtract)
}


@dataclasses.dataclass(frozen=True)
class Node:
    """One use of a layer.

    Args:
        stage: What it does with channels.
        inputs: Numbers of the tensors that it reads.
        outputs: Numbers of those that it makes.
    """

    stage: Stage
    inputs: list[int]
    outputs: list[int]


class ChannelGraph:
    """Layers and tensors of a functional model.

    Args:
        model: Functional Keras model. It is not changed.

    Attributes:
        nodes: List of `Node`, each behind those that it reads from.
        ids: List with an array for each tensor: the ids of its channels.
        pinned: Boolean array over all ids: whether their channels have to stay.
        sources: List of the numbers of the model's inputs.
        results: List of the numbers of its outputs.
    """

    def __init__(self, model):
        by_depth = [model._nodes_by_depth[depth] for depth in sorted(model._nodes_by_depth, reverse=True)]
        nodes = [node for nodes in by_depth for node in nodes if not node.is_input]
        uses = [id(node.operation) for node in nodes]
        channels, numbers = ChannelIds(), {}
        self.nodes, self.ids = [], []
        for tensor in model.inputs:
            numbers[id(tensor)] = len(self.ids)
            self.ids.append(channels.new(width(tensor.shape), pinned=True))
        self.sources = list(range(len(self.ids)))
        for node in nodes:
            kind = _kind_of(node) if uses.count(id(node.operation)) == 1 else Stage
            stage = kind(node)
            inputs = [numbers[id(tensor)] for tensor in node.input_tensors]
            outputs = []
            for tensor in node.outputs:
                numbers[id(tensor)] = len(self.ids)
                outputs.append(len(self.ids))
                given = [self.ids[i] for i in inputs]
                made = stage.link(given, channels) if tensor is node.outputs[0] else None
                self.ids.append(channels.new(width(tensor.shape), pinned=True) if made is None else made)
            self.nodes.append(Node(stage, inputs, outputs))
        self.results = [numbers[id(tensor)] for tensor in model.outputs]
        for number in self.results:
            channels.pin(self.ids[number])
        roots = channels.resolve()
        self.ids = [roots[ids] for ids in self.ids]
        self.pinned = channels.pinned

    @property
    def readers(self):
        """The nodes that can do without some of the channels they are given."""
        return [node for node in self.nodes if isinstance(node.stage, Kernel)]

    @property
    def makers(self):
        """Triples of a node, the place of one of its weights, and the ids of what each number of that helps to make.

        The ids are an array of the weight's shape: those of channels, or of heads of attention.
        """
        return [
            (node, i, np.broadcast_to(ids, node.stage.weights[i].shape))
            for node in self.nodes
            for i, ids in node.stage.makers([self.ids[j] for j in node.inputs], self.ids[node.outputs[0]]).items()
        ]

    def next_to(self, node):
        """The only node that reads what a node makes, or None if there is none, or the model gives it out."""
        behind = [other for other in self.nodes if node.outputs[0] in other.inputs]
        return behind[0] if len(behind) == 1 and node.outputs[0] not in self.results else None

    def constants(self, not_zero=None):
        """For each tensor an array over its channels: the value of those that have just one, NaN for others.

        Args:
            not_zero: Boolean array over all ids: channels whose constants are taken for 1 wherever they are 0.
        """
        constants = [np.full(len(ids), np.nan) for ids in self.ids]
        for node in self.nodes:
            if len(node.outputs) == 1:
                values = node.stage.constants([constants[i] for i in node.inputs])
                if not_zero is not None:
                    values = np.where((values == 0) & not_zero[self.ids[node.outputs[0]]], 1.0, values)
                constants[node.outputs[0]] = values
        return constants

    def add_to_output(self, node, change, with_new_bias=True):
        """Adds `change`, an array over the channels, to what the kernel of a node makes, before its activation.

        A layer without a bias gets one, unless there is a batch normalization right behind it to take this, or
        `with_new_bias` is False; then nothing is added.

        Returns:
            The stage whose weights took it, or None.
        """
        other = self.next_to(node)
        is_linear = node.stage.operation.activation is keras.activations.linear
        if (
            other is not None
            and isinstance(other.stage, Normalization)
            and is_linear
            and not node.stage.config["use_bias"]
        ):
            other.stage.shift(change)
            return other.stage
        if not node.stage.config["use_bias"] and not with_new_bias:
            return None
        node.stage.add_to_bias(change)
        return node.stage

    def cut(self, dead):
        """Takes the channels out whose ids are marked in a boolean array."""
        kept = [~dead[ids] for ids in self.ids]
        for node in self.nodes:
            if type(node.stage) is not Stage:
                node.stage.cut([kept[i] for i in node.inputs], kept[node.outputs[0]])
        self.ids = [ids[mask] for ids, mask in zip(self.ids, kept, strict=True)]


def _kind_of(node):
    """The class of stage that knows what the layer does with channels in this use, or `Stage` itself."""
    layer, kwargs = node.operation, dict(node.arguments.kwargs)
    if type(layer) in AUGMENTATIONS:
        kwargs.pop("training", None)  # Keras notes down the default, True, which a call of the model overrules
    if type(layer) in ATTENTION:
        kwargs.pop("use_causal_mask", None)  # the same for all heads
    arguments = keras.tree.flatten((node.arguments.args, kwargs))
    others = [argument for argument in arguments if not isinstance(argument, keras.KerasTensor)]
    if type(layer) in _ARITHMETIC and all(isinstance(argument, int | float) for argument in others):
        kind, others = (Merging if len(node.input_tensors) == 2 else Elementwise), []
    elif type(layer) in _ELEMENTWISE_OPERATIONS:
        kind = Elementwise
    else:
        kind = _STAGES.get(type(layer), Stage)
    # Another argument may be a mask, or ask for batch statistics.
    is_plain = all(argument is None or argument is False for argument in others)
    is_single = len(node.outputs) == 1 and (len(node.input_tensors) == 1 or kind in (Attention, Merging, Joining))
    is_last = getattr(layer, "data_format", "channels_last") in ("channels_last", None)
    input_shapes = [tensor.shape for tensor in node.input_tensors]
    knows = is_plain and is_single and is_last and kind.accepts(layer, input_shapes, node.outputs[0].shape)
    return kind if knows else Stage
