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
        places, (output, _) = self._places_of_projections()
        kernels = {i: self.heads[:, None] for i in places if self.weights[i].ndim == 3}
        return {**kernels, output: np.expand_dims(self.heads, tuple(range(1, self.weights[output].ndim)))}

    def dead_heads(self):
        """For each head whether the output is the same without it, but for a constant that its bias can take.

        The weights of attention sum to one, so that a head of values that are constant gives that constant. With
        dropout they sum to zero where a mask leaves nothing to attend to
        (`findings/attention_dropout_changes_outputs.sh`).
        """
        values, bias = self._values()
        is_constant = ~values.any(axis=(0, 2))
        if self.config.get("use_gate") or self.config["dropout"]:
            is_constant &= ~bias.any(axis=1)
        output = self.weights[self._place(self.operation.output_dense.kernel)]
        return is_constant | ~output.any(axis=tuple(range(1, output.ndim)))

    def cut_heads(self, dead):
        """Takes the heads out that a boolean array marks, all of them dead, but not every one there is."""
        values, bias = self._values()
        places, (output, output_bias) = self._places_of_projections()
        constant = np.where(values.any(axis=(0, 2))[:, None], 0, bias)  # of the others nothing is read
        lacking = np.tensordot((constant * dead[:, None]).astype("float64"), self.weights[output], 2)
        if lacking.any():
            weight = self.weights[output_bias]
            self.weights[output_bias] = (weight + lacking).astype(weight.dtype)
        for i in places:
            self.weights[i] = np.compress(~dead, self.weights[i], axis=-2)
        self.weights[output] = np.compress(~dead, self.weights[output], axis=0)
        self.config["num_heads"] = int(np.sum(~dead))

    def _places_of_projections(self):
        """Places of the kernels (input, head, size) and biases (head, size) of all heads, and of the output's two.

        The kernel of the output is (head, value, …), its bias (…), so that ranks do not tell them
        apart. A layer without biases has None for the second.
        """
        layer = self.operation.output_dense
        of_output = self._place(layer.kernel), self._place(layer.bias) if self.config["use_bias"] else None
        return [i for i in range(len(self.weights)) if i not in of_output], of_output

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
