"""Gradients of several replicas, summed before anything else is done with them."""

import tensorflow as tf


def sum_gradients(gradients, variables) -> list:
    """Each gradient summed over all replicas, in one message for those that are dense.

    Rows of a variable that the same λs select on every replica (`rows_follow_complexity`) are summed row by row;
    other `tf.IndexedSlices` are lined up.

    Args:
        gradients: List of tensors, `tf.IndexedSlices` or None, in the context of a replica.
        variables: List of the `keras.Variable`s they belong to.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return gradients
    has_common_rows = [
        isinstance(gradient, tf.IndexedSlices) and getattr(variable, "rows_follow_complexity", False)
        for gradient, variable in zip(gradients, variables, strict=True)
    ]
    sent = [g.values if common else g for g, common in zip(gradients, has_common_rows, strict=True)]
    sums = iter(replica.all_reduce(tf.distribute.ReduceOp.SUM, [g for g in sent if g is not None]))
    received = [None if g is None else next(sums) for g in sent]
    return [
        tf.IndexedSlices(total, g.indices, g.dense_shape) if common else total
        for total, g, common in zip(received, gradients, has_common_rows, strict=True)
    ]


class SumsGradientsFirst:
    """Makes a Keras optimizer sum the replicas' gradients before it clips them, as one replica would.

    Keras clips the part of each replica by itself, so that steps would depend on how many replicas there are.
    """

    def apply(self, grads, trainable_variables=None):
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        super().apply(sum_gradients(list(grads), variables), trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars
