"""Files of 8-bit integers that LiteRT does not run: with the wrong luck it takes the whole process down."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

# Of XNNPACK, which LiteRT runs such layers with. It looks at the limit after it has begun to use them, and some ways
# out of there free memory twice.
_LIMIT = 256
_CODES = schema.BuiltinOperator
_LAYERS = (_CODES.CONV_2D, _CODES.DEPTHWISE_CONV_2D, _CODES.FULLY_CONNECTED)
# Of TFLite's own kernels of sums, which have no more bits for the quotient of the scales.
_SUMS = (_CODES.ADD, _CODES.SUB)
_LIMIT_OF_SUMS = 2**19


def unscalable_output(model) -> str | None:
    """The first output of a layer whose integers LiteRT cannot scale back, or None.

    A layer sums products in steps of `input scale · weight scale`, and gives them in steps of its output's; a sum has
    the larger step of what it adds. The output's is nearly zero where all outputs were on the representative data, as
    those of units that never fire.

    Args:
        model: `ModelT`.

    Returns:
        Name of a tensor of the file.
    """
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            if number not in (*_LAYERS, *_SUMS):
                continue
            tensors = [graph.tensors[i] for i in (*operator.inputs[:2], operator.outputs[0])]
            scales = [tensor.quantization and tensor.quantization.scale for tensor in tensors]
            if any(scale is None for scale in scales):
                continue
            one, other, of_outputs = (np.max(scale, initial=0.0) for scale in scales)
            is_sum = number in _SUMS
            if (max(one, other) if is_sum else one * other) >= (_LIMIT_OF_SUMS if is_sum else _LIMIT) * of_outputs:
                return tensors[-1].name.decode()
    return None
