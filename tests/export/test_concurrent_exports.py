"""Exports at the same time, from threads and from processes: files are those of exports one after the other."""

import concurrent.futures
import logging
import os
import sys
import time

import pytest
from places import PROGRAMS
from programs.forked import Program

from cvhn_tf.export.verification.quiet import native_stderr_off

sys.path.append(str(PROGRAMS))
from export_files import ALL_TO, JOBS, export_at_once, make_file, name_of


@pytest.fixture
def model(compiled, data):
    model = compiled(seed=0)
    model.fit(*data, batch_size=8, epochs=10, verbose=0)
    return model


@pytest.fixture
def one_after_the_other(model):
    files = {name_of(job): make_file(model, *job).content for job in JOBS}
    assert len(set(files.values())) == len(JOBS)
    return files


def streams():
    """What prints and notices go to, and which of TensorFlow's notices are made."""
    error = os.fstat(2)
    return sys.stdout, sys.stderr, (error.st_dev, error.st_ino), logging.getLogger("tensorflow").level


@pytest.mark.long
def test_threads_make_the_files_of_one_thread_and_leave_the_terminal_as_it_was(model, one_after_the_other, tmp_path):
    before = streams()
    export_at_once(model, tmp_path, threads=4)
    assert streams() == before
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert files.pop(ALL_TO) in one_after_the_other.values()
    assert files == one_after_the_other


def test_processes_and_threads_make_the_same_files_and_one_path_always_holds_a_whole_one(
    model, one_after_the_other, tmp_path
):
    model.save(tmp_path / "model.keras")
    shared = tmp_path / "shared"
    shared.mkdir()
    processes = [Program(PROGRAMS / "export_files.py", tmp_path / "model.keras", shared) for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reads, threads = 0, None
        while any(process.poll() is None for process in processes) or not (threads is None or threads.done()):
            time.sleep(0.001)
            if (shared / ALL_TO).exists():
                # This process exports while the others do.
                threads = threads or pool.submit(export_at_once, model, shared)
                assert (shared / ALL_TO).read_bytes() in one_after_the_other.values()
                reads += 1
    for process in processes:
        errors = process.communicate()[1]
        assert process.returncode == 0, errors
    threads.result()
    assert reads > 0
    files = {path.name: path.read_bytes() for path in shared.iterdir()}
    assert files.pop(ALL_TO) in one_after_the_other.values()
    assert files == one_after_the_other


def test_standard_error_comes_back_with_the_last_thread_that_turned_it_off(capfd):
    """Threads that leave in the order in which they came, which is not how contexts of one thread nest."""
    first, second = native_stderr_off(), native_stderr_off()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    os.write(2, b"while one is at work")
    second.__exit__(None, None, None)
    os.write(2, b"afterwards")
    assert capfd.readouterr().err == "afterwards"
