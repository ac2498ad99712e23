"""Strings, configs and instances: three ways to say the same prior, parameterization or estimator."""

from collections.abc import Mapping

import keras


def resolve(argument: str, identifier, base: type, names: Mapping[str, type]):
    """Returns the instance of `base` that `identifier` says.

    Args:
        argument: Name of the user's argument, for the error.
        identifier: An instance of `base`, its serialised config, or a key of `names`.
        base: The class that the result must have.
        names: Classes that a string may name; each is made with its default arguments.

    Raises:
        ValueError: If `identifier` is none of these.
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier, safe_mode=True)
    if isinstance(identifier, str) and identifier in names:
        identifier = names[identifier]()
    if not isinstance(identifier, base):
        raise ValueError(
            f"Expected `{argument}` to be one of {sorted(names)}, a `{base.__name__}` or its config. "
            f"Received: {argument}={identifier!r}"
        )
    return identifier
