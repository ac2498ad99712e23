"""The work behind the commands, imported with TensorFlow once their options are good.

Checked options come in; models, files and tables go out. A module for each command of the same name; beside
them `budget.py`, the part of `export` that searches, `model_card.py`, `saving.py` and `strategies.py`. Begin with
`train.py`.
"""
