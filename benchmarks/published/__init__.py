"""The experiments that the method was published with, rerun, beside the figures of its authors.

Begin with `paper.py`: `training.py` makes one of its trainings, `report.py` and `plot.py` the table and the picture.
The authors' figures are `authors_*.csv`; `authors_torch.py` is their way of training, to compare the speed with.
"""
