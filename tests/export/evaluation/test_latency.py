"""The time of a file is that in the client asked for where it is at hand, and says which one it was."""

import keras
import numpy as np
import pytest
from keras import layers

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.export.verification import web
from cvhn_tf.export.verification.litert import LiteRTModel


@pytest.fixture(scope="module")
def artifact():
    first, second = keras.Input((3,), name="first"), keras.Input((5,), name="second")
    return export.to_tflite(keras.Model([first, second], layers.Dense(2)(layers.Concatenate()([first, second]))))


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    # In another order than that of the file.
    return {"second": rng.normal(size=(6, 5)), "first": rng.normal(size=(6, 3))}, np.arange(6) % 2


def in_litert_js(monkeypatch, latency_ms):
    """As if LiteRT.js were at hand, with a function for what it tells."""
    monkeypatch.setattr(web, "is_available", lambda: True)
    monkeypatch.setattr(web, "version", lambda: "LiteRT.js 9")
    monkeypatch.setattr(web.WebModel, "latency_ms", latency_ms)


@pytest.mark.parametrize("client", ["cpu", "any", "gpu", ("cpu", "web")])
def test_litert_is_named_for_all_but_web_pages(artifact, examples, monkeypatch, client):
    in_litert_js(monkeypatch, lambda self, inputs: 7.0)
    measured = export.evaluate_tflite(artifact, *examples, client=client)
    assert measured.latency_client.startswith("LiteRT ") and "thread of this machine" in measured.latency_client


def test_without_litert_js_litert_is_measured_and_named(artifact, examples, monkeypatch):
    monkeypatch.delenv(web.VARIABLE, raising=False)
    assert export.evaluate_tflite(artifact, *examples, client="web").latency_client.startswith("LiteRT ")


def test_litert_js_is_measured_for_web_pages_on_inputs_in_the_order_of_the_file(artifact, examples, monkeypatch):
    def latency_ms(self, inputs):
        assert [array.shape[1:] for array in inputs] == [tuple(detail["shape"][1:]) for detail in self.input_details]
        return 7.0

    in_litert_js(monkeypatch, latency_ms)
    measured = export.evaluate_tflite(artifact, *examples, client="web")
    assert measured.latency_ms == 7.0
    assert measured.latency_client.startswith("LiteRT.js 9 in Node.js")


def test_file_that_litert_js_refuses_and_unknown_clients_are_bad_input(artifact, examples, monkeypatch):
    def latency_ms(self, inputs):
        raise RuntimeError("no such operation")

    in_litert_js(monkeypatch, latency_ms)
    with pytest.raises(ValueError, match=r"LiteRT\.js can run, with client='web'. Received: .* \(no such operation\)"):
        export.evaluate_tflite(artifact, *examples, client="web")
    with pytest.raises(ValueError, match=r"Expected `client` to be of .*Received: client='phone'"):
        export.evaluate_tflite(artifact, *examples, client="phone")


def test_comparison_and_search_tell_what_took_the_time(monkeypatch, tmp_path):
    in_litert_js(monkeypatch, lambda self, inputs: 7.0)
    # By which the verification compares outputs.
    monkeypatch.setattr(web.WebModel, "run", lambda self, inputs: LiteRTModel(self._content).run(inputs))
    model = cvhn_tf.VariationalHypernetwork(keras.Sequential([keras.Input((4,)), layers.Dense(3, "softmax")]), seed=0)
    data = np.random.default_rng(0).normal(size=(12, 4)).astype("float32"), np.arange(12) % 3
    comparison = export.compare(model, data, [1.0], [0.0], quantizations=[None], client="web")
    only = {"complexities": [1.0], "sparsities": [0.0], "structures": ["weight"], "quantizations": [None]}
    found = export.best(model, data, max_latency_ms=8.0, client="web", **only)
    for measured in (*comparison.rows, found.chosen):
        assert measured.latency_ms == 7.0 and measured.latency_client.startswith("LiteRT.js 9 in Node.js")
    comparison.report(tmp_path / "report.html")
    assert "LiteRT.js 9 in Node.js" in (tmp_path / "report.html").read_text()
    with pytest.raises(ValueError, match="max_latency_ms"):
        export.best(model, data, max_latency_ms=6.0, client="web", **only)
