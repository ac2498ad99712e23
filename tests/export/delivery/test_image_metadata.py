"""How images are scaled and what the classes are called, where MediaPipe reads it."""

import dataclasses
import io
import struct
import zipfile

import flatbuffers
import keras
import numpy as np
import pytest
from flatbuffers import encode, number_types
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.tflite.flatbuffer import parse


@pytest.fixture(scope="module")
def artifact():
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, 2), layers.Flatten(), layers.Dense(3, "softmax")]
    )
    return export.to_tflite(network)


class Table:
    """A table of a flatbuffer, read by the places of its fields."""

    def __init__(self, data, position=None):
        if position is None:
            position = encode.Get(number_types.UOffsetTFlags.packer_type, data, 0)
        self.table = flatbuffers.table.Table(data, position)

    def _at(self, place):
        return self.table.Pos + self.table.Offset(4 + 2 * place)

    def table_at(self, place):
        return Table(self.table.Bytes, self.table.Indirect(self._at(place)))

    def tables_at(self, place):
        offset = self.table.Offset(4 + 2 * place)
        start = self.table.Vector(offset)
        return [
            Table(self.table.Bytes, self.table.Indirect(start + 4 * i)) for i in range(self.table.VectorLen(offset))
        ]

    def text_at(self, place):
        return self.table.String(self._at(place)).decode()

    def byte_at(self, place):
        return self.table.Bytes[self._at(place)]

    def floats_at(self, place):
        offset = self.table.Offset(4 + 2 * place)
        start, count = self.table.Vector(offset), self.table.VectorLen(offset)
        return list(struct.unpack_from(f"<{count}f", self.table.Bytes, start))


def block_of(content):
    model = parse(content)
    (data,) = [bytes(model.buffers[e.buffer].data) for e in model.metadata if e.name == b"TFLITE_METADATA"]
    return data


def test_block_says_how_pixels_are_scaled_and_which_file_has_the_labels(artifact):
    annotated = export.annotate(artifact, labels=["a", "b", "ç"], normalization=(127.5, 60))
    data = block_of(annotated.content)
    assert data[4:8] == b"M001"
    (graph,) = Table(data).tables_at(3)
    (image,), (scores,) = graph.tables_at(2), graph.tables_at(3)
    (unit,) = image.tables_at(4)
    assert unit.byte_at(0) == 1  # normalization
    assert unit.table_at(1).floats_at(0) == [127.5] and unit.table_at(1).floats_at(1) == [60.0]
    assert image.table_at(3).byte_at(0) == 2 and image.table_at(3).table_at(1).byte_at(0) == 1  # an image, RGB
    (file,) = scores.tables_at(6)
    assert file.text_at(0) == "labels.txt" and file.byte_at(2) == 2  # labels along an axis
    with zipfile.ZipFile(io.BytesIO(annotated.content)) as archive:
        assert archive.read("labels.txt").decode().split("\n") == ["a", "b", "ç"]
    assert annotated.metadata["normalization"] == {"mean": 127.5, "stddev": 60.0}
    assert export.read_metadata(annotated)["labels"] == ["a", "b", "ç"]


def test_files_behind_a_model_outlive_another_annotation(artifact):
    whole = io.BytesIO(artifact.content)
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr("vocabulary.txt", "one\ntwo")
        archive.writestr("labels.txt", "old")
    content = whole.getvalue()
    given = dataclasses.replace(artifact, content=content)
    plain = export.annotate(given, complexity=1.0)
    with zipfile.ZipFile(io.BytesIO(plain.content)) as archive:
        assert archive.read("vocabulary.txt") == b"one\ntwo" and archive.read("labels.txt") == b"old"
    scaled = export.annotate(given, labels=["a", "b", "c"], normalization=(0, 255))
    with zipfile.ZipFile(io.BytesIO(scaled.content)) as archive:
        assert archive.namelist() == ["vocabulary.txt", "labels.txt"] and archive.read("labels.txt") == b"a\nb\nc"
    again = export.annotate(scaled, complexity=2.0)  # which tells no normalization any more
    assert again.metadata.get("normalization") is None
    assert all(entry.name != b"TFLITE_METADATA" for entry in parse(again.content).metadata)
    with zipfile.ZipFile(io.BytesIO(again.content)) as archive:
        assert archive.namelist() == ["vocabulary.txt"]


def test_equal_files_have_equal_bytes(artifact):
    files = [export.annotate(artifact, labels=["a", "b", "c"], normalization=(0, 255)).content for _ in range(2)]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "normalization", [1.0, (1e39, 1), (0, 1e-50), (0, 0), (0, -1), (np.nan, 1), ([1, 2, 3], [1, 1, 1]), "ab", (1, 2, 3)]
)
def test_normalization_that_is_none_is_refused(normalization, artifact):
    with pytest.raises(ValueError, match=r"Expected `normalization` to be a pair .* Received: normalization="):
        export.annotate(artifact, normalization=normalization)


def test_normalization_is_for_networks_of_one_image():
    network = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"one RGB image and scores of several classes.* of shape \[1, 3\]"):
        export.annotate(export.to_tflite(network), normalization=(0, 255))
    grey = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match="one RGB image"):
        export.annotate(export.to_tflite(grey), normalization=(0, 255))


def test_labels_of_several_lines_are_refused(artifact):
    with pytest.raises(ValueError, match="`labels` of a line each"):
        export.annotate(artifact, labels=["a", "b\nc", "d"], normalization=(0, 255))
