"""How an app has to scale images, in the block that MediaPipe's tasks read, and the names of classes behind the file.

Reference: MediaPipe's `metadata_schema.fbs`, whose tables are made here field by field: MediaPipe is large, and its own
writers of some versions cannot be imported.
"""

import io
import zipfile

import flatbuffers

NAME = b"TFLITE_METADATA"
LABELS = "labels.txt"
# Places of fields in the tables, and numbers of enumerations and unions.
_RGB = 1
_IMAGE_PROPERTIES = 2
_NORMALIZATION_OPTIONS = 1
_AXIS_LABELS = 2
_FIRST_DAY_OF_ZIP = (1980, 1, 1, 0, 0, 0)


def image_metadata(mean: float, stddev: float, with_labels: bool) -> bytes:
    """The block of a model of one RGB image and one vector of scores.

    Args:
        mean: What is subtracted from the pixels' values of 0 to 255.
        stddev: What they are divided by then.
        with_labels: Whether the file `labels.txt` behind the model names the classes.
    """
    builder = flatbuffers.Builder()
    normalization = _table(builder, [(0, _floats(builder, [mean])), (1, _floats(builder, [stddev]))])
    unit = _table(builder, [(1, normalization)], [(0, _NORMALIZATION_OPTIONS)])
    properties = _table(builder, [], [(0, _RGB)])
    content = _table(builder, [(1, properties)], [(0, _IMAGE_PROPERTIES)])
    source = [(0, builder.CreateString("image")), (3, content), (4, _tables(builder, [unit]))]
    source = _table(builder, source)
    made = [(0, builder.CreateString("probability"))]
    if with_labels:
        file = _table(builder, [(0, builder.CreateString(LABELS))], [(2, _AXIS_LABELS)])
        made.append((6, _tables(builder, [file])))
    made = _table(builder, made)
    graph = _table(builder, [(2, _tables(builder, [source])), (3, _tables(builder, [made]))])
    model = [(3, _tables(builder, [graph])), (7, builder.CreateString("1.0.0"))]
    builder.Finish(_table(builder, model), b"M001")
    return bytes(builder.Output())


def files_behind(content: bytes) -> dict[str, bytes]:
    """The files in a zip archive behind a TFLite file, by name."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_files(content: bytes, files: dict[str, bytes]) -> bytes:
    """A TFLite file with a zip archive behind it, where MediaPipe looks for them; itself if there are none."""
    if not files:
        return content
    whole = io.BytesIO(content)
    with zipfile.ZipFile(whole, "a") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _FIRST_DAY_OF_ZIP), data)
    return whole.getvalue()


def _table(builder, offsets, numbers=()):
    """A table of references and of bytes, each with the place of its field."""
    builder.StartObject(1 + max(place for place, _ in (*offsets, *numbers)))
    for place, offset in offsets:
        builder.PrependUOffsetTRelativeSlot(place, offset, 0)
    for place, number in numbers:
        builder.PrependUint8Slot(place, number, 0)
    return builder.EndObject()


def _tables(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _floats(builder, values):
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return builder.EndVector()
