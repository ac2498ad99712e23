"""Accuracy beside bytes: of networks, of files, and of what other methods make of the same target.

A data set and a target go in, a table of accuracies and sizes comes out. Begin with `mnist.py`, whose model `finetune`,
`encodings` and `packing` take; `compression` has the peers beside it, `regret` the networks of one complexity each.
"""
