"""Stages with kernels: they make channels from channels, or, depthwise, turn each into others of its own."""

import keras
import numpy as np

from cvhn_tf.export.channels.channel_stages import Stage, activate, is_elementwise


class Kernel(Stage):
    """Dense and ungrouped convolutions: a kernel (…, input, output), a bias, an activation."""

    @staticmethod
    def accepts(layer, input_shapes, output_shape):
        return len(layer.weights) == 1 + layer.use_bias and getattr(layer, "groups", 1) == 1 and len(output_shape) > 1

    @property
    def kernel(self):
        """The kernel as (positions, inputs, outputs): positions are those of a window."""
        return self.weights[0].reshape(-1, *self.weights[0].shape[-2:])

    @property
    def bias(self):
        return self.weights[-1] if self.config["use_bias"] else np.zeros(self.kernel.shape[-1], self.weights[0].dtype)

    def can_fold(self, values):
        """For each input whether it is constant, and adds the same to all outputs of a channel."""
        return np.isfinite(values) & ((values == 0) | ~_pads(self.config))

    def reads(self):
        """For each input whether it has an influence on an output."""
        return self.kernel.any(axis=(0, 2))

    def link(self, inputs, channels):
        return channels.new(self.kernel.shape[-1], pinned=not is_elementwise(self.operation))

    def makers(self, inputs, output):
        return {0: output}

    def constants(self, inputs):
        (values,) = inputs
        known = self.can_fold(values)
        kernel = self.kernel
        sums = self.bias + self._sum(np.where(known, values, 0), kernel)
        sums[kernel[:, ~known].any(axis=(0, 1))] = np.nan
        if not is_elementwise(self.operation):
            return np.full(len(sums), np.nan)
        return activate(self.operation, sums)

    def fold(self, values, inputs):
        """Stops reading some inputs, of constant values.

        Args:
            values: Array over all inputs.
            inputs: Boolean array, True for those to fold.

        Returns:
            Array over the outputs: what they lack now, to be added to a bias.
        """
        lacking = self._sum(np.where(inputs, values, 0), self.kernel)
        self.weights[0] = np.where(inputs[:, None], 0, self.weights[0]).astype(self.weights[0].dtype)
        return lacking

    def add_to_bias(self, change):
        """Adds an array over the outputs to the bias, which a layer without one gets."""
        bias = (self.bias + change).astype(self.weights[0].dtype)
        self.weights = [*(self.weights[:-1] if self.config["use_bias"] else self.weights), bias]
        self.config["use_bias"] = True

    def blind(self, outputs):
        """Sets all weights of the outputs marked in a boolean array to zero. Returns whether some were not."""
        changed = bool(self.kernel[..., outputs].any())
        i = self._output_kernel
        self.weights[i] = np.where(outputs, 0, self.weights[i]).astype(self.weights[i].dtype)
        return changed

    def cut(self, kept_inputs, kept_outputs):
        self.weights = [weight[..., kept_outputs] for weight in self.weights]
        self.keep_inputs(kept_inputs[0])
        self.config["units" if "units" in self.config else "filters"] = int(kept_outputs.sum())

    def keep_inputs(self, kept):
        """Takes the weights of all other inputs out."""
        self.weights[0] = self.weights[0][..., kept, :]

    _output_kernel = 0

    @staticmethod
    def _sum(values, kernel):
        return np.einsum("c,pcu->u", values.astype("float64"), kernel)


class SeparableKernel(Kernel):
    """Separable convolutions: a depthwise kernel (…, input, multiplier), then a pointwise one (…, both, output)."""

    _output_kernel = 1

    @staticmethod
    def accepts(layer, input_shapes, output_shape):
        return len(layer.weights) == 2 + layer.use_bias

    @property
    def kernel(self):
        depthwise = self.weights[0].reshape(-1, *self.weights[0].shape[-2:])
        return np.einsum("pcm,cmu->pcu", depthwise, self._pointwise)

    @property
    def _pointwise(self):
        """The pointwise kernel as (input, multiplier, output)."""
        return self.weights[1].reshape(*self.weights[0].shape[-2:], -1)

    def makers(self, inputs, output):
        return {0: inputs[0][:, None], 1: output}

    def keep_inputs(self, kept):
        pointwise = self._pointwise[kept]
        self.weights[0] = self.weights[0][..., kept, :]
        self.weights[1] = pointwise.reshape(*self.weights[1].shape[:-2], -1, pointwise.shape[-1])

    def cut(self, kept_inputs, kept_outputs):
        self.weights[1:] = [weight[..., kept_outputs] for weight in self.weights[1:]]
        self.keep_inputs(kept_inputs[0])
        self.config["filters"] = int(kept_outputs.sum())


class DepthwiseKernel(Stage):
    """Depthwise convolutions: `depth_multiplier` outputs for each input, which stay and go with it."""

    @staticmethod
    def accepts(layer, input_shapes, output_shape):
        return len(layer.weights) == 1 + layer.use_bias and is_elementwise(layer)

    def link(self, inputs, channels):
        return np.repeat(inputs[0], self.config["depth_multiplier"])

    def makers(self, inputs, output):
        return {0: inputs[0][:, None]}

    def constants(self, inputs):
        values = np.repeat(inputs[0], self.config["depth_multiplier"])
        kernel = self.weights[0].reshape(-1, len(values))
        zero = ~kernel.any(axis=0)
        sums = np.where(zero, 0, values) * kernel.sum(axis=0, dtype="float64")
        sums += self.weights[1] if self.config["use_bias"] else 0
        if _pads(self.config):
            sums[~zero & (values != 0)] = np.nan
        return activate(self.operation, sums)

    def cut(self, kept_inputs, kept_outputs):
        self.weights = [self.weights[0][..., kept_inputs[0], :], *(bias[kept_outputs] for bias in self.weights[1:])]


def _pads(config):
    """Whether outputs at the border see less of their input than others."""
    return np.bool_(config.get("padding", "valid") != "valid" and max(config["kernel_size"]) > 1)


KERNELS = {
    keras.layers.Dense: Kernel,
    keras.layers.Conv1D: Kernel,
    keras.layers.Conv2D: Kernel,
    keras.layers.Conv3D: Kernel,
    keras.layers.SeparableConv1D: SeparableKernel,
    keras.layers.SeparableConv2D: SeparableKernel,
    keras.layers.DepthwiseConv1D: DepthwiseKernel,
    keras.layers.DepthwiseConv2D: DepthwiseKernel,
}
