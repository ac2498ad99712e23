"""Keras models as TensorFlow's converter reads them: graphs whose weights are constants."""

import dataclasses
import threading

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.python.framework import convert_to_constants

from cvhn_tf.export.tflite.calibrated_ranges import kept_in_float
from cvhn_tf.export.verification.verify import ConversionError

# TensorFlow notes in a class what the next converter is made from, and the file tells it.
_one_converter_at_a_time = threading.Lock()


class FrozenGraphs:
    """What the conversions of a network to several encodings share: first of all its graph, which is traced once.

    ```python
    graphs = FrozenGraphs()
    converters = [graphs.frozen(keras_model).converter() for _ in quantizations]
    ```

    The weights of a model are those of its first conversion. A SavedModel, by which TensorFlow converts a Keras model,
    gives the same operations and takes several times as long, since it is written, read and traced again.
    """

    def __init__(self):
        self._made = {}

    def once(self, make, *objects):
        """`make(*objects)`, the same for the same objects."""
        key = make, *map(id, objects)
        if key not in self._made:
            self._made[key] = make(*objects), objects  # which stay, since ids are used again
        return self._made[key][0]

    def frozen(self, keras_model):
        """The `FrozenGraph` of a functional or Sequential Keras model."""
        return self.once(_freeze, keras_model)


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenGraph:
    """A network whose weights are constants.

    Args:
        function: Its concrete function, where they are variables.
        graph: Its `GraphDef`.
    """

    function: object
    graph: object

    def converter(self):
        """A new `tf.lite.TFLiteConverter`."""
        with _one_converter_at_a_time:
            # With a function in the place of what holds the variables, it is not written as a SavedModel.
            converter = _FrozenConverter.from_concrete_functions([self.function], self.function)
        converter.graph = self.graph
        # A hash of the file and the converter's version: for these the file would be read and written once more.
        converter.exclude_conversion_metadata = True
        return converter


class _FrozenConverter(tf.lite.TFLiteConverter):
    """TensorFlow's converter of a graph that is frozen already; its own freezes in each conversion again.

    Activations that have no useful range stay in float, where its own makes integers of them all. Equal weights of a
    file of floats are left for `finished` to merge, since its own reads and writes the file for it once more.

    ```python
    converter.graph = graph_def
    ```
    """

    def _freeze_concrete_function(self):
        (function,) = self._funcs
        inputs = function.inputs[: len(function.inputs) - len(function.captured_inputs)]  # the others are its weights
        return self.graph, inputs, function.outputs, function

    def _optimize_tflite_model(self, model, quant_mode, *arguments, **options):
        if quant_mode.is_integer_quantization():
            return super()._optimize_tflite_model(model, quant_mode, *arguments, **options)
        return model

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
    """The `FrozenGraph` of a model's inference; its inputs and outputs are lists, in the model's order."""
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
    # As `convert_variables_to_constants_v2_as_graph`, which makes a function of the graph too, in twice the time.
    weights = convert_to_constants._FunctionConverterDataInEager(
        func=function, lower_control_flow=False, aggressive_inlining=False
    )
    graph, _ = convert_to_constants._replace_variables_by_constants(weights)
    return FrozenGraph(function, _with_zeros_of_one_sign(graph, [output.op.name for output in function.outputs]))


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
