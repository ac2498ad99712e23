"""Whatever the user can mend ends a command with exit code 2 and words about it, and leaves every file as it was."""

import json
import os
import re
import zipfile

import pytest
from typer.testing import CliRunner

import cvhn_tf
from cvhn_tf import datasets, export, targets
from cvhn_tf_cli import commands

TWO_WORKERS = {"worker": ["localhost:12345", "localhost:12346"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of all kinds, good and bad."""
    folder = tmp_path_factory.mktemp("bad")
    digits = datasets.load("digits")
    network = targets.get("mlp_50", digits.input_shape, 10)
    model = cvhn_tf.VariationalHypernetwork(network)
    model.save(folder / "model.keras")
    model.trainable_variables[0].assign(model.trainable_variables[0] * float("nan"))
    model.save(folder / "broken.keras")
    network.save(folder / "plain.keras")
    cvhn_tf.VariationalHypernetwork(targets.get("mlp_50", (28, 28, 1), 10)).save(folder / "mnist.keras")
    content = (folder / "model.keras").read_bytes()
    (folder / "half.keras").write_bytes(content[: len(content) // 2])
    (folder / "text.keras").write_text("hello")
    (folder / "text.partial.keras").write_text("no backup")
    packed = export.pack(cvhn_tf.VariationalHypernetwork(network), 1.0, 0.9).content
    (folder / "half.cvhn").write_bytes(packed[:-9])
    (folder / "changed.cvhn").write_bytes(packed[:-1] + bytes([packed[-1] ^ 1]))
    (folder / "old.tflite").write_bytes(b"an earlier file")
    for name, member, size in (("traversal", "../evil.txt", 10), ("bomb", "assets/zeros", 10_000_000)):
        (folder / f"{name}.keras").write_bytes(content)
        with zipfile.ZipFile(folder / f"{name}.keras", "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, bytes(size))
    return folder


# What `{}` stands for is the folder above; an output that is not named is old.tflite in it, or old.keras.
COMMANDS = [
    ("train --dataset imagenet", "--dataset.*digits, mnist.*imagenet"),
    ("train --target resnet", "--target.*lenet_5.*resnet"),
    ("train --target lenet_5", r"12×12.*\(8, 8, 1\)"),
    ("train --target mlp_50 --price 0.1", r"--target.*searchable_mlp.* with `--price`.*mlp_50, --price=0.1"),
    ("train --target searchable_mlp --structure-cost watts", r"--structure-cost.*multiply_adds, parameters.*watts"),
    ("train --target searchable_mlp --budget nan", r"--budget.*0 or more.*nan"),
    ("train --target searchable_mlp --price -1", r"--price.*0 or more.*-1"),
    ("train --epochs 0", "--epochs.*0"),
    ("train --epochs many", "--epochs.*many"),
    ("train --batch-size -4", "--batch-size.*-4"),
    ("train --complexity-range 1 0.1", r"complexity_range.*\(1.0, 0.1\)"),
    ("train --complexity-range 0 1", r"complexity_range.*\(0.0, 1.0\)"),
    ("train --complexity-range 0.1 inf", r"complexity_range.*\(0.1, inf\)"),
    ("train --complexity-range 1", "--complexity-range"),
    ("train --learning-rate 0", "--learning-rate.*0"),
    ("train --learning-rate nan", "--learning-rate.*nan"),
    ("train --learning-rate inf", "--learning-rate.*inf"),
    ("train --seed -1", "--seed.*-1"),
    ("train --strategy cluster", "--strategy.*multiworker.*cluster"),
    ("train --strategy multiworker", "TF_CONFIG.*several workers"),
    ("train --speed 3", "--speed"),
    ("train --output {}/model.h5", "--output.*.keras.*model.h5"),
    ("train --output {}/text.keras/model.keras", "--output.*text.keras/model.keras"),
    ("train --output {}", "--output.*.keras"),
    ("train --output /proc/model.keras", "--output.*/proc/model.keras"),
    ("train --output {}/text.keras", "backup.*text.partial.keras.*--restart"),
    ("export {}/missing.keras", "missing.keras.*not there"),
    ("export {}/text.keras", "text.keras.*no whole archive"),
    ("export {}/half.keras", "half.keras.*no whole archive"),
    ("export {}/plain.keras", "plain.keras.*holds a Sequential"),
    ("export {}/traversal.keras", r"traversal.keras.*'\.\./evil.txt'"),
    ("export {}/bomb.keras", "bomb.keras.*'assets/zeros'.*10,000,000"),
    ("export {}/broken.keras", "weights.*NaN or infinity in"),
    ("export {}/half.cvhn", "half.cvhn.*no whole archive"),
    ("export {}/mnist.keras --dataset digits", r"\(28, 28, 1\).*--dataset=digits.*\(8, 8, 1\)"),
    ("export {}/model.keras --dataset imagenet", "--dataset.*imagenet"),
    ("export {}/model.keras --sparsity -0.5", "--sparsity.*-0.5"),
    ("export {}/model.keras --sparsity 1", "--sparsity.*1"),
    ("export {}/model.keras --sparsity half", "--sparsity.*half"),
    ("export {}/model.keras --structure row", "--structure.*row"),
    ("export {}/model.keras --complexity 1000", r"\[0.01, 100\].*complexity=1000"),
    ("export {}/model.keras --complexity nan", "complexity=nan"),
    ("export {}/model.keras --encoding int3", "--encoding.*int3"),
    ("export {}/model.keras --encoding int8", "--dataset.*--encoding int8"),
    ("export {}/model.keras --step -1", "--step.*-1"),
    ("export {}/model.keras --max-accuracy-loss 2", "--max-accuracy-loss.*2"),
    ("export {}/model.keras --finetune-epochs -1", "--finetune-epochs.*-1"),
    ("export {}/model.keras --finetune-epochs 1", "--dataset.*--finetune-epochs"),
    ("export {}/model.keras --max-bytes 0 --dataset digits", "--max-bytes.*0"),
    ("export {}/model.keras --max-bytes 1000", "--dataset.*--max-bytes"),
    ("export {}/model.keras --min-accuracy 2 --dataset digits", "--min-accuracy.*2"),
    ("export {}/model.keras --output {}/old.json", "--output.*.json"),
    ("export {}/model.keras --output {}", "--output.*folder"),
    ("export {}/model.keras --output /dev/null", "--output=/dev/null.*device"),
    ("export", "(?i:model).*Received: export"),
    ("compare {}/model.keras --sparsities 0.5,1", "--sparsities.*1"),
    ("compare {}/model.keras --sparsities ,", "--sparsities.*,"),
    ("compare {}/model.keras --complexities 1,1000", "complexity=1000"),
    ("compare {}/model.keras --complexities low", "--complexities.*low"),
    ("compare {}/model.keras --encodings float32,int3", "--encodings.*int3"),
    ("compare {}/broken.keras --complexities 1 --sparsities 0", "weights.*NaN or infinity in"),
    ("compare {}/model.keras --output {}/text.keras", "--output.*text.keras"),
    ("pack {}/missing.keras", "missing.keras.*not there"),
    ("pack {}/model.keras --sparsity 1", "--sparsity.*1"),
    ("pack {}/model.keras --step 0", "--step.*0"),
    ("pack {}/model.keras --rate-weight -1", "--rate-weight.*-1"),
    ("pack {}/model.keras --complexity 1000", "complexity=1000"),
    ("pack {}/broken.keras", "weights.*NaN or infinity in"),
    ("unpack {}/missing.cvhn", "missing.cvhn.*not there"),
    ("unpack {}/model.keras", "do not begin as one"),
    ("unpack {}/half.cvhn", "header tells"),
    ("unpack {}/changed.cvhn", "checksum"),
    ("unpack {}/old.tflite", "15 bytes"),
    ("unpack {}/changed.cvhn --output {}/network.h5", "--output.*.keras.*network.h5"),
    ("demo --epochs 0", "--epochs.*0"),
    ("demo --output {}/text.keras", "--output.*text.keras"),
    ("launch", "launch"),
]

CLUSTERS = [
    ("no json", "TF_CONFIG=no json"),
    ("[]", r"TF_CONFIG=\[\]"),
    (json.dumps({"cluster": TWO_WORKERS}), "TF_CONFIG"),
    (json.dumps({"cluster": TWO_WORKERS, "task": {"type": "worker", "index": 2}}), 'TF_CONFIG.*"index": 2'),
    (json.dumps({"cluster": TWO_WORKERS, "task": {"type": "worker", "index": "first"}}), "TF_CONFIG.*first"),
    (json.dumps({"cluster": TWO_WORKERS, "task": {"type": "chief", "index": 0}}), "TF_CONFIG.*chief"),
    (json.dumps({"cluster": {"worker": ["here"]}, "task": {"type": "worker", "index": 0}}), "TF_CONFIG.*here"),
    (json.dumps({"cluster": {"worker": [1, 2]}, "task": {"type": "worker", "index": 0}}), r"TF_CONFIG.*\[1, 2\]"),
    (json.dumps({"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}), "TF_CONFIG.*ps"),
]


def refused(folder, command, environment=None):
    """Asserts that a command fails as it should; returns its words."""
    before = contents(folder)
    words = command.replace("{}", str(folder)).split()
    if "--output" not in words and words[0] not in ("launch", "compare", "demo"):
        words += ["--output", str(folder / ("new.keras" if words[0] in ("train", "unpack") else "old.tflite"))]
    elif words[0] in ("compare", "demo") and "--output" not in words:
        words += ["--output", str(folder / "report")]
    result = CliRunner().invoke(commands.app, words, env={"COLUMNS": "200", **(environment or {})})
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert contents(folder) == before
    return " ".join(result.stderr.split())


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("command", "message"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_commands(folder, command, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    output = refused(folder, command)
    assert re.search(message, output), output
    assert not os.path.exists(folder.parent / "evil.txt")


@pytest.mark.parametrize(("config", "message"), CLUSTERS)
def test_clusters(folder, config, message):
    output = refused(folder, "train", {"TF_CONFIG": config})
    assert re.search(message, output), output
