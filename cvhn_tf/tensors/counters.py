"""Numbers that are kept as weights: traced functions see their changes, and they are saved."""

import keras


def counter(name, value=0, dtype="float32", synchronization="auto", shape=()) -> keras.Variable:
    """A scalar, or several, that no optimizer trains, equal on all replicas.

    Args:
        name: Name of the variable.
        value: Number that it begins with.
        dtype: Dtype of the variable.
        synchronization: `"on_read"` lets each replica count by itself.
        shape: Shape of the variable.
    """
    return keras.Variable(
        initializer=keras.initializers.Constant(value),  # a tensor could not leave a function that is traced
        shape=shape,
        dtype=dtype,
        trainable=False,
        autocast=False,
        aggregation="only_first_replica",
        synchronization=synchronization,
        name=name,
    )
