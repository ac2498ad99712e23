"""The rerun of the published experiment: its report says what its trainings measured, and nothing else."""

import csv
import json

import numpy as np
import psutil
import pytest
import tensorflow_probability as tfp
from places import BENCHMARKS

from benchmarks.published import paper, report, training
from benchmarks.robustness import fuzz_exports, fuzz_packed, soak
from benchmarks.speed import step_time
from benchmarks.speed.step_time_variants import KERAS, Variant
from benchmarks.speed.tfp_weight_sampling import bayesian
from cvhn_tf import datasets, export, targets


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two starts on the digits; the first was kept from before, as after an interruption."""
    folder = tmp_path_factory.mktemp("paper")
    options = ["--dataset=digits", "--epochs=1", f"--output={folder}", "--methods", "var-linear"]
    paper.train(paper.parse(["--train=var-linear", *options]))
    kept = (folder / "trainings" / "var-linear-0.json").stat()
    paper.main([*options, "--starts=2", "--note=a note"])
    assert (folder / "trainings" / "var-linear-0.json").stat().st_mtime_ns == kept.st_mtime_ns
    return folder


@pytest.mark.long
def test_report_gives_means_and_deviations_of_the_trainings(run):
    trainings = [json.loads((run / "trainings" / f"var-linear-{start}.json").read_text()) for start in range(2)]
    with open(run / "table.csv") as file:
        table = list(csv.DictReader(file))
    assert [float(row["complexity"]) for row in table] == [0.01, 1.0]
    for i, row in enumerate(table):
        for key in ("nll", "kl_bits", "accuracy_0%_pruned", "accuracy_90%_pruned"):
            values = [one["rows"][i][key] for one in trainings]
            np.testing.assert_allclose(float(row[f"{key}_mean"]), np.mean(values), rtol=1e-5)
            np.testing.assert_allclose(float(row[f"{key}_stddev"]), np.std(values, ddof=1), rtol=1e-4, atol=1e-7)
    assert trainings[0]["rows"] != trainings[1]["rows"]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["arguments"]["note"] == "a note"
    seconds = [one["seconds"] for one in trainings]
    assert summary["seconds_a_training"]["var-linear"] == pytest.approx(np.mean(seconds))
    assert (run / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_trainings_of_other_settings_are_refused(run):
    with pytest.raises(SystemExit, match="kept from another run"):
        paper.main(["--dataset=digits", "--epochs=2", f"--output={run}", "--methods", "var-linear", "--starts=1"])


@pytest.mark.parametrize("method", ["base-linear", "var-separate"])
def test_accuracies_are_those_of_networks_without_the_weakest_weights_of_each_layer(method):
    digits = training.scale_pixels(datasets.load("digits"), -1)
    assert (digits.x_test.min(), digits.x_test.max()) == (-1, 1)
    target = targets.mlp_50(digits.input_shape, digits.num_classes)
    model, optimizer = training.build(method, target, [0.01], steps=6, seed=0)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.fit(digits.x_train, digits.y_train, batch_size=32, epochs=1, verbose=0)
    (row,) = training.measure(model, digits, [0.01])
    kernel_1, bias_1, kernel_2, bias_2 = model.posterior(0.01).values()
    for sparsity in (0.0, 0.7, 0.9):

        def strongest(posterior, sparsity=sparsity):
            mean, stddev = posterior.mean().numpy(), posterior.stddev().numpy()
            strength = np.abs(mean) if method.startswith("base") else (mean / stddev) ** 2
            return np.where(strength >= np.quantile(strength, sparsity), mean, 0)

        hidden = digits.x_test.reshape(len(digits.x_test), -1) @ strongest(kernel_1) + bias_1.mean().numpy()
        logits = np.maximum(hidden, 0) @ strongest(kernel_2) + bias_2.mean().numpy()
        accuracy = np.mean(logits.argmax(1) == digits.y_test)
        # Two examples: sums in another order may turn a tie.
        assert row[f"accuracy_{sparsity:.0%}_pruned"] == pytest.approx(accuracy, abs=2 / len(digits.y_test))
        if sparsity == 0:
            nll = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), digits.y_test]
            assert row["nll"] == pytest.approx(nll.mean(), rel=1e-3)


def test_authors_figures_stand_beside_the_same_method_complexity_and_sparsity():
    authors = report.read_authors(BENCHMARKS / "published" / "authors_mnist.csv")
    measured = {"rows": [{"complexity": 1.0, **{f"accuracy_{share}%_pruned": 0.5 for share in (0, 50, 70, 80, 90)}}]}
    table = report.make_table({"var-linear": [measured], "defaults": [measured]}, [1.0], authors)
    theirs = {0.0: 0.938, 0.5: 0.946, 0.7: 0.908, 0.8: 0.828, 0.9: 0.778}
    assert [report.curve_of_authors(row) for row in table] == [theirs, {}]


def test_changed_packed_files_are_refused_or_exact():
    result = fuzz_packed.fuzz(300, seed=1, inside=0.2, progress=lambda line: None)
    assert result["wrong"] == []
    assert set(result["outcomes"]["outside"]) == {"refused"}
    assert sum(sum(counts.values()) for counts in result["outcomes"].values()) == 300


def test_fuzzer_of_packed_files_finds_a_reader_that_takes_anything(monkeypatch):
    first = fuzz_packed.make_files(1)[0]
    network = export.unpack(first)
    monkeypatch.setattr(fuzz_packed.export, "unpack", lambda content: network)
    result = fuzz_packed.fuzz(20, seed=1, inside=0.0, progress=lambda line: None)
    assert result["outcomes"]["outside"] == {"wrong": 20}


def test_random_architectures_export_or_are_refused():
    result = fuzz_exports.fuzz(1, seed=3, seconds=600, progress=lambda *line, **options: None)
    assert result["architectures"] == 1 and result["wrong"] == []
    assert all(sum(counts.values()) == 1 for counts in result["outcomes"].values())


@pytest.mark.long
def test_soak_sees_memory_that_is_held(tmp_path):
    held = []
    block = psutil.Process().memory_info().rss // 100  # a share of what the tests before have left resident
    grown = soak.soak(lambda i: held.append(b"a" * block), 40)
    assert grown["growth_percent"] > soak.MOST_GROWTH_PERCENT
    assert grown["resident_mb"][-1] - grown["resident_mb"][0] > 30 * block / 1e6
    held.clear()
    assert abs(soak.soak(lambda i: bytearray(8), 40)["growth_percent"]) < 1
    options = ["--rounds=1", "--networks=50", "--epochs=1", f"--output={tmp_path / 'soak.json'}"]
    assert soak.main(options) == 0
    result = json.loads((tmp_path / "soak.json").read_text())
    assert (result["compare"]["steps"], result["at"]["steps"], result["at"]["samples"]) == (1, 50, 1)


def test_step_times_are_compared_by_medians_and_work_by_pairs_of_example_and_complexity():
    variants = {"keras": KERAS, "ours × 5": Variant(batch_factor=5), "authors, linear": Variant("authors", pivots=2)}
    measured = {"keras": [(1.0, 700), (2.0, 710), (9.0, 705)], "ours × 5": [(4.0, 800)] * 3}
    measured["authors, linear"] = [(30.0, 300), (20.0, 300), (10.0, 300)]
    rows = [{"group": "authors", **row} for row in step_time.summarize(variants, measured, batch_size=256)]
    _, ours, theirs = rows
    assert (ours["ratio"], ours["lowest_ratio"], ours["highest_ratio"]) == (2.0, 4 / 9, 4.0)
    assert rows[0]["peak_mb"] == 710
    assert ours["pairs_per_second"] == 250 * 256 * 5 and theirs["pairs_per_second"] == 50 * 256 * 5
    times = {"pairs_per_second": 5.0, "steps_per_second": 5.0}
    assert step_time.against_authors(rows) == {"ours × 5": pytest.approx(times)}
    assert step_time.against_authors(rows[:2]) == {}


def test_bayesian_layers_draw_a_kernel_a_batch_and_add_its_kl():
    network = bayesian(targets.mlp_50((8, 8, 1), 10), train_size=50)
    x = datasets.load("digits").x_test[:1].repeat(2, axis=0)
    draws = [network(x, training=True).numpy() for _ in range(2)]
    np.testing.assert_allclose(draws[0][0], draws[0][1], rtol=1e-5)  # one kernel for both examples
    assert not np.allclose(draws[0], draws[1], rtol=1e-3)  # and another in the next batch
    network(x, training=False)
    kl = 0.0
    for layer in network.layers:
        if layer.weights:
            stddev = 1e-5 + np.log1p(np.exp(layer.untransformed_scale.numpy()))
            posterior = tfp.distributions.Normal(layer.kernel.numpy(), stddev)
            kl += np.sum(tfp.distributions.kl_divergence(posterior, tfp.distributions.Normal(0.0, 1.0)))
    assert float(sum(network.losses)) == pytest.approx(kl / 50, rel=1e-4)
