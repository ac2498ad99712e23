"""What may lie in a `.keras` file, known from its table of contents before Keras reads any of it."""

import json
import pathlib
import zipfile
import zlib

import keras

from cvhn_tf.checks.errors import first_line

_MEMBERS = ("config.json", "metadata.json", "model.weights.h5", "run.json")
# Keras stores members as they are; a file that was compressed since may expand by so much.
_LARGEST_EXPANSION = 20


def check_archive(path, model_class=None) -> None:
    """Raises a `ValueError` unless a file is an archive such as Keras writes, of members that fit their size on disk.

    It holds a config, metadata, weights as HDF5 and the assets of layers, none of them with a path that leads out of
    the folder that it is unpacked to, none twice, and nothing that expands to much more than the file.

    Args:
        path: `pathlib.Path` of the file.
        model_class: Class that the config must name, or one derived from it; any by default.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive)
            config = json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(first_line(error)) from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"no whole archive, {first_line(error)}") from error
    if model_class is not None:
        _check_class(config, model_class)


def _check_members(archive):
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise ValueError("an archive that holds a member twice")
    for member in members:
        parts = pathlib.PurePosixPath(member.filename.replace("\\", "/")).parts
        is_asset = parts[:1] == ("assets",) and ".." not in parts and ":" not in member.filename
        if member.filename not in _MEMBERS and not is_asset:
            raise ValueError(f"an archive with a member {member.filename!r}, which Keras does not write")
        if member.file_size > _LARGEST_EXPANSION * max(member.compress_size, 1000):
            raise ValueError(
                f"an archive whose member {member.filename!r} expands from {member.compress_size:,} bytes "
                f"to {member.file_size:,}"
            )


def _check_class(config, model_class):
    named = config.get("class_name") if isinstance(config, dict) else None
    registered = config.get("registered_name") if isinstance(config, dict) else None
    found = keras.saving.get_registered_object(registered) if isinstance(registered, str) else None
    if not (isinstance(found, type) and issubclass(found, model_class)):
        raise ValueError(f"an archive that holds a {named}")
