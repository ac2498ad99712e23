"""Peers from tensorflow-model-optimization: `jobs.py` gives a network what `process.py` trains in legacy Keras."""
