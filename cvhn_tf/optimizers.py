"""Adam whose step costs as much as the pivots it visits, in one pass over the memory."""

import types
from typing import Any

import keras
import tensorflow as tf

from cvhn_tf.checks.arguments import check_positive, check_truth
from cvhn_tf.tensors.once import once
from cvhn_tf.training.gradient_sums import SumsGradientsFirst


@keras.saving.register_keras_serializable(package="cvhn_tf")
class PivotAdam(SumsGradientsFirst, keras.optimizers.Adam):
    """Adam that updates, of each variable, only the rows that have a gradient.

    A training step reads two pivots for each complexity. Plain Adam still moves all the others by their old
    momentum while their second moment decays, and spends time on them. Here each row keeps the moments and the
    bias correction of its own visits. Variables with dense gradients are updated as by Adam.

    Args:
        learning_rate: As in `keras.optimizers.Adam`.
        global_clipnorm: As in `keras.optimizers.Adam`; on by default, since the loss at the largest complexity
            is orders of magnitude above that at the smallest.
        **kwargs: Further arguments of `keras.optimizers.Adam`.

    Reference: [Kingma & Ba, 2014](https://arxiv.org/abs/1412.6980).
    """

    divides_rows = True  # by `loss_scale_factor`, as Keras's own optimizers do not
    _of_step: types.SimpleNamespace | None = None  # owns the numbers that the variables of a step have in common

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 3e-3,
        global_clipnorm: float | None = 1.0,
        name: str = "pivot_adam",
        **kwargs: Any,
    ) -> None:
        if kwargs.get("amsgrad"):
            raise ValueError("Expected `amsgrad` to be False for PivotAdam. Received: amsgrad=True")
        if kwargs.get("clipnorm") is not None or kwargs.get("clipvalue") is not None:
            global_clipnorm = None
        super().__init__(learning_rate, global_clipnorm=global_clipnorm, name=name, **kwargs)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._visits = [
            self.add_variable(shape=variable.shape[:1], dtype="float32", initializer="zeros", name=f"visits_{i}")
            for i, variable in enumerate(variables)
        ]

    def apply(self, grads, trainable_variables=None):
        self._of_step = types.SimpleNamespace()
        try:
            return self._apply_unscaled(grads, trainable_variables)
        finally:
            self._of_step = None

    def _apply_unscaled(self, grads, trainable_variables):
        if self.loss_scale_factor is None:
            return super().apply(grads, trainable_variables)
        # Keras divides by it what it takes for tensors, and gradients of rows are none.
        factor, self.loss_scale_factor = self.loss_scale_factor, None
        try:
            return super().apply([_divided(gradient, factor) for gradient in grads], trainable_variables)
        finally:
            self.loss_scale_factor = factor

    def update_step(self, gradient, variable, learning_rate):
        rows = gradient.indices.shape[0] if isinstance(gradient, tf.IndexedSlices) else None
        if rows is None or rows >= variable.shape[0]:
            self._update_all(tf.convert_to_tensor(gradient), variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        momentum, velocity, visits = (state[index].value for state in (self._momentums, self._velocities, self._visits))
        indices, gradient = _sum_duplicates(gradient)

        def of_row(scalar):
            return tf.reshape(scalar, [-1] + [1] * (len(variable.shape) - 1))

        visit = tf.gather(visits, indices) + 1
        m = tf.gather(momentum, indices)
        m += (gradient - m) * (1 - self.beta_1)
        v = tf.gather(velocity, indices)
        v += (tf.square(gradient) - v) * (1 - self.beta_2)
        scale = tf.cast(learning_rate, tf.float32) * tf.sqrt(1 - self.beta_2**visit) / (1 - self.beta_1**visit)
        step = of_row(tf.cast(scale, m.dtype)) * m / (tf.sqrt(v) + self.epsilon)
        row = tf.gather(variable, indices)
        for target, value in ((visits, visit), (momentum, m), (velocity, v), (variable, row - step)):
            target.scatter_update(tf.IndexedSlices(value, indices))

    def _update_all(self, gradient, variable, learning_rate):
        """Adam by TensorFlow's own kernel: Keras's numbers up to rounding, in one pass over the memory, not ten."""
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index].value.handle, self._velocities[index].value.handle
        dtype = variable.dtype
        # The same numbers for all variables; each device has its own, which need not wait for another's.
        numbers = once(
            self._of_step or types.SimpleNamespace(),
            (dtype, variable.device),
            lambda: self._numbers(learning_rate, dtype),
        )
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,  # a TensorFlow variable: Keras has unwrapped it
            m=momentum,
            v=velocity,
            grad=tf.cast(gradient, dtype),
            **numbers,
        )

    def _numbers(self, learning_rate, dtype):
        """What Adam's kernel takes beside tensors of a variable."""
        step = tf.cast(self.iterations + 1, dtype)
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        return {
            "beta1_power": beta_1**step,
            "beta2_power": beta_2**step,
            "lr": tf.cast(learning_rate, dtype),
            "beta1": beta_1,
            "beta2": beta_2,
            "epsilon": tf.constant(self.epsilon, dtype),
        }

    def _clip_gradients(self, grads):
        if not self.global_clipnorm:
            return super()._clip_gradients(grads)
        # Keras's own would turn sparse gradients into dense ones.
        # Of a target in float64, what layers share is in float32: their norms are summed in one type.
        given = [grad for grad in grads if grad is not None]
        norm = None
        if len({grad.dtype for grad in given}) > 1:
            norm = tf.norm(tf.stack([tf.cast(tf.norm(getattr(grad, "values", grad)), tf.float32) for grad in given]))
        return tf.clip_by_global_norm(grads, self.global_clipnorm, use_norm=norm)[0]


@keras.saving.register_keras_serializable(package="cvhn_tf")
class HoldThenDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that holds for the first half of the training, then falls linearly to zero.

    Weights that carry nothing must travel to zero, which takes a learning rate that stays large; then those that are
    kept must settle.

    Args:
        learning_rate: Learning rate of the first half, positive.
        total_steps: Number of training steps, positive.

    Raises:
        ValueError: If an argument is not positive.
    """

    def __init__(self, learning_rate, total_steps):
        for name, value in (("learning_rate", learning_rate), ("total_steps", total_steps)):
            check_positive(name, value)
        self.learning_rate, self.total_steps = learning_rate, total_steps

    def __call__(self, step):
        left = 1 - tf.cast(step, tf.float32) / self.total_steps
        return self.learning_rate * tf.clip_by_value(2 * left, 0.0, 1.0)

    def get_config(self):
        return {"learning_rate": self.learning_rate, "total_steps": self.total_steps}


@keras.saving.register_keras_serializable(package="cvhn_tf")
class GrowThenDecay(HoldThenDecay):
    """A learning rate that grows quadratically over the first half of the training, then falls linearly to zero.

    It is for trained weights, where the whole network counts from the first epoch on. Their gradients are near zero,
    and Adam makes steps as large of them as of any: at a rate for new weights it scatters them before the loss says
    so. Small steps first let the loss hold them.

    Args:
        learning_rate: Largest learning rate, positive.
        total_steps: Number of training steps, positive.

    Raises:
        ValueError: If an argument is not positive.
    """

    def __call__(self, step):
        gone = 2 * tf.cast(step, tf.float32) / self.total_steps
        return super().__call__(step) * tf.square(tf.minimum(gone, 1.0))


def default_optimizer(total_steps: float, learning_rate: float | None = None, *, pretrained: bool = False) -> PivotAdam:
    """`PivotAdam` with a learning rate that holds for half of the training and then falls linearly to zero.

    Args:
        total_steps: Number of training steps: epochs times batches per epoch.
        learning_rate: Largest learning rate; 0.003 by default. Where `pretrained`, trainings of fewer than 300
            steps have a smaller one, in proportion: what large steps break takes as many to mend.
        pretrained: Whether the target's weights are trained: the learning rate then grows from zero over the first
            half, quadratically.

    Raises:
        ValueError: If `total_steps` or `learning_rate` is not positive, or `pretrained` not True or False.
    """
    schedule = GrowThenDecay if check_truth("pretrained", pretrained) else HoldThenDecay
    if learning_rate is None:
        learning_rate = 3e-3 * (min(1.0, check_positive("total_steps", total_steps) / 300) if pretrained else 1.0)
    return PivotAdam(schedule(learning_rate, total_steps))


def _divided(gradient, factor):
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values / factor, gradient.indices, gradient.dense_shape)
    return gradient if gradient is None else gradient / factor


def _sum_duplicates(slices):
    """Gives slices of equal index the same summed value: their updates are then equal, and order does not matter."""
    rows = slices.indices.shape[0]
    if rows == 2:  # two neighbouring pivots, never equal
        return slices.indices, slices.values
    same = tf.cast(slices.indices[:, None] == slices.indices[None, :], slices.values.dtype)
    values = tf.matmul(same, tf.reshape(slices.values, [rows, -1]))
    return slices.indices, tf.reshape(values, tf.shape(slices.values))
