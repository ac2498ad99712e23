"""What XNNPACK computes by channels and sparsely in a file, where it does so right: on ARM, in WebAssembly, on old x86.

Its own check is that what reads such maps inside of a part can do so, not that what takes them out of it can: a part
that ends in another way than a mean hands maps by channels to what takes them for maps by pixels, and the outputs are
wrong. So a graph counts here only if all that reads such maps is known to read them right.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.networks.pointwise_zeros import are_left_out
from cvhn_tf.export.tflite.flatbuffer import operation_of

_ON_EACH_NUMBER = {"ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "RELU", "RELU6", "TANH"}
_FUSED = {
    schema.ActivationFunctionType.NONE,
    schema.ActivationFunctionType.RELU,
    schema.ActivationFunctionType.RELU6,
}
_DTYPES = {
    schema.TensorType.FLOAT32: "float32",
    schema.TensorType.FLOAT16: "float16",
    schema.TensorType.INT32: "int32",
    schema.TensorType.INT64: "int64",
}
_SPATIAL = [1, 2]


def why_not_by_channels(model, resizes) -> str | None:
    """None if XNNPACK computes a file by channels, sparsely and right; else why not, without a full stop.

    On x86 with AVX it never does, and the outputs are right in any case.

    Args:
        model: `ModelT`.
        resizes: Whether it may have to run several examples at once. Then XNNPACK multiplies maps with the means of
            other examples, in LiteRT 2.3 on ARM64, where squeeze-and-excite is computed by channels.
    """
    if len(model.subgraphs) != 1:
        return "the file has more than one graph"
    part = _Part(model)
    if part.reason is None and resizes and part.squeezes:
        return "maps are multiplied with means, which XNNPACK computes wrongly by channels for several examples at once"
    return part.reason


class _Part:
    """The maps by channels of a file's only graph, by place.

    Attributes:
        reason: As above.
        squeezes: Whether means stay among the maps.
    """

    def __init__(self, model):
        self._model, self._graph = model, model.subgraphs[0]
        self._readers = {}
        for operator in self._graph.operators:
            for place in dict.fromkeys(map(int, operator.inputs)):
                self._readers.setdefault(place, []).append(operator)
        self._sources = self._constants()
        self._paddings, self._operators = self._padded()
        self.maps, self._means, self._stems, self._pointwise = set(), set(), [], []
        self.squeezes = False
        reasons = (self._read(operator) for operator in self._operators)
        self.reason = next((reason for reason in reasons if reason is not None), None) or self._lacking()

    def _constants(self):
        """Dict of the places of constants, and of what is expanded from them, to the place that has the values."""
        sources = {
            place: place
            for place, tensor in enumerate(self._graph.tensors)
            if self._model.buffers[tensor.buffer].data is not None
        }
        for operator in self._graph.operators:
            if self._operation(operator) in ("DENSIFY", "DEQUANTIZE") and int(operator.inputs[0]) in sources:
                sources[int(operator.outputs[0])] = sources[int(operator.inputs[0])]
        return sources

    def _padded(self):
        """The zeros of PADs by the place that they make, and all other operators; constants are taken as expanded."""
        paddings, others = {}, []
        for operator in self._graph.operators:
            made = int(operator.outputs[0])
            if made in self._sources:
                continue
            readers = self._readers.get(made, [])
            is_of_convolution = len(readers) == 1 and self._operation(readers[0]) in ("CONV_2D", "DEPTHWISE_CONV_2D")
            if self._operation(operator) == "PAD" and is_of_convolution and int(operator.inputs[1]) in self._sources:
                paddings[made] = operator
            else:
                others.append(operator)
        return paddings, others

    def _read(self, operator):
        """Follows an operator; returns the reason why the file is not computed by channels, if it is one."""
        operation, inputs = self._operation(operator), [int(place) for place in operator.inputs if place >= 0]
        padding = self._paddings.get(inputs[0]) if inputs else None
        zeros = [[0, 0], [0, 0]]
        if padding is not None:
            inputs[0], zeros = int(padding.inputs[0]), self._zeros_of(padding)
        if operation == "CONV_2D" and self._is_stem(operator, inputs, zeros):
            self._stems.append(operator)
            self.maps.add(int(operator.outputs[0]))
            return None
        given = [place for place in inputs if place not in self._sources]
        if not self.maps.intersection(given):
            return None
        if not self.maps.issuperset(given) or not self._fits(operator, operation, inputs, zeros):
            name = self._graph.tensors[operator.outputs[0]].name.decode(errors="replace")
            return f"{operation} '{name}' is not what XNNPACK computes by channels and right"
        if operation == "MEAN" and not operator.builtinOptions.keepDims:
            self._means.add(int(operator.outputs[0]))
            return None
        self.squeezes |= operation == "MEAN"
        self.maps.add(int(operator.outputs[0]))
        return None

    def _lacking(self):
        if len(self._stems) != 1:
            return (
                "it takes one 3×3 convolution of stride 2 on three channels, with one zero on all sides, and the file "
                f"has {len(self._stems) or 'none'}"
            )
        if not self._means or self.maps.intersection(map(int, self._graph.outputs)):
            return "a map by channels does not end in a mean over height and width"
        if self._is_read_apart():
            return "a mean goes into a fully connected layer and elsewhere"
        counts = [self._count(int(operator.inputs[1])) for operator in self._pointwise]
        zeros, weights = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
        if not are_left_out(zeros, weights):
            return f"no more than two thirds of the weights of 1×1 convolutions are zero: {zeros:,} of {weights:,}"
        if not any(self._is_sparse(int(operator.inputs[1])) for operator in self._pointwise):
            return "no 1×1 convolution is stored sparse"
        return None

    def _is_stem(self, operator, inputs, zeros):
        options, tensor = operator.builtinOptions, self._graph.tensors[inputs[1]]
        return (
            [int(size) for size in tensor.shape[1:]] == [3, 3, 3]
            and (options.strideH, options.strideW) == (2, 2)
            and options.padding == schema.Padding.VALID
            and zeros == [[1, 1], [1, 1]]
            and options.fusedActivationFunction in _FUSED
            and self._is_plain(operator, inputs)
        )

    def _fits(self, operator, operation, inputs, zeros):
        options = operator.builtinOptions
        if any(self._graph.tensors[place].type != schema.TensorType.FLOAT32 for place in operator.outputs):
            return False
        if getattr(options, "fusedActivationFunction", schema.ActivationFunctionType.NONE) not in _FUSED:
            return False
        if operation == "CONV_2D":
            self._pointwise.append(operator)
            shape = [int(size) for size in self._graph.tensors[inputs[1]].shape]
            depth = int(self._graph.tensors[inputs[0]].shape[3])
            is_unit = shape[1:] == [1, 1, depth] and (options.strideH, options.strideW) == (1, 1)
            return is_unit and zeros == [[0, 0], [0, 0]] and self._is_plain(operator, inputs)
        if operation == "DEPTHWISE_CONV_2D":
            return self._is_depthwise(operator, inputs, zeros) and self._is_plain(operator, inputs)
        if operation == "MEAN":
            return inputs[1] in self._sources and sorted(self._values(inputs[1]).tolist()) == _SPATIAL
        if operation in ("ADD", "MUL"):
            return self._is_elementwise(inputs)
        return operation in _ON_EACH_NUMBER

    def _is_depthwise(self, operator, inputs, zeros):
        options = operator.builtinOptions
        kernel = [int(size) for size in self._graph.tensors[inputs[1]].shape]
        strides, half = {options.strideH, options.strideW}, kernel[1] // 2
        if kernel[1] != kernel[2] or kernel[1] not in (3, 5) or options.depthMultiplier not in (0, 1):
            return False
        if options.padding == schema.Padding.SAME:
            return strides == {1} and zeros == [[0, 0], [0, 0]]
        return strides in ({1}, {2}) and zeros == [[half, half], [half, half]]

    def _is_plain(self, operator, inputs):
        """Whether a convolution is not dilated, and has constant weights."""
        options = operator.builtinOptions
        is_constant = all(place in self._sources for place in inputs[1:])
        return is_constant and options.dilationHFactor == options.dilationWFactor == 1

    def _is_elementwise(self, inputs):
        """Whether two maps are joined, or a map and one number of four dimensions, which has to come first."""
        shapes = [[int(size) for size in _sizes(self._graph.tensors[place])] for place in inputs]
        if inputs[1] in self._sources or (inputs[0] in self._sources and shapes[0] != [1, 1, 1, 1]):
            return False
        return all(len(shape) == 4 for shape in shapes)

    def _is_read_apart(self):
        """Whether a fully connected layer, which XNNPACK takes along, shares its input with others: that undoes it."""
        reached = set(self._means)
        for operator in self._operators:
            given = int(operator.inputs[0]) if len(operator.inputs) else -1
            if self._operation(operator) == "FULLY_CONNECTED" and given in reached:
                if any(self._operation(reader) != "FULLY_CONNECTED" for reader in self._readers[given]):
                    return True
                reached.add(int(operator.outputs[0]))
        return False

    def _count(self, place):
        """Number of zeros and of weights of a kernel."""
        tensor = self._graph.tensors[self._sources[place]]
        weights = int(np.prod(tensor.shape))
        return (weights - np.count_nonzero(self._values(place)) if tensor.type in _DTYPES else 0), weights

    def _is_sparse(self, place):
        return self._graph.tensors[self._sources[place]].sparsity is not None

    def _zeros_of(self, padding):
        """Zeros before and behind, along height and width; None where others are padded too."""
        batch, *spatial, channels = self._values(int(padding.inputs[1])).reshape(-1, 2).tolist()
        return spatial if batch == channels == [0, 0] else None

    def _values(self, place):
        """The numbers of a constant as the file stores them: of a sparse one without its zeros."""
        tensor = self._graph.tensors[self._sources[place]]
        return np.frombuffer(bytes(self._model.buffers[tensor.buffer].data), _DTYPES[tensor.type])

    def _operation(self, operator):
        return operation_of(self._model, operator)


def _sizes(tensor):
    return () if tensor.shape is None else tensor.shape
