"""Files written whole or not at all."""

import contextlib
import glob
import os


@contextlib.contextmanager
def replacing(path):
    """Gives a temporary path beside `path`, and moves the file there once it is complete and on the disk.

    Args:
        path: `pathlib.Path` of the file to write.
    """
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path):
    """Removes what processes of this machine left behind that were killed while they wrote `path`."""
    for leftover in path.parent.glob(f".{glob.escape(path.stem)}-*{glob.escape(path.suffix)}"):
        process = leftover.stem.rpartition("-")[2]
        if process.isdecimal() and not _is_running(int(process)):
            leftover.unlink(missing_ok=True)


def _is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's, for one
        return True
    return True
