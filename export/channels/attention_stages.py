"""Attention, whose heads stay apart until its last projection adds them up."""

import keras
import numpy as np

from cvhn_tf.export.channels.channel_stages import Stage


class Attention(Stage):
    """Multi-head attention: it needs every channel that it reads, and makes all that it writes, but not by every head.

    Attributes:
        heads: Ids of its heads, which no tensor has.
    """

    heads = np.zeros(0, int)

    @staticmethod
    def accepts(layer, input_shapes, output_shape):
        parts = 5 if layer.get_config().get("use_gate") else 4
        is_plain = len(layer.weights) == parts * (1 + layer.use_bias)  # and not with low-rank weights or scales
        return is_plain and {len(shape) for shape in input_shapes} == {3}  # a mask of rank 4 would tell heads apart

    def link(self, inputs, channels):
        self.heads = channels.new(self.config["num_heads"])
        return super().link(inputs, channels)

    def makers(self, inputs, output):
        output_kernel = self._place(self.operation.output_dense.kernel)
        kernels = [i for i, weight in enumerate(self.weights) if weight.ndim == 3]
        return {i: self.heads[:, None, None] if i == output_kernel else self.heads[:, None] for i in kernels}

    def dead_heads(self):
        """For each head whether the output is the same without it, but for a constant that its bias can take.

        The weights of attention sum to one, so that a head of values that are constant gives that constant.
        """
        values, bias = self._values()
        is_constant = ~values.any(axis=(0, 2))
        if self.config.get("use_gate"):
            is_constant &= ~bias.any(axis=1)
        return is_constant | ~self.weights[self._place(self.operation.output_dense.kernel)].any(axis=(1, 2))

    def cut_heads(self, dead):
        """Takes the heads out that a boolean array marks, all of them dead, but not every one there is."""
        values, bias = self._values()
        output = self._place(self.operation.output_dense.kernel)
        constant = np.where(values.any(axis=(0, 2))[:, None], 0, bias)  # of the others nothing is read
        lacking = np.einsum("hv,hvo->o", (constant * dead[:, None]).astype("float64"), self.weights[output])
        if lacking.any():
            i = self._place(self.operation.output_dense.bias)
            self.weights[i] = (self.weights[i] + lacking).astype(self.weights[i].dtype)
        for i, weight in enumerate(self.weights):
            if weight.ndim > 1:
                axis = 1 if weight.ndim == 3 and i != output else 0
                self.weights[i] = np.compress(~dead, weight, axis=axis)
        self.config["num_heads"] = int(np.sum(~dead))

    def _values(self):
        """Kernel (input, head, value) and bias (head, value) of what is attended to."""
        layer = self.operation.value_dense
        kernel = self.weights[self._place(layer.kernel)]
        bias = self.weights[self._place(layer.bias)] if self.config["use_bias"] else np.zeros(kernel.shape[1:])
        return kernel, bias

    def _place(self, variable):
        """Where a variable of the layer stands among `weights`."""
        return [id(weight) for weight in self.operation.weights].index(id(variable))


ATTENTION = {keras.layers.MultiHeadAttention: Attention}
