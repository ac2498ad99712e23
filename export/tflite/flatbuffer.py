"""A TFLite file as an object: what it holds, and the same file with names or weights changed."""

import hashlib
import itertools

import flatbuffers
import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

_TYPE_NAMES = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
_OPERATION_NAMES = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
# Of a tensor, that all clients take.
MOST_AXES = 4
# Of an operation in the old field: operations with larger ones have this in its place.
_LARGEST_OLD_NUMBER = 127
_IDENTIFIER = b"TFL3"
_FIRST_BYTES = 1024  # of what a file is written into, which grows


def parse(content) -> schema.ModelT:
    """The file's bytes as the objects of TFLite's schema."""
    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def serialize(model) -> bytes:
    """The bytes of a file.

    Its buffers are aligned to 16 bytes, as the schema asks for. The number of an operation stands in the field of today
    and in the old one, which holds up to 127: some readers know one of both only. Equal vectors of numbers are written
    once.
    """
    for code in model.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
        code.deprecatedBuiltinCode = min(code.builtinCode, _LARGEST_OLD_NUMBER)
    model.buffers = [_AlignedBuffer(buffer.data, buffer.offset, buffer.size) for buffer in model.buffers]
    builder = _SharingBuilder(_FIRST_BYTES)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def share_buffers(model) -> None:
    """Lets constants of equal bytes share a buffer, and all that a run computes the empty one, as the schema asks for.

    Only the buffers that are used stay. Those of variables are their own. Equal numbers of weights stay apart
    if their scales or places differ: XNNPACK's cache finds packed weights, which hold these, by the buffer alone.
    """
    kept = [model.buffers[0]]
    places = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is None and not tensor.isVariable:
                tensor.buffer = 0
                continue
            key = id(tensor) if data is None or tensor.isVariable else hashlib.sha256(data).digest() + _apart_by(tensor)
            if key not in places:
                places[key] = len(kept)
                kept.append(model.buffers[tensor.buffer])
            tensor.buffer = places[key]
    for entry in model.metadata or ():
        kept.append(model.buffers[entry.buffer])
        entry.buffer = len(kept) - 1
    model.buffers = kept


def constants(model):
    """Tensors with values in the file that are no scalars or vectors: the weights, but for biases.

    Returns:
        List of pairs of a `TensorT` and its `BufferT`.
    """
    return [
        (tensor, model.buffers[tensor.buffer])
        for graph in model.subgraphs
        for tensor in graph.tensors
        if model.buffers[tensor.buffer].data is not None and tensor.shape is not None and len(tensor.shape) > 1
    ]


def type_name(tensor) -> str:
    """Name of a `TensorT`'s type, such as `"INT8"`."""
    return _TYPE_NAMES[tensor.type]


def operation_of(model, operator) -> str:
    """Name of what an `OperatorT` computes, such as `"CONV_2D"`."""
    code = model.operatorCodes[operator.opcodeIndex]
    return _OPERATION_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]


def raise_version(model, operator, version) -> None:
    """Lets a file ask for a version of what an `OperatorT` computes, unless it asks for a newer one already."""
    code = model.operatorCodes[operator.opcodeIndex]
    code.version = max(code.version, version)


def add_operation(model, builtin, inputs, outputs) -> schema.OperatorT:
    """An operator, which the caller puts in its place; the operation is added to those that the file uses.

    Args:
        model: `ModelT`.
        builtin: Number of a built-in operation.
        inputs: Places of the tensors that it reads.
        outputs: Places of those that it writes.
    """
    operator = schema.OperatorT()
    operator.opcodeIndex = _opcode(model, builtin)
    operator.inputs, operator.outputs = list(inputs), list(outputs)
    return operator


def position_of(graph, operator) -> int:
    """Where an `OperatorT`, that very one, stands among those of its graph."""
    return next(i for i, other in enumerate(graph.operators) if other is operator)


def add_tensor(graph, name, kind, shape, sizes=None) -> int:
    """Place of a new tensor without values in a graph.

    Args:
        graph: `SubGraphT`.
        name: Bytes.
        kind: Number of a type.
        shape: Sizes in a run of one example.
        sizes: As of `sizes_of`, if some are free.
    """
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape, tensor.buffer = name, kind, shape, 0
    tensor.shapeSignature = sizes if sizes is not None and -1 in sizes else None
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def add_tensor_like(graph, tensor, sizes) -> int:
    """Place of a new tensor without values, of another one's type and quantization.

    Args:
        graph: `SubGraphT`.
        tensor: `TensorT`.
        sizes: As of `sizes_of`.
    """
    place = add_tensor(graph, b"", tensor.type, [1 if size == -1 else size for size in sizes], sizes)
    graph.tensors[place].quantization = tensor.quantization
    return place


def add_constant(model, graph, name, values) -> int:
    """Place of a new tensor in a graph with values, an array of float32 or int32.

    Args:
        model: `ModelT`.
        graph: Its `SubGraphT`.
        name: Bytes.
        values: Array.
    """
    kind = schema.TensorType.INT32 if values.dtype == np.int32 else schema.TensorType.FLOAT32
    place = add_tensor(graph, name, kind, list(values.shape))
    model.buffers.append(schema.BufferT(np.frombuffer(values.tobytes(), "uint8")))
    graph.tensors[place].buffer = len(model.buffers) - 1
    return place


def integers_of(model, tensor) -> np.ndarray | None:
    """Values of a `TensorT` of INT32 or INT64, an array of its shape; None if they are computed, and of others."""
    data, dtype = model.buffers[tensor.buffer].data, {"INT32": "int32", "INT64": "int64"}.get(type_name(tensor))
    return None if data is None or dtype is None else np.frombuffer(bytes(data), dtype).reshape(sizes_of(tensor))


def sizes_of(tensor) -> list[int]:
    """Sizes of a `TensorT`, −1 where they are free; none for a scalar, and where the number of axes is not known."""
    sizes = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    return [] if sizes is None else [int(size) for size in sizes]


def make_reshape(model, graph, operator, source, sizes) -> None:
    """Makes of an `OperatorT` whose operation is RESHAPE one to constant sizes, of which one may be −1.

    Args:
        model: `ModelT`.
        graph: The `SubGraphT` of the operator.
        operator: Has its output.
        source: Place of the tensor that it reshapes.
        sizes: Of its output.
    """
    values = np.array(sizes, "int32")
    name = graph.tensors[operator.outputs[0]].name + b"_shape"
    operator.inputs = [source, add_constant(model, graph, name, values)]
    operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    operator.builtinOptions = schema.ReshapeOptionsT(values)


def weight_types(content) -> set[str]:
    """Names of the types in which the file holds its weights, such as `{"INT8"}`."""
    return {_TYPE_NAMES[tensor.type] for tensor, _ in constants(parse(content))}


def keep_keras_names(model, keras_model) -> None:
    """Gives a `ModelT` a signature, by which inputs and outputs have the names and the order of the Keras model's.

    Outputs that were given names as the keys of a dict keep these.
    """
    graph = model.subgraphs[0]
    inputs = [tensor.name for tensor in keras_model.inputs]
    outputs = _output_names(keras_model)
    signature = schema.SignatureDefT()
    signature.signatureKey = b"serving_default"
    signature.inputs = [_named(*pair) for pair in zip(inputs, graph.inputs, strict=True)]
    signature.outputs = [_named(*pair) for pair in zip(outputs, graph.outputs, strict=True)]
    model.signatureDefs = [signature]


def _opcode(model, builtin):
    """Place of an operation in the file's list of those that it uses, to which it is added where it lacks."""
    for place, code in enumerate(model.operatorCodes):
        if code.builtinCode == builtin:
            return place
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _named(name, index):
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), int(index)
    return entry


def _output_names(keras_model):
    """Keys of a dict of outputs, else names of the layers that make them; numbered where one is that of several."""
    structure = getattr(keras_model, "_outputs_struct", None)
    if isinstance(structure, dict):
        paths, _ = zip(*keras.tree.flatten_with_path(structure), strict=True)
        names = ["/".join(map(str, path)) for path in paths]
    else:
        names = [tensor._keras_history.operation.name for tensor in keras_model.outputs]
    unique = []
    for name in names:
        if name in unique:
            numbered = (f"{name}_{i}" for i in itertools.count(len(unique)))
            name = next(candidate for candidate in numbered if candidate not in (*unique, *names))
        unique.append(name)
    return unique


def _apart_by(tensor):
    """Bytes of where the numbers of a constant stand if it is sparse, and of its scales if it has two axes or more."""
    builder = flatbuffers.Builder()
    scales = None if tensor.quantization is None or len(sizes_of(tensor)) < 2 else tensor.quantization.scale
    quantization = schema.QuantizationParametersT(scale=scales)
    builder.Finish(schema.TensorT(quantization=quantization, sparsity=tensor.sparsity).Pack(builder))
    return bytes(builder.Output())


class _SharingBuilder(flatbuffers.Builder):
    """Writes vectors of equal numbers once; the most bytes of these are the zero points of channels, all zero."""

    def __init__(self, size):
        super().__init__(size)
        self._places = {}

    def CreateNumpyVector(self, x):
        if x.dtype == np.uint8:  # the bytes of a buffer begin at a place that is not just any
            return super().CreateNumpyVector(x)
        key = x.dtype.str, x.tobytes()
        if key not in self._places:
            self._places[key] = super().CreateNumpyVector(x)
        return self._places[key]


class _AlignedBuffer(schema.BufferT):
    """A buffer that begins at a multiple of 16 bytes; the generated code leaves this out."""

    def Pack(self, builder):
        if self.data is not None:
            self.data = np.frombuffer(self.data, "uint8")
            builder.Prep(16, self.data.size)
        return super().Pack(builder)
