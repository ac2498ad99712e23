"""What all tests share.

TensorFlow is imported within fixtures: the process that hands out the tests reads this file before it starts those that
run them, and needs none of it.
"""

import gc
import os

import numpy as np
import pytest
from command_line import run
from optional_tools import find_tool

# Graphs are many objects that live long, over which Python's default looks in vain for garbage again and again.
gc.set_threshold(50_000, 20, 20)

# By how long they take; the last files of a run should be short, or one worker waits for the other.
SLOW_FILES = (
    "differential/test_exports_against_keras",
    "training/test_distribution",
    "models/test_combinations",
    "project/test_documents",
    "models/test_silent_faults",
    "structure/test_searched_model",
    "training/test_resumption",
    "models/test_architectures",
    "differential/test_keras_layers",
    "search/test_best",
    "project/test_examples",
    "differential/test_against_keras",
    "tests/test_numerical_safety",
    "tests/test_hypernetwork",
    "clients/test_clients",
    "tests/test_keras_habits",
    "project/test_benchmarks",
    "packing/test_packed",
    "cli/test_train",
    "cli/test_export",
    "search/test_metric",
    "models/test_mlperf_tiny",
    "cli/test_processes",
    "conversion/test_encodings",
    "conversion/test_convert",
)


def pytest_collection_modifyitems(items):
    def place(item):
        path = item.path.with_suffix("").as_posix()
        return next((i for i, name in enumerate(SLOW_FILES) if path.endswith(name)), len(SLOW_FILES))

    items.sort(key=place)


def pytest_collection_finish():
    gc.freeze()  # nor is there any garbage among what was imported


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    missing = [name for mark in item.iter_markers("optional_tool") for name in mark.args if find_tool(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(autouse=True)
def same_seed_for_every_test():
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def no_determinism_left_by_other_tests():
    """`cvhn-tf train` makes the operations of its process deterministic, which TensorFlow has no public way to end."""
    from tensorflow.python.framework import config as tensorflow_config

    yield
    tensorflow_config.disable_op_determinism()


@pytest.fixture
def target():
    import keras

    return keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")], name="target"
    )


@pytest.fixture
def data():
    """64 examples of three well separated classes."""
    rng = np.random.default_rng(0)
    y = np.arange(64) % 3
    x = rng.normal(size=(3, 8))[y] * 2 + rng.normal(size=(64, 8)) * 0.3
    return x.astype("float32"), y


@pytest.fixture
def compiled(target):
    """Makes a compiled hypernetwork of the small target."""
    import cvhn_tf

    def make(compile_arguments=None, **arguments):
        model = cvhn_tf.VariationalHypernetwork(target, **arguments)
        model.compile(
            cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy", metrics=["accuracy"], **(compile_arguments or {})
        )
        return model

    return make


@pytest.fixture(scope="session")
def model_path(tmp_path_factory):
    """A hypernetwork of digits that `cvhn-tf train` wrote."""
    path = tmp_path_factory.mktemp("train") / "new" / "digits.keras"
    result = run(
        "train", "--dataset", "digits", "--target", "mlp_50", "--epochs", 10, "--batch-size", 64, "--output", path
    )
    assert result.exit_code == 0, result.output
    assert "test accuracy" in result.output
    assert [file.name for file in path.parent.iterdir()] == ["digits.keras"]
    return path


@pytest.fixture
def accuracy_of():
    """Measures a TFLite file on the test digits, by LiteRT alone."""

    def measure(path):
        from ai_edge_litert.interpreter import Interpreter

        from cvhn_tf import datasets

        digits = datasets.load("digits")
        interpreter = Interpreter(model_path=os.fspath(path))
        given, made = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
        interpreter.resize_tensor_input(given, digits.x_test.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given, digits.x_test)
        interpreter.invoke()
        return np.mean(interpreter.get_tensor(made).argmax(axis=-1) == digits.y_test)

    return measure


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window, for tests `in_a_browser`; it notes what its pages say and ask for."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = find_tool("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(find_tool("chromedriver")))
    yield driver
    driver.quit()
