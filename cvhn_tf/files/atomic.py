"""Files written whole or not at all."""

import contextlib
import glob
import os
import pathlib
import secrets


@contextlib.contextmanager
def replacing(path):
    """Gives a temporary path beside `path`, and moves the file there once it is complete and on the disk.

    Args:
        path: Path of the file to write.

    Raises:
        OSError: If the folder is missing or cannot be written to, or `path` is a folder or a
            device. Where there was a file, it is as it was.
    """
    path = pathlib.Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Expected a path in a folder that exists. Received: path={str(path)!r}")
    if path.is_dir():
        raise IsADirectoryError(f"Expected the path of a file. Received: path={str(path)!r}, which is a folder")
    if path.exists() and not path.is_file():  # to rename onto /dev/null would take it from the machine
        raise OSError(f"Expected the path of a file. Received: path={str(path)!r}, which is a device or a pipe")
    # A name that no other thread has and nobody can guess, ending in the process that `remove_leftovers` asks for.
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}-{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path, content: bytes) -> pathlib.Path:
    """Writes bytes to a file whole or not at all, as `replacing` does.

    Returns:
        The path.
    """
    path = pathlib.Path(path)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def remove_leftovers(path):
    """Removes what processes of this machine left behind that were killed while they wrote `path`."""
    for leftover in path.parent.glob(f".{glob.escape(path.stem)}-*{glob.escape(path.suffix)}"):
        process = leftover.stem.rpartition("-")[2]
        if process.isdecimal() and not _is_running(int(process)):
            leftover.unlink(missing_ok=True)


def _sync_folder(folder):
    """Puts the new name on the disk too, where the system can: a rename alone may be lost with the power."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's, for one
        return True
    return True
