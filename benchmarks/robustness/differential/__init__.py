"""A hypernetwork with next to no noise against its target, trained side by side by plain Keras.

What makes the two the same: stddevs of 1e-7, a KL whose weight grows from 0 over 10⁹ steps, one set of weights for all
complexities, and complexities of some 1e-9, since gradients are divided by 1 + λ. What differs on purpose, or by a
fault of Keras's own, is not drawn:

- Regularizers of weights have no effect; constraints, regularizers of activities and stateful layers are refused.
- More complexities than one in a step share its batch out: losses that layers add, and dropout, see parts of it.
- Where Keras chooses the seed of a dropout, each copy has another one; here all seeds are given.
- Weight decay acts on the logarithms of stddevs too.
- `global_clipnorm` with embeddings: Keras takes the norm of the rows of their gradients before it adds those of one
  word. With variables of two dtypes it fails.
- Losses that layers add in half precision: Keras cannot add them to the others.
- Spatial dropout in mixed precision: its config holds the dtype of variables in the place of the policy.
- The accuracy in half precision, where the classes of nearly the same probability may change places.

A function that draws from hypothesis's strategies goes in, differences come out as an `AssertionError`. Begin with
`cases.py`; `targets.py` puts the target together of the layers of `blocks.py` and `own_layers.py`, and `comparison.py`
compares.
"""
