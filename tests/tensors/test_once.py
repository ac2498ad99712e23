import tensorflow as tf

from cvhn_tf.tensors.once import once


def test_one_graph_makes_it_once_and_a_branch_has_its_own():
    made = []

    @tf.function(autograph=False)
    def function(x):
        def ask(key=1):
            return once(x, key, lambda: (made.append(key), x + key)[1])

        assert ask() is ask()
        return ask() + ask(10) + tf.cond(x > 0, ask, lambda: x)

    for x, expected in ((2.0, 3 + 12 + 3), (-2.0, -1 + 8 - 2)):
        assert float(function(tf.constant(x))) == expected
    assert made == [1, 10, 1]


def test_outside_of_graphs_it_is_made_each_time_so_that_every_tape_sees_it():
    x = tf.constant(3.0)
    for _ in range(2):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = once(x, "square", lambda: x * x)
        assert float(tape.gradient(y, x)) == 6.0
