"""Training that can be watched: event files and pictures hold what the model is worth."""

import collections
import csv

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from cvhn_tf import export
from cvhn_tf.callbacks import ComplexityBoard


def read_events(run):
    """Values of each tag by step, from the event files of a run."""
    values = collections.defaultdict(dict)
    for file in run.glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                values[value.tag][event.step] = tf.make_ndarray(value.tensor)
    return values


def test_event_files_hold_what_the_model_is_worth_at_each_complexity(compiled, data, tmp_path):
    model = compiled(complexity_range=(0.1, 10.0), parameterization="gated", initial_stddev=0.2, train_size=64)
    model.complexity = 3.0
    board = ComplexityBoard(tmp_path, data, frequency=2)
    model.fit(*data, epochs=3, verbose=0, callbacks=[board])
    assert model.complexity == 3.0
    assert sorted(run.name for run in tmp_path.iterdir()) == ["complexity_0.1", "complexity_1", "complexity_10"]
    for complexity in (0.1, 1.0, 10.0):
        values = read_events(tmp_path / f"complexity_{complexity:g}")
        assert sorted(values["nll"]) == [2, 3]
        model.complexity = complexity
        figures = model.evaluate(*data, batch_size=256, verbose=0, return_dict=True)
        for name in ("loss", "nll", "kl_bits", "accuracy"):
            assert values[name][3] == pytest.approx(figures[name], rel=1e-5), name
        assert values["kl_bits"][3] == pytest.approx(model.description_length(complexity), rel=1e-4)

        certain, weights = 0, 0
        for path, posterior in model.posterior(complexity).items():
            mean, snr = posterior.mean().numpy(), np.abs(posterior.mean() / posterior.stddev())
            assert values[f"snr_above_1/{path}"][3] == pytest.approx(np.mean(snr > 1))
            certain, weights = certain + np.sum(snr > 1), weights + snr.size
            means, snrs = values[f"mean/{path}"][3], values[f"log10_snr/{path}"][3]
            assert means[:, 2].sum() == snrs[:, 2].sum() == snr.size
            np.testing.assert_allclose([means[0, 0], means[-1, 1]], [mean.min(), mean.max()], rtol=1e-5)
            assert snrs[-1, 1] == pytest.approx(np.log10(snr.max()), rel=1e-4)
        assert 0 < certain < weights
        assert values["snr_above_1/all"][3] == pytest.approx(certain / weights)


@pytest.mark.long
def test_watching_does_not_change_the_training(compiled, data, tmp_path):
    plain, watched = compiled(seed=3), compiled(seed=3)
    for variable, value in zip(watched.variables, plain.variables, strict=True):
        variable.assign(value)
    arguments = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
    histories = [
        plain.fit(*data, **arguments).history,
        watched.fit(*data, **arguments, callbacks=[ComplexityBoard(tmp_path, data)]).history,
    ]
    assert histories[0] == histories[1]
    for ours, theirs in zip(plain.trainable_variables, watched.trainable_variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_without_noise_have_no_snr_and_datasets_work(compiled, data, tmp_path):
    model = compiled(prior="l2", estimator="deterministic")
    batches = tf.data.Dataset.from_tensor_slices(data).batch(16)
    model.fit(*data, epochs=1, verbose=0, callbacks=[ComplexityBoard(tmp_path, batches, complexities=[2.0])])
    values = read_events(tmp_path / "complexity_2")
    assert any(tag.startswith("mean/") for tag in values)
    assert not any("snr" in tag for tag in values)
    model.complexity = 2.0
    assert values["nll"][1] == pytest.approx(model.evaluate(batches, verbose=0, return_dict=True)["nll"], rel=1e-5)


def test_what_cannot_be_watched_is_refused_before_the_training(compiled, data, tmp_path):
    with pytest.raises(ValueError, match=r"`data`.*Received"):
        ComplexityBoard(tmp_path, data[0])
    with pytest.raises(ValueError, match=r"`frequency`.*Received: frequency=0"):
        ComplexityBoard(tmp_path, data, frequency=0)
    with pytest.raises(ValueError, match=r"`frequency`.*Received: frequency=0\.5"):
        export.SizeAccuracyCurve(tmp_path, data, frequency=0.5)
    with pytest.raises(ValueError, match="class labels"):
        export.SizeAccuracyCurve(tmp_path, (data[0], data[0][:, 0]))
    model = compiled()
    for callback in (
        ComplexityBoard(tmp_path, data, complexities=[1000.0]),
        export.SizeAccuracyCurve(tmp_path, data, complexities=[1000.0]),
    ):
        with pytest.raises(ValueError, match="Received: complexities=1000"):
            model.fit(*data, epochs=1, verbose=0, callbacks=[callback])
    assert int(model.optimizer.iterations) == 0


def test_curve_is_drawn_every_few_epochs_and_its_last_table_is_of_the_trained_model(compiled, data, tmp_path):
    model = compiled(train_size=64)
    curve = export.SizeAccuracyCurve(tmp_path / "curves", data, 8, complexities=[0.1, 1.0], sparsities=[0.0, 0.5])
    model.fit(*data, batch_size=16, epochs=10, verbose=0, callbacks=[curve])
    names = sorted(file.name for file in (tmp_path / "curves").iterdir())
    assert names == ["epoch-08.csv", "epoch-08.png", "epoch-10.csv", "epoch-10.png"]
    assert (tmp_path / "curves" / "epoch-10.png").read_bytes().startswith(b"\x89PNG")
    with open(tmp_path / "curves" / "epoch-10.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(float(row["complexity"]), float(row["sparsity"])) for row in rows] == [
        (complexity, sparsity) for complexity in (0.1, 1.0) for sparsity in (0.0, 0.5)
    ]
    x, y = data
    for row in rows:
        network = export.prune(model, float(row["complexity"]), float(row["sparsity"]))
        accuracy = np.mean(network(x).numpy().argmax(1) == y)
        assert float(row["keras_accuracy"]) == pytest.approx(accuracy)


def test_epoch_at_which_a_training_is_stopped_is_written(compiled, data, tmp_path):
    model = compiled()
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 1))
    board = ComplexityBoard(tmp_path / "board", data, complexities=[1.0], frequency=10)
    curve = export.SizeAccuracyCurve(tmp_path / "curve", data, frequency=10, complexities=[1.0], sparsities=[0.5])
    model.fit(*data, epochs=30, verbose=0, callbacks=[stop, board, curve])
    assert sorted(read_events(tmp_path / "board" / "complexity_1")["nll"]) == [2]
    assert sorted(file.name for file in (tmp_path / "curve").iterdir()) == ["epoch-02.csv", "epoch-02.png"]
