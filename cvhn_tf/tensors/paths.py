"""The names of a network's variables."""

import keras


def by_path(network: keras.Model) -> dict[str, keras.Variable]:
    """The variables of a network by their paths, in the order of `variables`.

    Layers of nested models may have the same names. Of variables with the same path, all but the first have `_2`, `_3`
    and so on behind it.

    Args:
        network: Built Keras model.
    """
    found: dict[str, keras.Variable] = {}
    for variable in network.variables:
        path, count = variable.path, 1
        while path in found:
            count += 1
            path = f"{variable.path}_{count}"
        found[path] = variable
    return found


def paths_by_id(network: keras.Model) -> dict[int, str]:
    """The same paths, by the ids of the variables."""
    return {id(variable): path for path, variable in by_path(network).items()}
