"""What keeps TensorFlow from tracing a training step twice.

A function that makes variables while it is traced is traced once more, which for a large target takes as long as many
steps. On one device Keras makes the optimizer's moments and the compiled metrics there.
"""

import keras
import tensorflow as tf

from cvhn_tf.training.distribution import DistributedModel


class TracedOnce(DistributedModel):
    """A model that has its moments and compiled metrics before TensorFlow traces a step, where it runs on one device.

    A subclass gives `_generated_outputs`, the structure of `keras.KerasTensor` that its calls return.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if self._distribute_strategy is None:
            build_compiled_metrics(self, self._generated_outputs, iterator, data_batch)
        super()._maybe_symbolic_build(iterator, data_batch)

    def make_train_function(self, force=False):
        if self._distribute_strategy is None and self.optimizer is not None:
            build_optimizer(self)
        super().make_train_function(force)


def build_optimizer(model):
    """Makes the moments of an optimizer that has none; that of half precision would forget its scale of losses."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def build_compiled_metrics(model, outputs, iterator=None, data_batch=None):
    """Makes the variables of compiled losses and metrics, if the shapes of the targets are known before the data is.

    Args:
        model: Compiled `keras.Model`.
        outputs: Structure of `keras.KerasTensor`, its outputs.
        iterator: Keras's iterator over the data of `fit` or `evaluate`; nothing is taken from it.
        data_batch: Instead of it: the arrays (x, y, sample_weight) of one batch.
    """
    if data_batch is None:
        data_batch = getattr(getattr(iterator, "_distributed_dataset", None), "element_spec", None)
    if not isinstance(data_batch, tuple) or len(data_batch) < 2 or data_batch[1] is None:
        return
    y = data_batch[1]
    if not all(map(_is_batch, keras.tree.flatten(y))):
        return
    y = keras.tree.map_structure(lambda part: keras.KerasTensor(tuple(part.shape), dtype="float32"), y)
    names = getattr(model, "output_names", None)
    if isinstance(outputs, list | tuple) and isinstance(y, dict) and names and set(names) == set(y):
        y = [y[name] for name in names]  # Keras does so too, but in calls only
    try:
        keras.tree.assert_same_structure(y, outputs)
    except ValueError:
        return  # what else Keras makes fit, it does when it is called
    for compiled in (model._compile_loss, model._compile_metrics):
        if compiled is not None and not compiled.built:
            compiled.build(y, outputs)


def _is_batch(part):
    """Whether it is known to have a first axis; Keras itself refuses what has none."""
    shape = getattr(part, "shape", None)
    return shape is not None and bool(tf.TensorShape(shape).rank)
