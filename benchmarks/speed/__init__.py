"""Time and memory: of a training step, of large targets, of several workers, of a comparison.

A target goes in, times come out, each beside what it is compared with, which takes turns with it. Begin with
`step_time.py`; what it measures is in `step_time_variants.py`.
"""
