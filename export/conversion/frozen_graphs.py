"""Keras models as TensorFlow's converter reads them: graphs whose weights are constants."""

import threading

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2_as_graph

from cvhn_tf.export.tflite.calibrated_ranges import kept_in_float
from cvhn_tf.export.verification.verify import ConversionError

# TensorFlow notes in a class what the next converter is made from, and the file tells it.
_one_converter_at_a_time = threading.Lock()


class FrozenGraphs:
    """What the conversions of a network to several encodings share: first of all its graph, which is traced once.

    ```python
    graphs = FrozenGraphs()
    converters = [graphs.converter(keras_model) for _ in quantizations]
    ```

    The weights of a model are those of its first conversion. A SavedModel, by which TensorFlow converts a Keras model,
    gives the same operations and takes several times as long, since it is written, read and traced again.
    """

    def __init__(self):
        self._made = {}

    def once(self, make, keras_model, other=None):
        """`make(keras_model)`, or `make(keras_model, other)` if there is another object, the same for the same ones."""
        key = make, id(keras_model), id(other)
        if key not in self._made:
            made = make(keras_model) if other is None else make(keras_model, other)
            self._made[key] = made, keras_model, other  # which stay, since ids are used again
        return self._made[key][0]

    def converter(self, keras_model):
        """A new `tf.lite.TFLiteConverter` of a functional or Sequential Keras model."""
        function, graph = self.once(_freeze, keras_model)
        with _one_converter_at_a_time:
            # With a function in the place of what holds the variables, it is not written as a SavedModel.
            converter = _FrozenConverter.from_concrete_functions([function], function)
        converter.graph = graph
        return converter


class _FrozenConverter(tf.lite.TFLiteConverter):
    """TensorFlow's converter of a graph that is frozen already; its own freezes in each conversion again.

    Activations that have no useful range stay in float, where its own makes integers of them all.

    ```python
    converter.graph = graph_def
    ```
    """

    def _freeze_concrete_function(self):
        (function,) = self._funcs
        return self.graph, function.inputs, function.outputs, function

    def _quantize(self, *arguments):
        self._experimental_calibrate_only = True
        calibrated, stay_float = kept_in_float(super()._quantize(*arguments))
        _, input_type, output_type = arguments[:3]
        return mlir_quantize(
            calibrated,
            input_data_type=input_type,
            output_data_type=output_type,
            denylisted_nodes=stay_float,
            disable_per_channel_for_dense_layers=self._experimental_disable_per_channel_quantization_for_dense_layers,
        )


def _freeze(keras_model):
    """The function of a model's inference, and its `GraphDef`; inputs and outputs are lists, in the model's order."""
    signature = [tf.TensorSpec(tensor.shape, tensor.dtype, tensor.name) for tensor in keras_model.inputs]

    @tf.function(input_signature=signature, autograph=False)
    def serve(*inputs):
        given = inputs[0]
        if len(inputs) > 1:
            given = keras.tree.pack_sequence_as(getattr(keras_model, "_inputs_struct", list(inputs)), list(inputs))
        return [tf.identity(output) for output in keras.tree.flatten(keras_model(given, training=False))]

    function = serve.get_concrete_function()
    for operation in function.graph.get_operations():
        if operation.type.startswith("Assign"):
            raise ConversionError(
                f"The network assigns to a weight at inference ({operation.name.removesuffix('/' + operation.type)}), "
                "but the weights of a file stay as they are"
            )
    frozen, graph = convert_variables_to_constants_v2_as_graph(function, lower_control_flow=False)
    return frozen, _with_zeros_of_one_sign(graph, [output.op.name for output in frozen.outputs])


def _with_zeros_of_one_sign(graph, outputs):
    """The `GraphDef` with plain maxima: `keras.ops.argmax` looks for the sign bits of zeros, which TFLite cannot.

    It puts the smallest normal number, negated, in the place of -0, and so tells only which of two zeros is the larger.
    """
    nodes = {node.name: node for node in graph.node}
    in_place_of = {}
    for node in graph.node:
        if node.op in ("Select", "SelectV2"):
            condition, tiny, x = node.input
            if _is_tiny(nodes.get(tiny)) and _is_of_bits(nodes, nodes.get(condition)):
                in_place_of[node.name] = x
    if not in_place_of:
        return graph
    for node in graph.node:
        for i, name in enumerate(node.input):
            while name in in_place_of:
                name = in_place_of[name]
            node.input[i] = name
    inputs = [node.name for node in graph.node if node.op == "Placeholder"]
    return tf.compat.v1.graph_util.extract_sub_graph(graph, [*inputs, *outputs])


def _is_tiny(node):
    if node is None or node.op != "Const":
        return False
    value = tf.make_ndarray(node.attr["value"].tensor)
    return value.ndim == 0 and value.dtype.kind == "f" and value == -np.finfo(value.dtype).tiny


def _is_of_bits(nodes, condition):
    """Whether a condition is that x is zero and that its sign bit is set."""
    if condition is None or condition.op != "LogicalAnd":
        return False
    compared = [nodes[name] for name in condition.input if name in nodes]
    names = [name for one in compared if one.op == "Less" for name in one.input]
    return any(one.op == "Equal" for one in compared) and any(nodes[n].op == "BitwiseAnd" for n in names if n in nodes)
