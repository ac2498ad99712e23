"""Files of this package in the programs that run TFLite files: what `make test-clients` does.

`networks.py` and `files.py` make the files, `table.py` has the clients, `environments.py` installs them below
build/clients, `runs.py` runs the files by the scripts of `runners/`, and `report.py` writes docs/clients.md.
"""
