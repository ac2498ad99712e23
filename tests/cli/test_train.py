"""`cvhn-tf train`: what it writes and prints, what it refuses, and what is left when it is interrupted."""

import os

import keras
import numpy as np
import pytest
from command_line import fails, run

import cvhn_tf
from cvhn_tf import datasets


def test_unknown_dataset_is_refused(tmp_path):
    fails(run("train", "--dataset", "imagenet", "--output", tmp_path / "m.keras"), 2, "digits, mnist", "imagenet")


def test_unknown_target_is_refused(tmp_path):
    fails(run("train", "--target", "resnet", "--output", tmp_path / "m.keras"), 2, "lenet_300_100", "resnet")


def test_target_that_does_not_fit_the_images_is_refused(tmp_path):
    fails(run("train", "--target", "lenet_5", "--output", tmp_path / "m.keras"), 2, "12×12", "(8, 8, 1)")


@pytest.mark.parametrize("bounds", [(1, 1), (10, 1), (0, 1), ("nan", 1)])
def test_impossible_complexity_range_is_refused(bounds, tmp_path):
    result = run("train", "--complexity-range", *bounds, "--output", tmp_path / "m.keras")
    fails(result, 2, "complexity_range", "Received")
    assert list(tmp_path.iterdir()) == []


def test_output_that_cannot_be_written_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    fails(run("train", "--output", tmp_path / "file" / "m.keras"), 2, "--output", "m.keras")
    (tmp_path / "folder.keras").mkdir()
    fails(run("train", "--output", tmp_path / "folder.keras"), 2, "is a folder")
    fails(run("train", "--output", tmp_path / "m.h5"), 2, ".keras")


def test_data_that_is_not_there_is_a_known_failure(tmp_path, monkeypatch):
    from tensorflow_datasets.core import constants

    def refuse(builder):
        raise ConnectionError("no connection")

    monkeypatch.setattr(constants, "DATA_DIR", os.fspath(tmp_path / "data"))
    monkeypatch.setattr(datasets, "_probe", refuse)
    fails(run("train", "--dataset", "mnist", "--output", tmp_path / "m.keras"), 1, "'mnist' is not prepared")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_someone_else_is_not_hidden(tmp_path, monkeypatch):
    def break_down(name):
        raise ValueError("a bug")

    monkeypatch.setattr(datasets, "load", break_down)
    result = run("train", "--output", tmp_path / "m.keras")
    assert isinstance(result.exception, ValueError)


def test_interrupt_exits_130_and_leaves_no_file(tmp_path, monkeypatch):
    def interrupt(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load", interrupt)
    fails(run("train", "--output", tmp_path / "m.keras"), 130, "Interrupted")
    assert list(tmp_path.iterdir()) == []


class InterruptSecondEpoch(cvhn_tf.VariationalHypernetwork):
    def fit(self, *args, callbacks, **kwargs):
        def interrupt(epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

        interrupting = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
        return super().fit(*args, callbacks=[*callbacks, interrupting], **kwargs)


def test_interrupted_training_leaves_the_model_so_far_and_says_where(tmp_path, monkeypatch):
    (tmp_path / "m.keras").write_text("an earlier model")
    monkeypatch.setattr(cvhn_tf, "VariationalHypernetwork", InterruptSecondEpoch)
    result = run("train", "--target", "mlp_50", "--epochs", 3, "--output", tmp_path / "m.keras")
    partial = tmp_path / "m.partial.keras"
    assert result.exit_code == 130
    progress, error = result.stderr.strip().splitlines()
    assert "1/3 epochs" in progress
    assert error == (
        f"Error: Interrupted. The model after 1 of 3 epochs is {partial}; the same command goes on from it"
    )
    assert sorted(tmp_path.iterdir()) == [tmp_path / "m.keras", partial]
    assert (tmp_path / "m.keras").read_text() == "an earlier model"


def test_quiet_training_prints_nothing_and_progress_goes_to_stderr(tmp_path):
    arguments = ("train", "--target", "mlp_50", "--epochs", 2, "--output", tmp_path / "m.keras")
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("Training mlp_50 on digits: ")]
    assert [line.split(": ")[1].split(" ")[0] for line in lines] == ["1/2", "2/2"]
    assert "loss" in lines[0] and "Training" not in result.stdout
    quiet = run(*arguments, "--quiet")
    assert (quiet.exit_code, quiet.output) == (0, "")
    assert (tmp_path / "m.keras").exists()
    fails(run("train", "--quiet", "--dataset", "imagenet", "--output", tmp_path / "m.keras"), 2, "imagenet")


def test_progress_moves_with_each_step_and_gives_figures_after_each_epoch(compiled, data):
    from cvhn_tf_cli.work import train

    told = []
    progress = train._Progress(lambda *done_and_figures: told.append(done_and_figures))
    logs = compiled().fit(*data, batch_size=16, epochs=2, verbose=0, callbacks=[progress]).history
    assert [done for done, _ in told] == [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
    assert [figures for _, figures in told[:3]] == ["", "", ""]
    assert all(f"loss {logs['loss'][0]:.3f}" in figures for _, figures in told[3:7])
    assert f"loss {logs['loss'][1]:.3f}" in told[7][1]


@pytest.mark.long
def test_equal_seeds_give_equal_models(tmp_path):
    weights = []
    for name in ("a.keras", "b.keras"):
        arguments = ("--target", "mlp_50", "--epochs", 1, "--seed", 3, "--output", tmp_path / name)
        assert run("train", *arguments).exit_code == 0
        weights.append(cvhn_tf.load_model(tmp_path / name).at(1.0).get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


# A trained model instead of a target ----------------------------------------------------------------------------------


def save_network(path, units=10, activation="softmax", size=8):
    network = keras.Sequential(
        [keras.Input((size, size, 1)), keras.layers.Flatten(), keras.layers.Dense(units, activation, name="only")]
    )
    network.save(path)
    return network


def test_training_starts_from_a_trained_model_and_tells_its_accuracy(tmp_path):
    network = save_network(tmp_path / "trained.keras")
    arguments = ("train", "--from", tmp_path / "trained.keras", "--epochs", 1, "--output", tmp_path / "m.keras")
    result = run(*arguments, "--learning-rate", 1e-8)
    assert result.exit_code == 0, result.output
    model = cvhn_tf.load_model(tmp_path / "m.keras")
    assert model.pretrained
    for ours, theirs in zip(model.at(0.01).get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    digits = datasets.load("digits")
    accuracy = np.mean(network(digits.x_test).numpy().argmax(axis=-1) == digits.y_test)
    assert "as it was" in result.output and f"{accuracy:.4f}" in result.output


@pytest.mark.long
def test_a_training_does_not_go_on_from_that_of_another_model(tmp_path, monkeypatch):
    save_network(tmp_path / "first.keras")
    save_network(tmp_path / "second.keras")

    def train(name):
        return run("train", "--from", tmp_path / name, "--epochs", 2, "--output", tmp_path / "m.keras")

    with monkeypatch.context() as interrupted:
        interrupted.setattr(cvhn_tf, "VariationalHypernetwork", InterruptSecondEpoch)
        assert train("first.keras").exit_code == 130
    fails(train("second.keras"), 2, "--restart", "target")


@pytest.mark.parametrize(
    ("made", "part"),
    [
        ({"units": 7}, "10 classes"),
        ({"size": 9}, "(8, 8, 1)"),
        ({"activation": "linear"}, "keras.layers.Softmax()"),
    ],
)
def test_a_model_that_does_not_fit_the_dataset_is_refused(made, part, tmp_path):
    save_network(tmp_path / "trained.keras", **made)
    fails(run("train", "--from", tmp_path / "trained.keras", "--output", tmp_path / "m.keras"), 2, "--from", part)
    assert [path.name for path in tmp_path.iterdir()] == ["trained.keras"]


def test_sources_that_are_none_are_refused(tmp_path, model_path):
    trained, output = tmp_path / "trained.keras", ("--output", tmp_path / "m.keras")
    fails(run("train", "--from", trained, *output), 2, "trained.keras", "not there")
    trained.write_text("no archive")
    fails(run("train", "--from", trained, *output), 2, "trained.keras", "no whole archive")
    fails(run("train", "--from", trained, "--target", "mlp_50", *output), 2, "either", "mlp_50")
    fails(run("train", "--from", trained, "--output", trained), 2, "another file")
    fails(run("train", "--from", trained, "--price", 1, *output), 2, "--price", "--from")
    fails(run("train", "--from", model_path, *output), 2, "VariationalHypernetwork")
