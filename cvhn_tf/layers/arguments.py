"""Which arguments of `Variational` go together, when it is made and when it is called."""

from cvhn_tf.checks.arguments import check_integer


def check_train_size(complexity, train_size) -> int | None:
    """Returns `train_size`, or raises a `ValueError` unless it is given just where `complexity` is."""
    if (train_size is None) != (complexity is None):
        raise ValueError(
            "Expected both `complexity` and `train_size`, for a layer that adds its description length to the "
            f"loss, or neither. Received: complexity={complexity}, train_size={train_size}"
        )
    return None if train_size is None else check_integer("train_size", train_size)


def check_determinism(prior, estimator) -> None:
    """Raises a `ValueError` where just one of a `Prior` and an `Estimator` is for weights without noise."""
    if prior.deterministic != estimator.deterministic:
        raise ValueError(
            "Expected both `prior` and `estimator` to be deterministic, such as 'l2' and 'deterministic', or "
            f"neither. Received: prior={type(prior).__name__}, estimator={type(estimator).__name__}"
        )


def check_call(layer, complexity, seed) -> None:
    """Raises a `ValueError` where a `Variational` layer has no λ for a call, or two."""
    if layer.complexity is None and complexity is None:
        raise ValueError(
            f"Layer '{layer.name}' needs `complexity`, in the call or once and for all when it is made. "
            "Received: complexity=None"
        )
    if layer.complexity is not None and (complexity is not None or seed is not None):
        raise ValueError(
            f"Layer '{layer.name}' has its own complexity, {layer.complexity:g}, and noise. "
            f"Received: complexity={complexity}, seed={seed}"
        )
