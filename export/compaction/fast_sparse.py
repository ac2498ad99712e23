"""Networks of 1×1 convolutions in the form that XNNPACK computes by channels: then their zeros take no time."""

import keras

from cvhn_tf.architecture import finalize_normalization, free_name, freeze_alike
from cvhn_tf.export.compaction.map_graph import MAP, MEAN, MapGraph, is_on_each_number, is_pointwise, is_row, refusal
from cvhn_tf.export.networks.check_network import check_network
from cvhn_tf.export.networks.pointwise_zeros import are_left_out, count_zeros
from cvhn_tf.export.networks.rebuild import as_functional

_OF_ONE_KERNEL = (
    *("name", "trainable", "dtype", "activation", "use_bias", "kernel_initializer", "bias_initializer"),
    *("kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint"),
)
_ALONG_CHANNELS = (keras.layers.BatchNormalization, keras.layers.Concatenate, keras.layers.Softmax)


def fast_sparse(keras_model: keras.Model, turned_images: bool = False) -> keras.Model:
    """A model with the same outputs whose 1×1 convolutions take less time the more of their weights are zero.

    XNNPACK, which computes for LiteRT, leaves out single zeros of 1×1 convolutions on ARM, in WebAssembly and on x86
    without AVX, where more than two thirds of them are zero, the file stores them sparse, and the graph has one form:
    a 3×3 convolution of stride 2 on an image of three channels first; then 1×1 convolutions, depthwise ones of 3×3 or
    5×5, sums, products and activations; at last a mean over height and width. With stride 2 it asks for as many zeros
    on one side as on the other, where `padding="same"` has one more behind. So the image is mirrored in height and
    width, and each kernel with it: then the odd zero lies in front, and one more behind is never read. A 1×1
    convolution behind the last mean becomes a Dense layer, a Dense layer of squeeze-and-excite a 1×1 convolution.

    Goes behind `prune(structure="pointwise")` and `finetune`, before `to_tflite(client="web")` or `client="cpu"`.
    Models within the model become layers of it. Sums are taken in another order: outputs differ by rounding.

    Args:
        keras_model: Built functional or Sequential Keras model, channels last. It is not changed.
        turned_images: Whether the model that is made takes images turned by 180°, mirrored in height and width, as an
            app can hand them over for nothing. By default the model turns them itself.

    Returns:
        Functional Keras model.

    Raises:
        ValueError: If it is no such model, if it has a layer that does not fit, which is named, or if no more than two
            thirds of the weights of its 1×1 convolutions are zero.
        TypeError, ValueError: If Keras cannot make one of the layers from its config.

    Reference: E. Elsen, M. Dukhan, T. Gale and K. Simonyan, [Fast Sparse ConvNets](https://arxiv.org/abs/1911.09723),
    2019.

    Example:

    ```python
    pruned = export.prune(model, complexity=0.1, sparsity=0.9, structure="pointwise")
    network = export.finetune(pruned, (x_train, y_train))
    artifact = export.to_tflite(export.fast_sparse(network), client="web")
    ```
    """
    check_network("keras_model", keras_model)
    if turned_images not in (True, False):
        raise ValueError(f"Expected `turned_images` to be True or False. Received: turned_images={turned_images!r}")
    model = as_functional(keras_model)
    if model is None:
        raise ValueError(
            "Expected `keras_model` to be a functional or Sequential model without a `call` of its own. "
            f"Received: model '{keras_model.name}' ({type(keras_model).__name__})"
        )
    model = _without_models_within(model)
    graph = MapGraph(model)
    _check_zeros(graph)
    return _Rewriting(model, graph, turned_images).made()


def fast_sparse_form(*networks: keras.Model) -> keras.Model | None:
    """`fast_sparse` of the first of some networks that it takes; None if it takes none."""
    for network in networks:
        try:
            return fast_sparse(network)
        except (TypeError, ValueError):  # as where too few weights are zero, or a layer is of another kind
            continue
    return None


def _check_zeros(graph):
    kernels = [
        keras.ops.convert_to_numpy(node.operation.kernel)
        for node in graph.nodes
        if (node.kind == MAP and is_pointwise(node)) or (node.is_squeezing and hasattr(node.operation, "kernel"))
    ]
    zeros, weights = count_zeros(kernels)
    if not are_left_out(zeros, weights):
        raise ValueError(
            "Expected more than two thirds of the weights of 1×1 convolutions to be zero, as "
            f'`prune(structure="pointwise")` makes them. Received: {zeros:,} zeros of {weights:,} weights'
        )


def _without_models_within(model, prefix=""):
    """A copy of a functional model with the layers of the models that it calls in their place."""
    made, inner = {}, set()

    def make(operation):
        if id(operation) not in made:
            functional = as_functional(operation)
            if functional is not None:
                # Two models within a model may have layers of one name.
                copy = _without_models_within(functional, f"{prefix}{operation.name}_")
                inner.add(id(copy))
            elif isinstance(operation, keras.layers.Layer):
                config = operation.get_config()
                copy = type(operation).from_config(config | {"name": prefix + config["name"]})
            else:
                copy = operation
            made[id(operation)] = copy
        return made[id(operation)]

    def call(operation, *args, **kwargs):
        return keras.Function.call(operation, args[0]) if id(operation) in inner else operation(*args, **kwargs)

    copied = keras.models.clone_model(model, clone_function=make, call_function=call)
    return _filled(copied, model, {key: copy for key, copy in made.items() if id(copy) not in inner}, {})


def _filled(copied, model, copies, changed):
    """A model with the weights of another one's layers, by id, or those that have come in their place."""
    for layer in model.layers:  # an input has no copy
        weights = changed.get(id(layer), layer.get_weights())
        if id(layer) in copies and weights:
            copies[id(layer)].set_weights(weights)
            freeze_alike(copies[id(layer)], layer)
    finalize_normalization(copied)
    return copied


class _Rewriting:
    """The layers that a network gets in the place of its own.

    Args:
        model: Functional Keras model, without models in it.
        graph: Its `MapGraph`.
        turned_images: As in `fast_sparse`.
    """

    def __init__(self, model, graph, turned_images):
        self._model, self._graph = model, graph
        self._kinds, self._configs, self._weights, self._before = {}, {}, {}, {}
        spatial = [node for node in graph.nodes if node.windows]
        self._mirrored = turned_images or not all(_fits(node, False) for node in spatial)
        for node in spatial:
            if not _fits(node, self._mirrored):
                raise refusal(node.operation, "whose zeros at the edges fit no mirrored image, as others' do")
            self._rewrite_spatial(node)
        for node in graph.nodes:
            if node.is_squeezing:
                self._rewrite_squeezing(node)
            elif node.kind == MEAN:
                self._rewrite_behind(node)
        if self._mirrored and not turned_images:
            self._before[id(graph.stem.operation)].insert(0, lambda x: keras.ops.flip(x, axis=(1, 2)))

    def made(self):
        """The new model, with its weights."""
        copies = {}

        def make(operation):
            if id(operation) not in copies:
                copies[id(operation)] = self._make(operation)
                self._before[id(copies[id(operation)])] = self._before.get(id(operation), [])
            return copies[id(operation)]

        def call(operation, *args, **kwargs):
            for before in self._before[id(operation)]:
                args = (before(args[0]), *args[1:])
            return operation(*args, **kwargs)

        model = keras.models.clone_model(self._model, clone_function=make, call_function=call)
        return _filled(model, self._model, copies, self._weights)

    def _make(self, operation):
        if not isinstance(operation, keras.layers.Layer):
            return operation
        config = self._configs.get(id(operation)) or operation.get_config()
        return self._kinds.get(id(operation), type(operation)).from_config(config)

    def _rewrite_spatial(self, node):
        """Equal zeros on all sides, and a mirrored kernel."""
        layer = node.operation
        zeros = layer.kernel_size[0] // 2
        (stride,) = set(layer.strides)
        self._before[id(layer)] = []
        if stride == 2:
            name = free_name(self._model, f"{layer.name}_zeros")
            self._before[id(layer)].append(keras.layers.ZeroPadding2D(zeros, name=name))
        self._configs[id(layer)] = layer.get_config() | {"padding": "valid" if stride == 2 else "same"}
        padding = self._graph.padding_before(node)
        if padding is not None:
            self._leave_out(padding.operation)
        if self._mirrored:
            kernel, *bias = layer.get_weights()
            self._weights[id(layer)] = [kernel[::-1, ::-1], *bias]

    def _rewrite_squeezing(self, node):
        """Axes of height and width kept, all along."""
        layer = node.operation
        if node.is_a(keras.layers.GlobalAveragePooling2D):
            self._configs[id(layer)] = layer.get_config() | {"keepdims": True}
        elif is_row(node):
            self._leave_out(layer)
        elif node.is_a(keras.layers.Dense):
            kernel, *bias = layer.get_weights()
            self._kinds[id(layer)] = keras.layers.Conv2D
            self._configs[id(layer)] = _of_one_kernel(layer) | {"filters": layer.units, "kernel_size": 1}
            self._weights[id(layer)] = [kernel[None, None], *bias]

    def _rewrite_behind(self, node):
        """No axes of height and width behind the last mean."""
        layer = node.operation
        if node.is_a(keras.layers.GlobalAveragePooling2D):
            self._configs[id(layer)] = layer.get_config() | {"keepdims": False}
        elif is_row(node):
            self._leave_out(layer)
        elif all(len(tensor.shape) < 4 for tensor in node.inputs):
            return
        elif is_pointwise(node):
            kernel, *bias = layer.get_weights()
            self._kinds[id(layer)] = keras.layers.Dense
            self._configs[id(layer)] = _of_one_kernel(layer) | {"units": layer.filters}
            self._weights[id(layer)] = [kernel[0, 0], *bias]
        elif node.is_a(*_ALONG_CHANNELS) and layer.axis in (-1, 3):
            self._configs[id(layer)] = layer.get_config() | {"axis": -1}
        elif not (_is_without_axes(node) or is_on_each_number(node)):
            raise refusal(layer, "which reads means with axes of height and width")
        is_given = any(tensor is output for tensor in node.outputs for output in self._model.outputs)
        if is_given and len(node.outputs[0].shape) == 4:
            raise refusal(layer, "whose means the network gives out with axes of height and width")

    def _leave_out(self, layer):
        self._kinds[id(layer)] = keras.layers.Identity
        self._configs[id(layer)] = {"name": layer.name}


def _fits(node, mirrored):
    return all(window.fits(mirrored) for window in node.windows)


def _of_one_kernel(layer):
    """The config that Dense and Conv2D layers have in common."""
    config = layer.get_config()
    return {key: config[key] for key in _OF_ONE_KERNEL if key in config}


def _is_without_axes(node):
    """Whether it works alike on means that lack the axes of height and width."""
    if node.is_a(keras.layers.Reshape):
        return len(node.outputs[0].shape) == 2
    if node.is_a(keras.layers.Activation):
        return node.operation.activation is keras.activations.softmax
    return node.is_a(keras.layers.Flatten, keras.layers.Add, keras.layers.Multiply)
