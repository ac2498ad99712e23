"""What no file can be made of, and what no file is, is refused by an error that names it. Nothing is written."""

import json
import os
import types
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import cvhn_tf
from cvhn_tf import export

NAN = float("nan")
PROBABILITIES = np.full((3, 2), 0.5)


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """What the rows below are about. No row may change any of it, nor any file in its folder."""
    folder = tmp_path_factory.mktemp("bad")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 8)).astype("float32"), np.arange(64) % 3
    nan_x = x.copy()
    nan_x[3, 2] = NAN
    network = keras.Sequential(
        [keras.Input((8,), name="pixels"), layers.Dense(16, "relu"), layers.Dense(3, "softmax")], name="target"
    )
    model = cvhn_tf.VariationalHypernetwork(network)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    broken = cvhn_tf.VariationalHypernetwork(network)
    broken.trainable_variables[0].assign(broken.trainable_variables[0] * NAN)
    broken_network = keras.models.clone_model(network)
    broken_network.layers[0].bias.assign(np.full(16, np.inf))
    artifact = export.to_tflite(network)

    model.save(folder / "model.keras")
    network.save(folder / "plain.keras")
    content = (folder / "model.keras").read_bytes()
    (folder / "half.keras").write_bytes(content[: len(content) // 2])
    (folder / "text.keras").write_text("no model")
    (folder / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    artifact.save(folder / "network.tflite")
    (folder / "half.tflite").write_bytes(artifact.content[: len(artifact.content) // 2])
    packed = export.pack(model, 1.0, 0.5)
    packed.save(folder / "network.cvhn")
    (folder / "half.cvhn").write_bytes(packed.content[:-7])
    (folder / "empty").write_bytes(b"")
    with zipfile.ZipFile(folder / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    write_archive(folder / "traversal.keras", members | {"assets/../../evil.txt": b"evil"})
    write_archive(folder / "absolute.keras", members | {"/evil.txt": b"evil"})
    write_archive(folder / "foreign.keras", members | {"code.py": b"print(1)"})
    write_archive(folder / "bomb.keras", members | {"assets/bomb": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    write_archive(folder / "weightless.keras", {n: b for n, b in members.items() if not n.endswith(".h5")})
    write_archive(folder / "configless.keras", {n: b for n, b in members.items() if n != "config.json"})
    config = json.loads(members["config.json"])
    other_class = config | {"module": "keras.layers", "class_name": "Dense", "registered_name": "Dense"}
    write_archive(folder / "dense.keras", members | {"config.json": json.dumps(other_class).encode()})
    function = config | {"module": "os", "class_name": "system", "registered_name": "system", "config": "ls"}
    write_archive(folder / "function.keras", members | {"config.json": json.dumps(function).encode()})
    return types.SimpleNamespace(**locals(), data=(x, y))


def write_archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def dataset_of(world, count):
    return tf.data.Dataset.from_tensor_slices((world.x[:count], world.y[:count])).batch(8)


STAGES = [
    (lambda w: export.prune(w.model, 1.0, -0.1), "`sparsity`.*-0.1"),
    (lambda w: export.finetune(w.model, w.data), r"`model`.*made by `at\(complexity\)`.*a hypernetwork"),
    (lambda w: export.finetune(w.network, (w.x, np.eye(3)[w.y])), r"sparse loss.*\(64, 3\).*argmax"),
    (lambda w: export.to_tflite(w.network, "float32"), "None is float32.*quantization='float32'"),
    (lambda w: export.compare(w.model, w.data, quantizations=["float32"]), "`quantizations`.*None is float32"),
    (lambda w: export.compare(w.model, w.data, sparsities=[2]), "`sparsities`.*sparsities=2"),
    (lambda w: export.prune(w.model, 1.0, 1.0), "`sparsity`.*1.0"),
    (lambda w: export.prune(w.model, 1.0, NAN), "`sparsity`.*nan"),
    (lambda w: export.prune(w.model, 1.0, "half"), "`sparsity`.*'half'"),
    (lambda w: export.prune(w.model, 1.0, 0.5, 1.0), "`sparsity` and `snr_threshold`.*0.5"),
    (lambda w: export.prune(w.model, 1.0), "`sparsity` and `snr_threshold`.*None"),
    (lambda w: export.prune(w.model, 1.0, snr_threshold=-1), "`snr_threshold`.*-1"),
    (lambda w: export.prune(w.model, 1.0, 0.5, scope="row"), "`scope`.*'row'"),
    (lambda w: export.prune(w.model, 1.0, 0.5, structure="row"), "`structure`.*'row'"),
    (lambda w: export.prune(w.model, 1e9, 0.5), r"complexity=1e\+09"),
    (lambda w: export.prune(w.network, 1.0, 0.5), "`model`.*Sequential"),
    (lambda w: export.prune(w.broken, 1.0, 0.5), "`model`.*NaN or infinity in 'dense.*/"),
    (lambda w: export.round_weights(w.model, 1.0, 0.5, bits=5), "`bits`.*5"),
    (lambda w: export.round_weights(w.model, 1.0, 0.5, step=0), "`step`.*0"),
    (lambda w: export.round_weights(w.broken, 1.0, 0.5), "`model`.*NaN or infinity in"),
    (lambda w: export.compact(None), "`keras_model`.*None"),
    (lambda w: export.compact(w.model), r"`keras_model`.*made by `at\(complexity\)`.*VariationalHypernetwork"),
    (lambda w: export.recalibrate(None, w.x), "`network`.*None"),
    (lambda w: export.recalibrate(w.network, w.x[:, :2]), r"`x`.*\(64, 2\)"),
    (lambda w: export.recalibrate(w.network, w.nan_x), "`x`.*NaN"),
    (lambda w: export.recalibrate(w.network, w.x, "many"), "`batch_size`.*'many'"),
    (lambda w: export.finetune(None, w.data), "Sequential.*None"),
    (lambda w: export.finetune(w.broken_network, w.data), "NaN or infinity in '.*dense.*/bias'"),
    (lambda w: export.finetune(w.network, w.data, epochs=0), "`epochs`.*0"),
    (lambda w: export.finetune(w.network, w.data, learning_rate=NAN), "`learning_rate`.*nan"),
    (lambda w: export.finetune(w.network, w.data, batch_size=0), "`batch_size`.*0"),
    (lambda w: export.finetune(w.network, w.data, loss="hinge loss"), "hinge loss"),
    (lambda w: export.finetune(w.network, 5), "`data`.*int"),
    (lambda w: export.finetune(w.network, (w.nan_x, w.y)), "`x`.*1 NaN"),
    (lambda w: export.finetune(w.network, (w.x[:, :3], w.y)), r"`x`.*\(64, 3\)"),
    (lambda w: export.finetune(w.network, (w.x, w.y + 9)), "`y`.*labels from 9 to 11"),
    (lambda w: export.to_tflite(None), "`keras_model`.*None"),
    (lambda w: export.to_tflite(w.model), r"`keras_model`.*made by `at\(complexity\)`.*VariationalHypernetwork"),
    (lambda w: export.to_tflite(Subclassed()), "`keras_model`.*Subclassed"),
    (lambda w: export.to_tflite(keras.Sequential([layers.Dense(2)])), "`keras_model`.*built=False"),
    (lambda w: export.to_tflite(w.broken_network), "`keras_model`.*NaN or infinity in '.*dense.*/bias'"),
    (lambda w: export.to_tflite(w.network, "int3"), "`quantization`.*'int3'"),
    (lambda w: export.to_tflite(w.network, ["int8"]), r"`quantization`.*\['int8'\]"),
    (lambda w: export.to_tflite(w.network, sparse="yes"), "`sparse`.*'yes'"),
    (lambda w: export.to_tflite(w.network, "int8"), "`representative_data`.*None"),
    (lambda w: export.to_tflite(w.network, "int8", "auto", w.x[:, :3]), r"`representative_data`.*\(64, 3\)"),
    (lambda w: export.to_tflite(w.network, "int8", "auto", w.x[:0]), r"`representative_data`.*\(0, 8\)"),
    (lambda w: export.to_tflite(w.network, "int8", "auto", w.nan_x), "`representative_data`.*NaN"),
    (lambda w: export.to_tflite(w.network, "int8", "auto", {"a": w.x}), r"`representative_data`.*\['a'\]"),
    (lambda w: export.smallest(None), "`keras_model`.*None"),
    (lambda w: export.smallest(w.network, max_accuracy_loss=2), "`max_accuracy_loss`.*2"),
    (lambda w: export.smallest(w.network, data=5), "`data`.*int"),
    (lambda w: export.smallest(w.network, data=(w.x, w.y[:3])), r"`data`.*\[64\] examples and 3"),
    (lambda w: export.pack(w.network, 1.0, 0.5), "`model`.*Sequential"),
    (lambda w: export.pack(w.model, 1.0, 0.5, step=0), "`step`.*0"),
    (lambda w: export.smallest_packed(w.network, w.data, 0.5), "`model`.*Sequential"),
    (lambda w: export.smallest_packed(w.model, w.data, NAN), "`min_accuracy`.*nan"),
    (lambda w: export.smallest_packed(w.model, w.data, 0.5, sparsities=[]), r"`sparsities`.*\[\]"),
    (lambda w: export.entropy_coded_size(w.model, 1.0, 0.5, data=5), "`data`.*int"),
    (lambda w: export.entropy_coded_size(w.model, 1.0, 0.5, data=(w.x, w.y + 3)), "`data`.*from 3 to 5"),
    (lambda w: export.compare(w.network, w.data), "`model`.*Sequential"),
    (lambda w: export.compare(w.model, 5), "`data`.*int"),
    (lambda w: export.compare(w.model, dataset_of(w, 0)), "`data`.*empty dataset"),
    (lambda w: export.compare(w.model, (w.x, w.y[:3])), r"`data`.*\[64\] examples and 3"),
    (lambda w: export.compare(w.model, (w.x[:, :2], w.y)), r"`data`.*\(64, 2\)"),
    (lambda w: export.compare(w.model, (w.nan_x, w.y)), "`data`.*1 NaN"),
    (lambda w: export.compare(w.model, (w.x, w.y + 1)), r"`data`.*\[0, 3\).*from 1 to 3"),
    (lambda w: export.compare(w.model, (w.x, w.y + 0.5)), "class labels.*no classes"),
    (lambda w: export.compare(w.model, (w.x, np.full(64, "cat"))), "class labels.*no classes"),
    (lambda w: export.compare(w.model, w.data, complexities=[]), r"`complexities`.*\[\]"),
    (lambda w: export.compare(w.model, w.data, complexities=1.0), "`complexities`.*1.0"),
    (lambda w: export.compare(w.model, w.data, complexities=[1e9]), r"`complexities`.*complexities=1e\+09"),
    (lambda w: export.compare(w.model, w.data, sparsities=0.5), "`sparsities`.*0.5"),
    (lambda w: export.compare(w.model, w.data, quantizations="int8"), "`quantizations`.*'int8'"),
    (
        lambda w: export.compare(w.model, w.data, quantizations=["int8"], representative_data=w.x[:, :2]),
        r"`representative_data`.*\(64, 2\)",
    ),
    (lambda w: export.compare(w.broken, w.data), "`model`.*NaN or infinity in"),
    (lambda w: export.best(w.model, w.data), "max_bytes.*none of them"),
    (lambda w: export.best(w.model, w.data, max_bytes=-1), "`max_bytes`.*-1"),
    (lambda w: export.best(w.model, w.data, max_latency_ms="fast"), "`max_latency_ms`.*'fast'"),
    (lambda w: export.best(w.model, w.data, min_accuracy=1.5), "`min_accuracy`.*1.5"),
    (lambda w: export.best(w.model, w.data, max_bytes=9e9, labels=["a"]), r"`labels`.*\['a'\]"),
    (lambda w: export.best(w.model, (w.nan_x, w.y), max_bytes=9e9), "`data`.*1 NaN"),
    (lambda w: export.best(w.model, w.data, max_bytes=9e9, structures=[]), r"`structures`.*\[\]"),
    (lambda w: export.quantization_aware(w.network, w.x[:, :2], w.y), r"\(64, 2\)"),
    (lambda w: export.quantization_aware(w.network, w.x, w.y[:4]), "64 examples and 4"),
    (lambda w: export.SizeAccuracyCurve(w.folder, 5), "`data`.*int"),
    (lambda w: export.SizeAccuracyCurve(w.folder, w.data, frequency=0), "`frequency`.*0"),
    (lambda w: export.calibration_error(PROBABILITIES, w.y), "`y`.*64 labels, 3 outputs"),
    (lambda w: export.report(5), "`result`.*5"),
    (lambda w: export.annotate(None), "`artifact`.*None"),
    (lambda w: export.annotate(w.artifact, labels=["a"]), r"`labels`.*3 strings.*\['a'\]"),
    (lambda w: export.annotate(w.artifact, labels="abc"), "`labels`.*3 strings.*'abc'"),
    (lambda w: export.annotate(w.artifact, labels=5), "`labels`.*3 strings.*5"),
    (lambda w: export.evaluate_tflite(None, w.x, w.y), "`artifact`.*None"),
    (lambda w: export.evaluate_tflite(w.artifact, w.x[:0], w.y[:0]), r"\[0\] and 0 examples"),
    (lambda w: export.evaluate_tflite(w.artifact, w.x, w.y[:3]), r"\[64\] and 3 examples"),
    (lambda w: export.evaluate_tflite(w.artifact, w.x[:, :3], w.y), r"`x`.*\('examples', 8\).*\(64, 3\)"),
    (lambda w: export.evaluate_tflite(w.artifact, [w.x, w.x], w.y), r"`x`.*\(64, 8\), \(64, 8\)"),
    (lambda w: export.evaluate_tflite(w.artifact, np.full((64, 8), "a"), w.y), "`x` of numbers.*<U1"),
    (lambda w: export.evaluate_tflite(w.artifact, w.nan_x, w.y), "`x`.*1 NaN"),
    (lambda w: export.evaluate_tflite(w.artifact, w.x, w.y + 10), r"`y`.*\[0, 3\).*from 10 to 12"),
    (lambda w: export.evaluate_tflite(w.artifact, w.x, w.y, loss="hinge loss"), "hinge loss"),
]

FILES = [
    (lambda w: cvhn_tf.load_model(None), "`path`.*None"),
    (lambda w: cvhn_tf.load_model(w.folder / "missing.keras"), "missing.keras.*no such file"),
    (lambda w: cvhn_tf.load_model(w.folder), "no such file"),
    (lambda w: cvhn_tf.load_model(w.folder / "text.keras"), "text.keras.*no whole archive"),
    (lambda w: cvhn_tf.load_model(w.folder / "half.keras"), "half.keras.*no whole archive"),
    (lambda w: cvhn_tf.load_model(w.folder / "empty"), "empty.*no whole archive"),
    (lambda w: cvhn_tf.load_model(w.folder / "model.h5"), "model.h5.*no whole archive"),
    (lambda w: cvhn_tf.load_model(w.folder / "network.tflite"), "network.tflite.*no whole archive"),
    (lambda w: cvhn_tf.load_model(w.folder / "plain.keras"), "plain.keras.*holds a Sequential"),
    (lambda w: cvhn_tf.load_model(w.folder / "dense.keras"), "dense.keras.*holds a Dense"),
    (lambda w: cvhn_tf.load_model(w.folder / "function.keras"), "function.keras.*holds a system"),
    (lambda w: cvhn_tf.load_model(w.folder / "traversal.keras"), r"traversal.keras.*'assets/\.\./\.\./evil.txt'"),
    (lambda w: cvhn_tf.load_model(w.folder / "absolute.keras"), "absolute.keras.*'/evil.txt'"),
    (lambda w: cvhn_tf.load_model(w.folder / "foreign.keras"), "foreign.keras.*'code.py'"),
    (lambda w: cvhn_tf.load_model(w.folder / "bomb.keras"), "bomb.keras.*'assets/bomb'.*10,000,000"),
    (lambda w: cvhn_tf.load_model(w.folder / "weightless.keras"), "weightless.keras.*cannot load.*weights"),
    (lambda w: cvhn_tf.load_model(w.folder / "configless.keras"), "configless.keras.*config.json"),
    (lambda w: cvhn_tf.Backup(w.folder / "text.keras").restore(w.model), "backup.*text.keras.*no whole archive"),
    (lambda w: cvhn_tf.Backup(w.folder / "model.keras").restore(w.model), "backup.*model.keras.*run.json"),
    (lambda w: export.evaluate_tflite(b"abc", w.x, w.y), "TFLite file.*3 bytes"),
    (lambda w: export.evaluate_tflite(w.folder / "half.tflite", w.x, w.y), "TFLite file.*bytes"),
    (lambda w: export.evaluate_tflite(w.folder / "missing.tflite", w.x, w.y), "missing.tflite"),
    (lambda w: export.evaluate_tflite(w.folder / "model.keras", w.x, w.y), "TFLite file.*none"),
    (lambda w: export.read_metadata(None), "`source`.*None"),
    (lambda w: export.read_metadata(w.folder / "half.tflite"), "whole TFLite file"),
    (lambda w: export.read_metadata(w.folder / "model.keras"), "TFLite file.*none"),
    (lambda w: export.read_metadata(w.artifact), "without its metadata"),
    (lambda w: export.unpack(5), "`source`.*5"),
    (lambda w: export.unpack(w.folder / "missing.cvhn"), "missing.cvhn"),
    (lambda w: export.unpack(w.folder), "bad"),
    (lambda w: export.unpack(w.folder / "half.cvhn"), "header tells"),
    (lambda w: export.unpack(w.folder / "model.keras"), "do not begin as one"),
    (lambda w: export.unpack(w.folder / "empty"), "0 bytes"),
    (lambda w: w.artifact.save(w.folder / "missing" / "network.tflite"), "folder that exists.*missing"),
    (lambda w: w.artifact.save(w.folder), "which is a folder"),
]


def check(world, act, message):
    before = contents(world.folder)
    with pytest.raises((ValueError, TypeError, OSError), match=f"(?s){message}"):
        act(world)
    assert world.model.optimizer.iterations.numpy() == 0
    assert contents(world.folder) == before
    assert not os.path.exists("/evil.txt")


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(table):
    return pytest.mark.parametrize(("act", "message"), table, ids=[message for _, message in table])


@rows(STAGES)
def test_stages(world, act, message):
    check(world, act, message)


@rows(FILES)
def test_files(world, act, message):
    check(world, act, message)
