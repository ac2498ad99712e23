"""Files of 8-bit integers that LiteRT does not run: with the wrong luck it takes the whole process down."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import parse

# Of XNNPACK, which LiteRT runs such layers with. It looks at the limit after it has begun to use them, and some ways
# out of there free memory twice.
_LIMIT = 256
_CODES = schema.BuiltinOperator
_LAYERS = (_CODES.CONV_2D, _CODES.DEPTHWISE_CONV_2D, _CODES.FULLY_CONNECTED)


def unscalable_output(content) -> str | None:
    """The first output of a layer whose integers LiteRT cannot scale back, or None.

    A layer sums products in steps of `input scale · weight scale`, and gives them in steps of its output's. These are
    nearly zero where no output was above zero on the representative data, as those of units that never fire.

    Args:
        content: Bytes of a TFLite file.

    Returns:
        Name of a tensor of the file.
    """
    model = parse(content)
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            if max(code.builtinCode, code.deprecatedBuiltinCode) not in _LAYERS:
                continue
            tensors = [graph.tensors[i] for i in (*operator.inputs[:2], operator.outputs[0])]
            scales = [tensor.quantization and tensor.quantization.scale for tensor in tensors]
            if any(scale is None for scale in scales):
                continue
            of_inputs, of_weights, of_outputs = (np.max(scale, initial=0.0) for scale in scales)
            if of_inputs * of_weights >= _LIMIT * of_outputs:
                return tensors[-1].name.decode()
    return None
