"""The command line of cvhn-tf: the one place that knows both `cvhn_tf` and `cvhn_tf.export`.

A package beside `cvhn_tf`, since importing anything inside `cvhn_tf` imports TensorFlow first.
"""
