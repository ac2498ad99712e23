"""Files for web pages are run by LiteRT.js in Node.js before they are handed over, where it is at hand."""

import subprocess

import keras
import numpy as np
import pytest
from keras import layers
from optional_tools import find_tool

from cvhn_tf import export
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.verification import web

LITERT_JS = "@litertjs/core@2.5.3"
in_node = pytest.mark.optional_tool("node", "npm")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder node_modules with LiteRT.js."""
    folder = tmp_path_factory.mktemp("litert-js")
    command = [find_tool("npm"), "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), LITERT_JS]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "node_modules"


@pytest.fixture
def at_hand(packages, monkeypatch):
    monkeypatch.setenv(web.VARIABLE, str(packages))


def network():
    image, facts = keras.Input((8, 8, 3), name="image"), keras.Input((4,), dtype="int32", name="facts")
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(image))
    x = layers.Concatenate()([x, layers.Flatten()(layers.Embedding(9, 3)(facts))])
    return keras.Model([image, facts], [layers.Dense(5, name="kind")(x), layers.Dense(2, "softmax", name="side")(x)])


def examples(count):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(count, 8, 8, 3)).astype("float32"), rng.integers(0, 9, (count, 4)).astype("int32")]


@in_node
@pytest.mark.parametrize("quantization", [None, "int8", "weight_only_int8"])
def test_litert_js_runs_what_is_made_for_it_and_the_file_says_so(at_hand, quantization):
    model, data = network(), examples(40)
    artifact = export.to_tflite(model, quantization, representative_data=data, client="web")
    assert artifact.verified_by[1:] == (f"LiteRT.js {LITERT_JS.split('@')[-1]}",)
    assert export.annotate(artifact).metadata["verified_by"] == list(artifact.verified_by)
    few = [array[:3] for array in data]
    for ours, theirs in zip(web.WebModel(artifact.content).run(few), model(few), strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() < ENCODINGS[quantization].tolerance * np.abs(theirs).max()


@in_node
@pytest.mark.parametrize("turned_images", [False, True])
def test_litert_js_leaves_out_zeros_and_computes_the_same(at_hand, turned_images):
    image = keras.Input((33, 20, 3))
    x = layers.Conv2D(8, 3, 2, padding="same", activation="hard_silu")(image)
    x = layers.DepthwiseConv2D(5, 2, padding="same", activation="relu6")(layers.Conv2D(32, 1)(x))
    y = layers.Reshape((1, 1, 32))(layers.Dense(32, "hard_sigmoid")(layers.GlobalAveragePooling2D()(x)))
    x = layers.Conv2D(32, 1)(layers.Multiply()([x, y])) + x
    x = layers.Conv2D(4, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    model = keras.Model(image, layers.Flatten()(x))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense) and layer.kernel.shape[-1] == 32:
            layer.kernel.assign(rng.normal(size=layer.kernel.shape) * (rng.random(layer.kernel.shape) < 0.2))
    fast = export.fast_sparse(model, turned_images=turned_images)
    artifact = export.to_tflite(fast, sparse=True, client="web")  # which compares LiteRT.js with the fast network
    assert artifact.sparse and artifact.relative_error < 1e-5 and len(artifact.verified_by) == 2
    x = rng.normal(size=(3, 33, 20, 3)).astype("float32")
    (outputs,) = web.WebModel(artifact.content).run([x[:, ::-1, ::-1] if turned_images else x])
    np.testing.assert_allclose(outputs, model(x), rtol=0, atol=1e-5 * np.abs(model(x)).max())


@in_node
def test_what_litert_js_refuses_or_computes_otherwise_is_an_error(at_hand, monkeypatch):
    with pytest.raises(RuntimeError, match=r"\w"):
        web.WebModel(export.to_tflite(network(), client="cpu").content).run(examples(2))  # of any number of examples
    run = web.WebModel.run
    monkeypatch.setattr(web.WebModel, "run", lambda self, inputs: [2 * output for output in run(self, inputs)])
    with pytest.raises(export.ConversionError, match=r"outputs in LiteRT\.js differ from the Keras model's"):
        export.to_tflite(network(), client="web")


@in_node
def test_files_share_a_process_which_begins_anew_once_it_has_ended(at_hand):
    model, few = network(), examples(2)
    files = [
        web.WebModel(export.to_tflite(model, quantization, client="web").content) for quantization in (None, "float16")
    ]
    processes = []
    for file in files:
        assert file.latency_ms(few, repeats=3) > 0
        processes.append(web._PROCESS._process)
    with pytest.raises(RuntimeError, match=r"\w"):
        web.WebModel(export.to_tflite(model, client="cpu").content).latency_ms(few)
    assert web._PROCESS._process is processes[0] is processes[1]
    processes[0].kill()
    processes[0].wait()
    assert all(len(times) == 3 for times in files[0].times_ms(few, 3).values())
    assert web._PROCESS._process is not processes[0]


@pytest.mark.parametrize("client, variable", [("web", None), ("web", ""), ("cpu", "nowhere")])
def test_nothing_is_run_there_where_it_is_not_asked_for(client, variable, monkeypatch):
    if variable is None:
        monkeypatch.delenv(web.VARIABLE, raising=False)
    else:
        monkeypatch.setenv(web.VARIABLE, variable)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    assert len(export.to_tflite(model, client=client).verified_by) == 1


def test_folder_without_the_package_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(web.VARIABLE, str(tmp_path))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(
        ValueError, match=r"CVHN_TF_LITERT_JS to name a folder node_modules .*Received: CVHN_TF_LITERT_JS="
    ):
        export.to_tflite(model, client="web")
