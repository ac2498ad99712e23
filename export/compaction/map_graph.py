"""Which layers of a network XNNPACK could compute by channels, and the first that it could not, with the reason.

Such a network has one 3×3 convolution of stride 2 on an image of three channels. Behind it stand 1×1 convolutions,
depthwise ones and what works on each number by itself, up to the mean of each map; behind that anything may stand.
"""

import dataclasses

import keras
import numpy as np

from cvhn_tf.export.channels.channel_graph import AUGMENTATIONS
from cvhn_tf.export.channels.channel_stages import operation_class
from cvhn_tf.export.compaction.equal_padding import Window

IMAGE, MAP, MEAN = "image", "map", "mean"
# Of those that TFLite has as one operation, or as several that XNNPACK computes by channels.
_NAMES = "elu gelu hard_sigmoid hard_silu leaky_relu relu relu6 sigmoid silu tanh"
_ACTIVATIONS = {getattr(keras.activations, name) for name in ("linear", *_NAMES.split())}
_OPERATIONS = {operation_class(getattr(keras.ops, name), 1) for name in _NAMES.split()}
_ADD, _MULTIPLY = (operation_class(function, 2) for function in (keras.ops.add, keras.ops.multiply))
_MERGING = (keras.layers.Add, keras.layers.Multiply, _ADD, _MULTIPLY)
# Of no effect outside of training.
_PASSING = (
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.SpatialDropout2D,
)
_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


@dataclasses.dataclass
class Node:
    """One call of a layer or an operation of `keras.ops`.

    Args:
        operation: It.
        inputs: The tensors that it reads, as the functional model has them.
        outputs: Those that it makes.
        constants: Its other arguments, but for None.
        kind: What its output is: `IMAGE`, still before the first convolution, `MAP`, `MEAN`, what a mean of maps leads
            to, or None for what no image leads to.
        windows: `Window` of each axis, of a convolution with a kernel larger than 1×1.
        is_squeezing: Whether its output, a mean, goes back into the maps.
    """

    operation: object
    inputs: list
    outputs: list
    constants: list
    kind: str | None = None
    windows: tuple[Window, ...] = ()
    is_squeezing: bool = False

    def is_a(self, *classes) -> bool:
        """Whether it is of just one of some classes."""
        return type(self.operation) in classes


def refusal(operation, why) -> ValueError:
    """The error that names a layer and says why the network has to stay as it is."""
    return ValueError(
        "Expected `keras_model` to be a network that XNNPACK can compute by channels. "
        f"Received: layer '{operation.name}' ({type(operation).__name__}), {why}"
    )


class MapGraph:
    """A functional model as nodes, each behind those that it reads from.

    Args:
        model: Functional Keras model, without models in it. It is not changed.

    Attributes:
        nodes: List of `Node`.
        stem: The `Node` of the first convolution.

    Raises:
        ValueError: If it cannot be computed by channels; names the first layer and why.
    """

    def __init__(self, model):
        by_depth = [model._nodes_by_depth[depth] for depth in sorted(model._nodes_by_depth, reverse=True)]
        calls = [node for nodes in by_depth for node in nodes if not node.is_input]
        self.nodes = [
            Node(call.operation, list(call.input_tensors), list(call.outputs), _constants(call)) for call in calls
        ]
        self.stem = None
        self._makers = {id(tensor): node for node in self.nodes for tensor in node.outputs}
        self._results = {id(tensor) for tensor in model.outputs}
        self._kinds = {id(tensor): IMAGE for tensor in model.inputs if len(tensor.shape) == 4}
        for node in self.nodes:
            kinds = {self._kinds.get(id(tensor)) for tensor in node.inputs}
            if kinds & {IMAGE, MAP, MEAN}:
                node.kind = self._kind_of(node, kinds)
            for tensor in node.outputs:
                self._kinds[id(tensor)] = node.kind
                if id(tensor) in self._results and node.kind in (IMAGE, MAP):
                    raise refusal(node.operation, "whose map the network gives out")
        if not any(node.is_a(keras.layers.GlobalAveragePooling2D) and not node.is_squeezing for node in self.nodes):
            raise ValueError(
                "Expected `keras_model` to take the mean of its maps by GlobalAveragePooling2D, behind a 3×3 "
                "convolution of stride 2 on an image of three channels. "
                f"Received: model '{model.name}', which has none"
            )
        for node in self.nodes:
            if node.is_squeezing and any(not other.is_squeezing and other.kind != MAP for other in self.readers(node)):
                raise refusal(node.operation, "whose means are both multiplied with maps and read by the layers behind")

    def maker(self, tensor) -> Node | None:
        """The node that makes a tensor, None for an input."""
        return self._makers.get(id(tensor))

    def readers(self, node) -> list[Node]:
        """The nodes that read what a node makes."""
        made = {id(tensor) for tensor in node.outputs}
        return [other for other in self.nodes if made & {id(tensor) for tensor in other.inputs}]

    def _kind_of(self, node, kinds):
        layer = node.operation
        if kinds <= {MEAN, None}:
            return MEAN
        if getattr(layer, "data_format", "channels_last") not in ("channels_last", None):
            raise refusal(layer, "which has channels first")
        if None in node.inputs[0].shape[1:]:
            raise refusal(layer, "whose input's size is open")
        if kinds == {IMAGE}:
            if is_on_each_number(node) or _is_on_each_pixel(node):
                return IMAGE
            if node.is_a(keras.layers.ZeroPadding2D):
                self._check_padding(node)
                return IMAGE
            self._read_stem(node)
            return MAP
        if node.is_a(*_MERGING) and kinds <= {MAP, MEAN} and len(node.inputs) > 1:
            self._read_merging(node)
            return MAP
        if kinds != {MAP}:
            raise refusal(layer, "which joins maps with what does not come of them")
        return self._kind_on_maps(node)

    def _kind_on_maps(self, node):
        layer = node.operation
        if is_on_each_number(node):
            return MAP
        if sum(other.operation is layer for other in self.nodes) > 1:
            raise refusal(layer, "which is called more than once")
        if node.is_a(keras.layers.GlobalAveragePooling2D):
            return MEAN
        if node.is_a(keras.layers.ZeroPadding2D):
            self._check_padding(node)
        elif node.is_a(keras.layers.BatchNormalization):
            self._check_normalization(node)
        elif node.is_a(*_CONVOLUTIONS):
            self._read_convolution(node)
        else:
            raise refusal(layer, "which it does not compute by channels, or not rightly")
        return MAP

    def _read_stem(self, node):
        layer = node.operation
        is_stem = node.is_a(keras.layers.Conv2D) and layer.kernel.shape[:3] == (3, 3, 3) and _strides(layer) == {2}
        if not is_stem or {*layer.dilation_rate, layer.groups} != {1}:
            raise refusal(
                layer, "where the first to read the image has to be a 3×3 convolution of stride 2 on three channels"
            )
        if self.stem is not None:
            raise refusal(layer, f"which is a second convolution of an image beside '{self.stem.operation.name}'")
        self._check_activation(layer)
        self.stem = node
        node.windows = self._windows(node, 3, 2)

    def _read_convolution(self, node):
        layer = node.operation
        self._check_activation(layer)
        if set(layer.dilation_rate) != {1}:
            raise refusal(layer, "which is dilated")
        size, strides = set(layer.kernel_size), _strides(layer)
        if node.is_a(keras.layers.Conv2D):
            if size != {1} or strides != {1} or layer.groups != 1:
                raise refusal(layer, "where all others than the first are 1×1 convolutions of stride 1 without groups")
            if self.padding_before(node) is not None:
                raise refusal(layer, "which has zeros around its input")
            return
        if len(size) > 1 or size not in ({3}, {5}) or strides not in ({1}, {2}) or layer.depth_multiplier != 1:
            raise refusal(layer, "where depthwise convolutions are 3×3 or 5×5, of stride 1 or 2, one for each channel")
        node.windows = self._windows(node, *size, *strides)

    def _windows(self, node, kernel, stride):
        """How the kernel of a convolution moves, with the zeros of a padding in front of it."""
        padding, layer = self.padding_before(node), node.operation
        if padding is not None and layer.padding != "valid":
            raise refusal(layer, "which adds zeros to those of the layer in front")
        source = node.inputs[0] if padding is None else padding.inputs[0]
        zeros = ((0, 0), (0, 0)) if padding is None else padding.operation.padding
        windows = tuple(
            Window.same(size, kernel, stride) if layer.padding == "same" else Window(size, *around, kernel, stride)
            for size, around in zip(source.shape[1:3], zeros, strict=True)
        )
        if not any(all(window.fits(mirrored) for window in windows) for mirrored in (False, True)):
            raise refusal(layer, f"whose zeros at the edges cannot be made {kernel // 2} on either side")
        return windows

    def padding_before(self, node) -> Node | None:
        """The padding with zeros that a convolution reads, None if there is none."""
        maker = self.maker(node.inputs[0])
        return maker if maker is not None and maker.is_a(keras.layers.ZeroPadding2D) else None

    def _check_padding(self, node):
        readers = self.readers(node)
        if len(readers) != 1 or not readers[0].is_a(*_CONVOLUTIONS) or id(node.outputs[0]) in self._results:
            raise refusal(node.operation, "which adds zeros for others than one convolution")

    def _check_normalization(self, node):
        maker = self.maker(node.inputs[0])
        is_alone = maker is not None and len(self.readers(maker)) == 1
        is_folded = is_alone and maker.is_a(*_CONVOLUTIONS) and maker.operation.activation is keras.activations.linear
        if not is_folded or node.operation.axis not in (-1, 3):
            raise refusal(node.operation, "which becomes a part of no convolution in front of it")

    def _check_activation(self, layer):
        if layer.activation not in _ACTIVATIONS:
            name = getattr(layer.activation, "__name__", layer.activation)
            raise refusal(layer, f"whose activation {name} it does not compute by channels")

    def _read_merging(self, node):
        """Maps of one size, or means that go back into the maps."""
        for tensor in node.inputs:
            if self._kinds[id(tensor)] == MEAN:
                if len(tensor.shape) != 4:
                    raise refusal(node.operation, "whose means have lost the axes of height and width")
                self._squeeze(self.maker(tensor))
            elif len({t.shape for t in node.inputs if self._kinds[id(t)] == MAP}) > 1:
                raise refusal(node.operation, "which joins maps of several sizes")

    def _squeeze(self, node):
        """Marks what leads from the mean of maps to a node that means come back into them."""
        node.is_squeezing = True
        if node.is_a(keras.layers.GlobalAveragePooling2D):
            return
        if not (is_on_each_number(node) or is_pointwise(node) or node.is_a(keras.layers.Dense) or is_row(node)):
            raise refusal(node.operation, "which it does not compute by channels, or not rightly")
        if isinstance(node.operation, keras.layers.Dense | keras.layers.Conv2D):
            self._check_activation(node.operation)
        for tensor in node.inputs:
            self._squeeze(self.maker(tensor))


def is_pointwise(node) -> bool:
    """Whether it is a 1×1 convolution."""
    layer = node.operation
    return node.is_a(keras.layers.Conv2D) and {*layer.kernel_size, *layer.strides, layer.groups} == {1}


def is_row(node) -> bool:
    """Whether it gives means axes of height and width, of size 1."""
    return node.is_a(keras.layers.Reshape) and node.outputs[0].shape[1:3] == (1, 1) and len(node.outputs[0].shape) == 4


def _constants(call):
    arguments = keras.tree.flatten((call.arguments.args, call.arguments.kwargs))
    return [value for value in arguments if value is not None and not isinstance(value, keras.KerasTensor)]


def _strides(layer):
    return set(layer.strides)


def is_on_each_number(node):
    """Whether it makes of each number another, in a way that XNNPACK has by channels too."""
    layer = node.operation
    if node.is_a(keras.layers.Activation):
        return layer.activation in _ACTIVATIONS
    if node.is_a(keras.layers.ReLU):
        return layer.max_value in (None, 6) and layer.negative_slope == layer.threshold == 0
    if node.is_a(keras.layers.ELU):
        return layer.alpha == 1
    if node.is_a(_ADD, _MULTIPLY):
        return len(node.inputs) == 1 and all(isinstance(value, int | float) for value in node.constants)
    return node.is_a(keras.layers.LeakyReLU, *_PASSING, *_OPERATIONS)


def _is_on_each_pixel(node):
    """Whether it is of an image what does the same everywhere, or nothing outside of training."""
    layer = node.operation
    if node.is_a(keras.layers.Normalization):
        return layer.axis in ((), (-1,), (3,))
    if node.is_a(keras.layers.Rescaling):
        return np.ndim(layer.scale) < 2 and np.ndim(layer.offset) < 2
    return node.is_a(*AUGMENTATIONS)
