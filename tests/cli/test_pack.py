"""`cvhn-tf pack` and `unpack`."""

import numpy as np
import pytest
from command_line import fails, run

from cvhn_tf import datasets


def test_packed_file_unpacks_to_the_model_that_the_table_measured(model_path, tmp_path):
    import keras

    packed, network = tmp_path / "new" / "network.cvhn", tmp_path / "new" / "network.keras"
    arguments = ("--complexity", 0.1, "--sparsity", 0.8, "--step", 1, "--dataset", "digits")
    result = run("pack", model_path, *arguments, "--output", packed)
    assert result.exit_code == 0, result.output
    assert f"{packed.stat().st_size:,}" in result.output
    assert run("unpack", packed, "--output", network).exit_code == 0
    assert sorted(packed.parent.iterdir()) == [packed, network]
    digits = datasets.load("digits")
    outputs = keras.saving.load_model(network).predict(digits.x_test, verbose=0)
    accuracy = np.mean(outputs.argmax(1) == digits.y_test)
    assert accuracy > 0.6
    assert f"{accuracy:.4f}" in result.output


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--sparsity", 1.0), ("[0, 1)", "--sparsity=1")),
        (("--step", 0), ("positive", "--step=0")),
        (("--step", "nan"), ("positive", "--step=nan")),
        (("--step", "inf"), ("positive", "--step=inf")),
        (("--rate-weight", -1), ("at least 0", "--rate-weight=-1")),
        (("--complexity", 1000), ("[0.01, 100]", "complexity=1000")),
        (("--dataset", "imagenet"), ("digits, mnist", "imagenet")),
    ],
)
def test_pack_refuses_bad_options(options, parts, model_path, tmp_path):
    fails(run("pack", model_path, *options, "--output", tmp_path / "out.cvhn"), 2, *parts)
    assert list(tmp_path.iterdir()) == []


def test_unpack_refuses_what_is_no_packed_file(model_path, tmp_path):
    output = ("--output", tmp_path / "network.keras")
    fails(run("unpack", tmp_path / "none.cvhn", *output), 2, tmp_path / "none.cvhn")
    fails(run("unpack", model_path, *output), 2, "Received")
    packed = tmp_path / "network.cvhn"
    assert run("pack", model_path, "--output", packed).exit_code == 0
    fails(run("unpack", packed, "--output", tmp_path / "network.h5"), 2, ".keras")
    packed.write_bytes(packed.read_bytes()[:-1])
    fails(run("unpack", packed, *output), 2, "Received")
    assert list(tmp_path.iterdir()) == [packed]
