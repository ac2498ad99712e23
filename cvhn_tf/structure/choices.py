"""Layers by which a target says that a part of it is to be chosen."""

import keras


class _Paths(keras.layers.Layer):
    """What both have in common: at least two paths, of one shape, dtype and mask."""

    def __call__(self, inputs, *args, **kwargs):
        self._check_paths(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def _check_paths(self, inputs):
        kind = type(self).__name__
        if not isinstance(inputs, list | tuple) or len(inputs) < 2:
            received = f"{len(inputs)} of them" if isinstance(inputs, list | tuple) else f"inputs={inputs!r}"
            raise ValueError(
                f"Expected a list of at least two candidates for {kind} '{self.name}'. Received: {received}"
            )
        shapes = [tuple(path.shape) for path in inputs]
        if len(set(shapes)) > 1:
            raise ValueError(
                f"Expected candidates of one shape for {kind} '{self.name}', since any of them may stand in its place. "
                f"Received: shapes {shapes}"
            )
        dtypes = [keras.backend.standardize_dtype(path.dtype) for path in inputs]
        if len(set(dtypes)) > 1:
            raise ValueError(f"Expected candidates of one dtype for {kind} '{self.name}'. Received: dtypes {dtypes}")
        masks = [getattr(path, "_keras_mask", None) for path in inputs]
        symbolic = any(isinstance(path, keras.KerasTensor) for path in inputs)
        if symbolic and any(mask is not masks[0] for mask in masks):
            raise ValueError(
                f"Expected candidates with the same mask, or none, for {kind} '{self.name}': make it before the choice "
                f"and let all candidates pass it on. Received: {sum(mask is not None for mask in masks)} of "
                f"{len(masks)} candidates with a mask"
            )


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Choice(_Paths, keras.layers.Average):
    """One of its inputs: `VariationalHypernetwork` learns which, as a posterior q(z | λ) over them.

    A plain Keras layer: outside a hypernetwork it gives the average of its inputs, so that a model with choices builds,
    fits, saves and loads like any other. In training a hypernetwork draws an input for each step. The
    networks that `at(λ)` gives have the most probable input in its place, and neither this layer nor what only the
    other inputs need.

    Each input is any subgraph: several layers, batch normalization, choices of its own, or the tensor that the others
    begin with. A candidate may build on another, as in `Choice()([a, b(a), c(b(a))])`, which chooses a depth. Layers
    that several candidates share are there if any of these is chosen.

    Call arguments:
        inputs: List of at least two tensors of one shape.

    Returns:
        Tensor of the shape of each input.

    Raises:
        ValueError: If there are fewer than two inputs, or their shapes, dtypes or masks differ.

    Example:

    ```python
    conv = lambda size: keras.layers.Conv2D(16, size, padding="same", activation="relu")
    x = cvhn_tf.Choice(name="block_1")([conv(1)(x), conv(3)(x), conv(5)(x), x])
    ```

    Reference: [Xie et al., 2018](https://arxiv.org/abs/1812.09926): one-hot choices, drawn while they are learned.
    """


@keras.saving.register_keras_serializable(package="cvhn_tf")
class OptionalPaths(_Paths, keras.layers.Add):
    """The sum of any of its inputs: `VariationalHypernetwork` learns a probability for each to be there.

    A plain Keras layer: outside a hypernetwork it gives the sum of all its inputs. In training a hypernetwork draws
    for each input whether it is there, with 95% at first. The networks that `at(λ)` gives have the sum of those with a
    probability above one half, or zeros where there are none.

    Call arguments:
        inputs: List of at least two tensors of one shape.

    Returns:
        Tensor of the shape of each input.

    Raises:
        ValueError: If there are fewer than two inputs, or their shapes, dtypes or masks differ.

    Example:

    ```python
    x = cvhn_tf.OptionalPaths(name="node_2")([from_finer(a), from_same(b), from_coarser(c)])
    ```

    Reference: [Saxena & Verbeek, 2016](https://arxiv.org/abs/1606.02492): a fabric of paths that are summed;
    [Veniat & Denoyer, 2018](https://arxiv.org/abs/1706.00046): each path there or not, with a probability.
    """


def is_choice(layer) -> bool:
    """Whether a part of the network is chosen by it."""
    return isinstance(layer, _Paths)
