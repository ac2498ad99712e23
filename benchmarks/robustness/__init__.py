"""What must not happen, tried many times: other ends after a kill, wrong files, wrong bytes, memory that stays.

A number of tries and a seed go in, counts of outcomes come out; the exit status is 1 if anything came out wrong. Begin
with `kills.py`; the fuzzers share `fuzz_report.py`, and `random_networks.py` with the tests.
"""
