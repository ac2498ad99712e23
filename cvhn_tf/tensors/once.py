"""What many weights have in common, computed once in a graph: to trace an operation takes longer than to run it."""

import tensorflow as tf


def once(owner, key, make):
    """`make()`, the same for an owner and a key wherever one graph asks for it.

    Within a graph alone: what is computed at once may be watched by another tape the next time.

    Args:
        owner: What the result depends on and lives as long as, such as a tensor: any object that takes attributes.
        key: Hashable; what the result depends on besides.
        make: Function without arguments.
    """
    if tf.executing_eagerly():
        return make()
    made = vars(owner).setdefault("_made_once", {})
    graph = tf.compat.v1.get_default_graph()  # branches and loops are graphs of their own, closed to those around them
    of_graph = id(graph), key
    if of_graph not in made:
        made[of_graph] = graph, make()  # the graph stays, since ids are used again
    return made[of_graph][1]
