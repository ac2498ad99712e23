"""A layer called for another: under other weights than its own, or for the shapes of its outputs alone."""

import keras


def call_under(layer, positions, weights, *args, **kwargs):
    """Calls a layer with tensors in the place of some of its variables.

    What it assigns to its other variables, such as the state of a dropout's seed or moving statistics, they keep.

    Args:
        layer: Built `keras.layers.Layer`.
        positions: Positions of the replaced variables in `layer.variables`.
        weights: The tensors that take their places.
        *args, **kwargs: Arguments of the layer's call.

    Returns:
        Outputs of the layer, and the list of the losses that it and the layers in it have added in this call.

    Raises:
        ValueError: If the layer assigns a value to a replaced variable: it would be lost with the tensor.
    """
    variables = layer.variables
    replaced = [variables[i] for i in positions]
    with keras.StatelessScope(zip(replaced, weights, strict=True), collect_losses=True) as scope:
        given = [scope.get_current_value(variable) for variable in replaced]
        outputs = layer(*args, **kwargs)
    for variable, value in zip(replaced, given, strict=True):
        if scope.get_current_value(variable) is not value:
            error = ValueError(
                f"Layer '{layer.name}' ({type(layer).__name__}) cannot be variational: it assigns values to its weight "
                f"'{variable.path}' while it is called."
            )
            error._keras_call_info_injected = True  # by which Keras leaves its message as it is
            raise error
    for i in set(range(len(variables))) - set(positions):
        value = scope.get_current_value(variables[i])
        if value is not None:
            variables[i].assign(value)
    return outputs, scope.losses


def symbolic_outputs(layer, *args, **kwargs):
    """The shapes and dtypes of what a layer gives, without a past: `keras.KerasTensor`s of no graph.

    By a call, in which a layer casts its inputs and weights to the dtype that it computes in.

    Args:
        layer: Built `keras.layers.Layer`.
        *args, **kwargs: Arguments of the layer's call, `keras.KerasTensor`s for tensors.
    """
    outputs = layer(*args, **kwargs)
    return keras.tree.map_structure(lambda y: keras.KerasTensor(y.shape, y.dtype, sparse=y.sparse), outputs)
