"""Runs programs in processes forked from one that has imported the package: to import it takes longer than most run.

python forks.py STAGES: a JSON list of stages, one after the other, each a list of programs with their arguments that
run at the same time: as workers that know of each other by TF_CONFIG if there are several. What a program prints goes
to a file `output.txt` in the folder that is its last argument.
"""

import json
import os
import pathlib
import runpy
import sys

import cvhn_tf.export  # noqa: F401 (of which nothing has run yet, so the process can be forked)

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from benchmarks.speed.local_workers import worker_configs


def fork(command, config):
    """The number of a new process that runs a command of a Python program."""
    if process := os.fork():
        return process
    folder = pathlib.Path(command[-1])
    folder.mkdir(parents=True, exist_ok=True)
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(output, stream)
    if config is not None:
        os.environ["TF_CONFIG"] = config
    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")
    sys.exit()


for stage in json.loads(sys.argv[1]):
    configs = worker_configs(len(stage)) if len(stage) > 1 else [None]
    processes = [fork(*started) for started in zip(stage, configs, strict=True)]
    statuses = [os.waitpid(process, 0)[1] for process in processes]
    if any(statuses):
        sys.exit(f"Of {stage} the processes have ended with {statuses}")
