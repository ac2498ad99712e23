"""Python programs in processes forked from one that has imported the package: to import it takes longer than most run.

What a process is like that has to import the package itself is tested in `test_processes.py` and `test_saved_files.py`.
"""

import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["cvhn_tf.export"])  # of which nothing has run, so that the process can be forked


class Program:
    """What tests use of `subprocess.Popen`, of a program and its arguments: `-m MODULE …`, `-c CODE …` or `PATH …`."""

    def __init__(self, *command, cwd=".", **environment):
        self._streams = [tempfile.NamedTemporaryFile() for _ in range(2)]  # noqa: SIM115 (until this is forgotten)
        command = [str(part) for part in command]
        names = [stream.name for stream in self._streams]
        arguments = (command, pathlib.Path(cwd).absolute(), {**os.environ, **environment}, names)
        self._process = CONTEXT.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        self.sentinel, self.kill, self.terminate = self._process.sentinel, self._process.kill, self._process.terminate

    @property
    def returncode(self):
        return self._process.exitcode

    poll = returncode.fget

    def communicate(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("program", timeout)
        return [pathlib.Path(stream.name).read_text() for stream in self._streams]


def check(*command, **options):
    """What a program prints, once it has ended well."""
    program = Program(*command, **options)
    stdout, stderr = program.communicate()
    assert program.returncode == 0, stderr
    return stdout


def _run(command, folder, environment, streams):
    for number, name in enumerate(streams, 1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    kind, *rest = command
    if kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(rest[0], {"__name__": "__main__"})
    else:
        sys.argv = command
        runpy.run_path(kind, run_name="__main__")
