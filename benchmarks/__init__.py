"""The scripts behind the figures of docs/results.md; what they have measured lies beside them, in results/.

Each is run from the repository's root, such as `python -m benchmarks.speed.step_time --help`. The rooms: `accuracy`,
what networks and files are worth; `published`, the experiments that the method was published with; `speed`, time and
memory; `robustness`, what breaks under kills, damaged files and random networks. `machine.py` says what figures were
measured on.
"""
