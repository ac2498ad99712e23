"""How large the target is, and how large the hypernetwork that gives its weights."""

import math


def describe_parameters(graph, target, parameterization) -> str:
    """Two lines for the end of a summary.

    Args:
        graph: The variational graph.
        target: Its `cvhn_tf.graph.Target`.
        parameterization: `cvhn_tf.parameterizations.Parameterization` of its layers.
    """
    weights = {id(weight) for weight in graph.weights}
    drawn, deterministic = 0, 0
    trained: dict[int, int] = {}
    for source in target.sources:
        if isinstance(source, tuple):
            layer, i = source
            drawn += math.prod(layer.replaced_weights()[i].shape)
            # By identity: layers may share variables.
            trained |= {id(variable): math.prod(variable.shape) for variable in layer.trainable_variables}
        elif id(source) in weights:  # and not the state of a dropout's seed
            deterministic += math.prod(source.shape)
    parameters = sum(trained.values())
    return (
        f" Target '{graph.name}': {drawn + deterministic:,} parameters, {drawn:,} of them with a posterior\n"
        f" Hypernetwork {type(parameterization).__name__}: {parameters:,} parameters, "
        f"{parameters / drawn:.1f} for each weight with a posterior"
    )
