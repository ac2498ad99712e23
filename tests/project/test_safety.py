"""Nothing that the packages do runs code from a file, and no file is ever seen half written."""

import ast
import json
import os
import resource
import threading
import zipfile

import keras
import pytest
from places import ROOT

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.files.atomic import replacing, write_atomically

SOURCES = sorted(
    path for folder in ("cvhn_tf", "export", "cli", "examples", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "os.system", "os.popen", "Lambda", "enable_unsafe_deserialization"}
# Calls that are safe with the one argument that says so, and what it must be.
SAFE_WITH = {
    "np.load": ("allow_pickle", False),
    "keras.saving.load_model": ("safe_mode", True),
    "keras.models.load_model": ("safe_mode", True),
    "keras.saving.deserialize_keras_object": ("safe_mode", True),
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_can_run_what_a_file_says(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not PICKLES & {module.partition(".")[0] for module in modules}
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
        assert not {name, name.rpartition(".")[2]} & FORBIDDEN_CALLS, f"line {node.lineno}: {name}"
        assert given.get("shell") in (None, False), f"line {node.lineno}: {name}"
        argument, value = SAFE_WITH.get(name, (None, None))
        assert argument is None or given.get(argument) is value, (
            f"line {node.lineno}: {name} without {argument}={value}"
        )


def test_no_folder_of_sources_is_left_out():
    assert {path.parent.name for path in SOURCES} >= {"cvhn_tf", "parameterizations", "export", "cli", "examples"}


@pytest.fixture
def no_more_than_10_kb():
    """Files of this process cannot grow above 10 kB, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_leaves_the_earlier_file_and_no_other(no_more_than_10_kb, tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"earlier")
    artifact = export.TFLiteArtifact(bytes(20_000), None, False, 0.0)
    with pytest.raises(OSError, match="too large"):
        artifact.save(tmp_path / "model.tflite")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"earlier"]


def test_model_that_the_disk_does_not_hold_leaves_the_earlier_backup(compiled, data, no_more_than_10_kb, tmp_path):
    path = tmp_path / "backup.keras"
    path.write_bytes(b"earlier")
    with pytest.raises(OSError):
        compiled().fit(*data, verbose=0, callbacks=[cvhn_tf.Backup(path)])
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"earlier"]


def test_readers_see_one_whole_file_or_the_other(tmp_path):
    path, contents = tmp_path / "file", (b"a" * 300_000, b"b" * 500_000)
    write_atomically(path, contents[0])
    done = threading.Event()

    def write():
        for i in range(60):
            write_atomically(path, contents[i % 2])
        done.set()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    reads = 0
    while not done.is_set() or reads < 20:
        assert path.read_bytes() in contents
        reads += 1
    for writer in writers:
        writer.join()
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    calls = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}
    for name in real:
        monkeypatch.setattr(os, name, lambda *a, name=name: (calls.append(name), real[name](*a))[1])
    write_atomically(tmp_path / "file", b"content")
    assert calls == ["fsync", "replace", "fsync"]


def test_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "file") as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_files_are_for_whom_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_lambda_in_a_model_file_is_not_made(compiled, tmp_path):
    compiled().save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    anything = keras.saving.serialize_keras_object(
        keras.layers.Lambda(lambda x: x, output_shape=(16,), name="anything")
    )
    config["config"]["target"]["config"]["layers"].insert(2, anything)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match=r"cannot load.*[Ll]ambda"):
        cvhn_tf.load_model(tmp_path / "model.keras")
