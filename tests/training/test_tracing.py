"""A graph is traced once and serves all epochs and all complexities."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from long import long_but
from tensorflow.python.framework import func_graph

import cvhn_tf


@pytest.fixture
def calls(monkeypatch):
    """Counts how often Python runs the model's `call`, by whether it is for training: once for each trace."""
    counts = {True: 0, False: 0}
    call = cvhn_tf.VariationalHypernetwork.call

    def counted(self, inputs, complexity=None, training=False):
        counts[bool(training)] += 1
        return call(self, inputs, complexity, training)

    monkeypatch.setattr(cvhn_tf.VariationalHypernetwork, "call", counted)
    return counts


@pytest.fixture
def warnings_of_tensorflow():
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append
    logging.getLogger("tensorflow").addHandler(handler)
    yield records
    logging.getLogger("tensorflow").removeHandler(handler)


@pytest.mark.parametrize("samples", long_but({4}.__contains__, [1, 4]))
@pytest.mark.parametrize("parameterization", ["gated", "piecewise_linear"])
def test_fit_with_validation_traces_each_function_once(
    compiled, data, parameterization, samples, calls, warnings_of_tensorflow
):
    model = compiled(parameterization=parameterization, complexity_samples=samples)
    x, y = data
    # Batches of 10 leave a smaller one at the end, of the training data and of the validation data.
    arguments = {"batch_size": 10, "validation_data": (x[:33], y[:33]), "validation_batch_size": 10, "verbose": 0}
    model.fit(x, y, epochs=8, **arguments)
    assert calls == {True: 1, False: 1}
    model.fit(x[:37], y[:37], epochs=3, **arguments)  # and of other data
    assert calls == {True: 1, False: 1}
    assert [record.getMessage() for record in warnings_of_tensorflow] == []


def test_fit_of_one_compiled_step_for_several_batches_traces_once(compiled, data, calls):
    model = compiled(compile_arguments={"steps_per_execution": 4})
    model.fit(*data, batch_size=8, epochs=5, verbose=0)
    traces = calls[True]
    assert traces <= 4  # one for each batch of the step, which is one graph
    model.fit(*data, batch_size=8, epochs=5, verbose=0)
    assert calls[True] == traces


def test_evaluation_and_prediction_at_several_complexities_trace_once(compiled, data, calls, warnings_of_tensorflow):
    model = compiled()
    model.fit(*data, batch_size=16, epochs=5, verbose=0)
    losses, outputs = [], []
    calls[False] = 0
    for complexity in np.geomspace(1e-2, 1e2, 8):
        model.complexity = complexity
        losses.append(model.evaluate(*data, batch_size=10, verbose=0)[0])
    assert calls[False] == 1
    for complexity in np.geomspace(1e-2, 1e2, 8):
        model.complexity = complexity
        outputs.append(model.predict(data[0], batch_size=16, verbose=0))
    assert calls[False] == 2
    assert len(set(losses)) == 8 and not np.array_equal(outputs[0], outputs[-1])
    assert [record.getMessage() for record in warnings_of_tensorflow] == []


def test_networks_at_ten_complexities_come_without_any_graph(compiled, data, monkeypatch):
    model = compiled()
    model.fit(*data, batch_size=16, epochs=2, verbose=0)
    graphs = []
    make = func_graph.FuncGraph.__init__

    def counted(self, name, *args, **kwargs):
        graphs.append(name)
        make(self, name, *args, **kwargs)

    monkeypatch.setattr(func_graph.FuncGraph, "__init__", counted)
    networks = [model.at(complexity) for complexity in np.geomspace(1e-2, 1e2, 10)]
    for complexity in np.geomspace(1e-2, 1e2, 10):
        model.posterior(complexity)
        model.description_length(complexity)
    assert graphs == []
    keras.Model.predict(networks[0], data[0], verbose=0)
    assert graphs != []  # a trace is seen where there is one


def test_what_all_weights_have_in_common_is_in_the_graph_of_a_step_once(compiled, data):
    model = compiled(train_size=64)
    model.train_on_batch(*data)
    graph = tf.function(model.train_step, autograph=False).get_concrete_function(tuple(map(tf.constant, data))).graph
    updates = [operation for operation in graph.get_operations() if operation.type == "ResourceApplyAdam"]
    assert len(updates) == len(model.trainable_variables) > 1
    numbers = {tuple(tensor.name for tensor in update.inputs[3:9]) for update in updates}
    assert len(numbers) == 1
    encodings = [
        operation
        for operation in graph.get_operations()
        if operation.type == "Log" and any(frame.name == "encode" for frame in operation.traceback)
    ]
    assert len(encodings) == 1
