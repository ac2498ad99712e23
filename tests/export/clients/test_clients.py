"""A file is made for the clients that will run it; what they cannot compute is refused with what to take instead."""

import dataclasses
import importlib.metadata
import re

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers
from long import long_but

from cvhn_tf import export
from cvhn_tf.export.clients import CLIENTS, as_client
from cvhn_tf.export.conversion import convert
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse, type_name
from cvhn_tf.export.tflite.versions import least_runtime
from cvhn_tf.export.verification.litert import LiteRTModel
from cvhn_tf.export.verification.micro import MicroModel, arena_bytes


def lenet():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3), name="images"),
            layers.Conv2D(6, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(5, "softmax"),
        ]
    )


def separable():
    inputs = keras.Input((16, 16, 3), name="images")
    x = layers.Conv2D(8, 3, 2, padding="same", activation="relu")(inputs)
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    x = layers.Conv2D(16, 1, activation="relu6")(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def steps_of_time():
    inputs = keras.Input((7, 10), name="images")
    x = layers.TimeDistributed(layers.Dense(6, "relu"))(inputs)
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(layers.Conv1D(8, 3)(x))))


NETWORKS = {"lenet": lenet, "separable": separable, "steps": steps_of_time}


@pytest.fixture(scope="module")
def networks():
    keras.utils.set_random_seed(1)
    return {name: make() for name, make in NETWORKS.items()}


def examples_for(network, count=40):
    return np.random.default_rng(0).normal(size=(count, *network.input_shape[1:])).astype("float32")


@pytest.fixture(scope="module")
def files(networks):
    """Files by network, encoding and client, each made once."""
    made = {}

    def make(name, quantization, client="any"):
        key = name, quantization, client
        if key not in made:
            data = examples_for(networks[name])
            made[key] = export.to_tflite(networks[name], quantization, representative_data=data, client=client)
        return made[key]

    return make


def versions(content):
    model = parse(content)
    return {
        operation_of(model, operator): model.operatorCodes[operator.opcodeIndex].version
        for operator in model.subgraphs[0].operators
    }


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("quantization", ENCODINGS)
def test_client_gets_a_file_that_its_oldest_runtime_has_operations_for_or_a_sentence(quantization, client, files):
    if quantization in CLIENTS[client].encodings:
        artifact = files("lenet", quantization, client)
        assert artifact.clients == (client,)
        assert least_runtime(parse(artifact.content)) <= CLIENTS[client].runtime
        assert artifact.caveats == ()
    else:
        with pytest.raises(ValueError, match=rf"client='{client}'.*Received: quantization='{quantization}'"):
            files("lenet", quantization, client)


def test_refusal_names_client_cause_and_what_to_take_instead(files):
    sentence = (
        "Expected `quantization` to be one of (None, 'int8') for client='micro': tflite-micro has no operation that "
        "expands float16 weights. If the file will run there only, client='any' or client='cpu' or client='gpu' or "
        "client='web' or client='tflite' takes it. Received: quantization='float16'"
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        files("lenet", "float16", "micro")


def test_several_clients_get_what_all_of_them_compute(networks, files):
    both = as_client(["gpu", "micro"])
    assert both.names == ("gpu", "micro") and both.encodings == (None, "int8") and not both.free_sizes
    artifact = export.to_tflite(networks["lenet"], client=["gpu", "micro"])
    assert artifact.clients == ("gpu", "micro")
    with pytest.raises(ValueError, match="tflite-micro has no operation that expands float16"):
        export.to_tflite(networks["lenet"], "float16", client=("gpu", "micro"))
    assert as_client(("any", "micro")).causes["weight_only_int4"] == CLIENTS["any"].causes["weight_only_int4"]
    assert set(as_client("any").encodings) == {None, "float16", "dynamic_range", "int8"}
    assert as_client("any").runtime == (2, 10)


@pytest.mark.parametrize("client", ["phone", [], None, ["cpu", "phone"], 3])
def test_unknown_client_is_refused_before_any_work(client, networks):
    for make in (export.to_tflite, export.smallest):
        with pytest.raises(ValueError, match=r"Expected `client` to be of \('any', 'cpu'.*Received: client="):
            make(networks["lenet"], client=client)


@pytest.mark.parametrize("client", [name for name in CLIENTS if CLIENTS[name].sparse is not None])
def test_zeros_are_stored_whole_for_clients_that_read_no_sparse_weights(client, networks):
    network = keras.models.clone_model(networks["lenet"])
    kernel = network.layers[3].kernel
    kernel.assign(np.where(np.random.default_rng(0).random(kernel.shape) < 0.95, 0, kernel))
    assert export.to_tflite(network, client="cpu").sparse
    assert not export.to_tflite(network, client=client).sparse
    with pytest.raises(ValueError, match=f"client='{client}'.*client='cpu' or client='tflite' takes it"):
        export.to_tflite(network, sparse=True, client=client)


def test_inputs_of_any_length_are_for_clients_that_take_them():
    inputs = keras.Input((None, 4), name="series")
    network = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Conv1D(3, 2)(inputs))))
    assert export.to_tflite(network, client=("cpu", "tflite")).size_bytes > 0
    for client in ("any", "gpu", "web", "micro"):
        with pytest.raises(ValueError, match=rf"known sizes for client='{client}'.*input 'series' of shape"):
            export.to_tflite(network, client=client)
    with pytest.raises(ValueError, match=r"there only, client='cpu' takes it\. Received: input 'series'"):
        export.to_tflite(network, "dynamic_int4", client="web")


def test_no_client_is_named_for_sparse_integers(networks):
    with pytest.raises(ValueError, match=r"dense ones on WebGPU\. Received: sparse=True"):
        export.to_tflite(networks["lenet"], "dynamic_range", sparse=True, client="web")


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("quantization", long_but({None, "int8"}.__contains__, CLIENTS["any"].encodings))
def test_file_for_any_client_leaves_no_size_open_and_can_still_be_resized(name, quantization, networks, files):
    content = files(name, quantization).content
    model = parse(content)
    (graph,) = model.subgraphs
    assert all(tensor.shapeSignature is None for tensor in graph.tensors)
    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    for place, tensor in enumerate(graph.tensors):
        if tensor.shape is not None and len(tensor.shape):
            assert list(tensor.shape) == list(interpreter._get_tensor_details(place, 0)["shape"]), tensor.name
    x = examples_for(networks[name], 9)
    (source,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(source["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], x)
    interpreter.invoke()
    together = interpreter.get_tensor(made["index"])
    expected = networks[name].predict(x, verbose=0)
    largest = ENCODINGS[quantization].tolerance / 4 * np.abs(expected).max()
    assert np.abs(together - expected).max() < largest


@pytest.mark.parametrize("quantization, version", [("dynamic_range", 9), ("int8", 4)])
def test_dense_kernels_have_one_scale_which_takes_fewer_bytes(quantization, version, files, networks, monkeypatch):
    artifact = files("lenet", quantization)
    assert versions(artifact.content)["FULLY_CONNECTED"] == version
    model = parse(artifact.content)
    for operator in model.subgraphs[0].operators:
        if operation_of(model, operator) == "FULLY_CONNECTED":
            kernel = model.subgraphs[0].tensors[operator.inputs[1]]
            assert type_name(kernel) == "FLOAT32" or len(kernel.quantization.scale) == 1
    before = files("lenet", quantization, "cpu")
    monkeypatch.setattr("cvhn_tf.export.conversion.convert._SMALL_ERROR", -1.0)
    data = examples_for(networks["lenet"])
    of_both = export.to_tflite(networks["lenet"], quantization, representative_data=data, client="cpu")
    assert before.size_bytes <= of_both.size_bytes
    assert of_both.relative_error <= before.relative_error


def test_versions_say_what_integers_of_the_quantizer_ask_for(files):
    whole, half = files("lenet", "weight_only_int8", "cpu"), files("lenet", "weight_only_int4", "cpu")
    assert versions(whole.content)["DEQUANTIZE"] == 5 and versions(half.content)["DEQUANTIZE"] == 6
    multiplied = files("lenet", "dynamic_int4", "cpu")
    assert versions(multiplied.content)["CONV_2D"] == 8 and versions(multiplied.content)["FULLY_CONNECTED"] == 12
    for artifact, release in ((half, b"2.18.0"), (multiplied, b"2.17.0")):
        model = parse(artifact.content)
        (written,) = (
            bytes(model.buffers[entry.buffer].data) for entry in model.metadata if entry.name == b"min_runtime_version"
        )
        assert written.rstrip(b"\0") == release and len(written) == 16


def test_file_that_needs_a_newer_runtime_than_its_client_names_is_refused():
    six_axes = [layers.Reshape((2, 2, 2, 2, 2)), layers.Permute((5, 4, 3, 2, 1)), layers.Flatten()]
    network = keras.Sequential([keras.Input((32,)), *six_axes, layers.Dense(3)])
    with pytest.raises(export.ConversionError, match=r"needs TFLite 2\.12 or newer, and client='any' stands for 2\.10"):
        export.to_tflite(network, client="any")
    assert export.to_tflite(network, client="cpu").caveats == ()


def root(x):
    return keras.ops.sqrt(keras.ops.abs(x) + 1)


@pytest.mark.parametrize(
    "activation, operations",
    [("softsign", {"DIV"}), ("mish", {"EXP", "LOG"}), ("selu", {"EXP"}), (root, {"SQRT"})],
)
def test_what_old_runtimes_have_for_floats_only_stays_in_float(activation, operations):
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((6,)), layers.Dense(8), layers.Activation(activation), layers.Dense(3)])
    data = examples_for(network)
    for client in ("any", "cpu", "tflite", "micro"):
        artifact = export.to_tflite(network, "int8", representative_data=data, client=client)
        model = parse(artifact.content)
        for operation in operations:
            (operator,) = (o for o in model.subgraphs[0].operators if operation_of(model, o) == operation)
            assert type_name(model.subgraphs[0].tensors[operator.outputs[0]]) == "FLOAT32"
        assert least_runtime(model) == (2, 10)


@pytest.mark.parametrize("quantization", long_but({None, "int8"}.__contains__, CLIENTS["any"].encodings))
@pytest.mark.parametrize("activation", ["relu", "hard_sigmoid"])
def test_activations_of_transposed_convolutions_stand_behind_them(activation, quantization):
    keras.utils.set_random_seed(0)
    stack = [layers.Conv2DTranspose(6, 3, bias_initializer="normal"), layers.Activation(activation)]
    network = keras.Sequential([keras.Input((5, 4, 3)), *stack, layers.Flatten(), layers.Dense(4)])
    data = examples_for(network)
    expected = network.predict(data, verbose=0)
    for client in ("any", "cpu", "gpu"):
        artifact = export.to_tflite(network, quantization, representative_data=data, client=client)
        model = parse(artifact.content)
        assert versions(artifact.content)["TRANSPOSE_CONV"] <= 3 and least_runtime(model) == (2, 10)
        off = np.abs(LiteRTModel(artifact).run([data])[0] - expected).max()
        assert off < ENCODINGS[quantization].tolerance * np.abs(expected).max()


def test_dilated_convolutions_for_tflite_micro_have_their_dilation_themselves():
    network = keras.Sequential([keras.Input((12, 12, 6)), layers.Conv2D(16, 3, dilation_rate=2, padding="same")])
    model = parse(export.to_tflite(network, client="micro").content)
    assert [operation_of(model, operator) for operator in model.subgraphs[0].operators] == ["CONV_2D"]


def test_sparse_float16_is_not_taken_beside_transposed_convolutions():
    network = keras.Sequential([keras.Input((4, 5, 6)), layers.Conv2DTranspose(32, 3), layers.Conv2D(4, 1)])
    rng = np.random.default_rng(0)
    network.set_weights([np.where(rng.random(w.shape) < 0.95, 0, w) for w in network.get_weights()])
    assert not export.to_tflite(network, "float16", client="cpu").sparse
    assert export.to_tflite(network, client="cpu").sparse
    with pytest.raises(export.ConversionError, match="transposed convolutions wrongly beside sparse float16"):
        export.to_tflite(network, "float16", sparse=True, client="cpu")


def test_units_of_very_different_scale_are_told_where_kernels_have_one_scale(networks):
    network = keras.models.clone_model(networks["lenet"])
    kernel, bias, following, last = (weight.numpy() for weight in network.weights[2:])
    scales = np.geomspace(0.1, 10, 64)
    network.set_weights(
        [w.numpy() for w in networks["lenet"].weights[:2]] + [kernel * scales, bias, following / scales[:, None], last]
    )
    data = examples_for(network)
    (caveat,) = export.to_tflite(network, "dynamic_range", representative_data=data).caveats
    assert "one for each layer: with client='cpu' the relative error would be" in caveat
    assert export.to_tflite(network, "dynamic_range", representative_data=data, client="cpu").caveats == ()


@pytest.mark.parametrize("quantization", ["dynamic_range", "int8"])
def test_file_with_one_scale_is_taken_where_the_other_fails(quantization, networks, monkeypatch):
    made = convert.converted

    def of_kernels_only(*args):
        if args[-1] is False:
            raise export.ConversionError("no scales of units here")
        return made(*args)

    monkeypatch.setattr(convert, "converted", of_kernels_only)
    monkeypatch.setattr(convert, "_SMALL_ERROR", -1.0)
    data = examples_for(networks["lenet"])
    artifact = export.to_tflite(networks["lenet"], quantization, representative_data=data)
    assert artifact.caveats == () and artifact.size_bytes > 0


def test_clients_may_come_from_a_generator(networks, compiled, data):
    names = ("gpu", "micro")
    assert export.smallest(networks["steps"], client=(name for name in names)).clients == names
    comparison = export.compare(compiled(), data, [1.0], [0.0], client=(name for name in names))
    assert [row.quantization for row in comparison] == [None]


@pytest.mark.parametrize("integer_only", ["yes", 2, None])
def test_integer_only_is_true_or_false(integer_only, networks):
    with pytest.raises(ValueError, match=r"`integer_only` to be True or False. Received: integer_only="):
        export.to_tflite(networks["lenet"], "int8", integer_only=integer_only)


def selecting(places):
    """A network that reads some of its 64 features only."""
    network = keras.Sequential([keras.Input((64,)), layers.Dense(40, "relu"), layers.Dense(5)])
    kernel = network.layers[0].kernel
    kernel.assign(kernel.numpy() * np.isin(np.arange(64), places)[:, None])
    return export.compact(network)


@pytest.mark.parametrize(
    "quantization", long_but({None, "int8", "weight_only_int4"}.__contains__, CLIENTS["web"].encodings)
)
@pytest.mark.parametrize("places", [range(8, 40), [*range(3), *range(30, 44)], range(0, 64, 8)])
def test_selected_features_are_slices_for_clients_without_gather(places, quantization):
    network = selecting(list(places))
    data = examples_for(network)
    expected = network.predict(data, verbose=0)
    for client in ("web", "any") if quantization in CLIENTS["any"].encodings else ("web",):
        artifact = export.to_tflite(network, quantization, representative_data=data, client=client)
        assert "GATHER" not in versions(artifact.content) and artifact.caveats == ()
        batch = LiteRTModel(artifact).run([data])[0]  # resized
        assert np.abs(batch - expected).max() < ENCODINGS[quantization].tolerance * np.abs(expected).max()
    there = export.to_tflite(network, quantization, representative_data=data, client="cpu")
    assert "GATHER" in versions(there.content)


def test_gaps_are_read_again_where_their_weights_take_less_than_a_slice():
    network = selecting(list(range(0, 64, 8)))  # seven features of forty weights in each gap, 280 bytes in 8 bits
    slices = [
        [operation_of(model, operator) for operator in model.subgraphs[0].operators].count("STRIDED_SLICE")
        for model in (parse(export.to_tflite(network, q, client="any").content) for q in (None, "dynamic_range"))
    ]
    assert slices == [8, 0]


def test_weights_are_expanded_before_what_gpus_compute():
    network = selecting(list(range(8, 40)))
    (graph,) = (model := parse(export.to_tflite(network, "weight_only_int8", client="web").content)).subgraphs
    operations = [operation_of(model, operator) for operator in graph.operators]
    assert operations == ["DEQUANTIZE", "DEQUANTIZE", "STRIDED_SLICE", "FULLY_CONNECTED", "FULLY_CONNECTED"]


@pytest.mark.parametrize("quantization", long_but({None, "int8"}.__contains__, CLIENTS["any"].encodings))
def test_convolutions_in_groups_are_convolutions_of_each_group_for_gpus(quantization):
    image = keras.Input((6, 6, 4))
    inside = keras.Sequential([keras.Input((6, 6, 8)), layers.Conv2D(6, 3, groups=2)])
    x = inside(layers.Conv2D(8, 3, padding="same", groups=4, activation="relu")(image))
    x = layers.Conv1D(4, 2, groups=2, bias_initializer="normal")(layers.Reshape((16, 6))(x))
    network = keras.Model(image, layers.Dense(5)(layers.Flatten()(x)))
    data = examples_for(network)
    expected = network.predict(data, verbose=0)
    for client, count in (("any", 8), ("web", 8), ("gpu", 8), ("cpu", 3)):
        artifact = export.to_tflite(network, quantization, representative_data=data, client=client)
        model = parse(artifact.content)
        operations = [operation_of(model, operator) for operator in model.subgraphs[0].operators]
        assert operations.count("CONV_2D") + operations.count("DEPTHWISE_CONV_2D") == count
        off = np.abs(LiteRTModel(artifact).run([data])[0] - expected).max()
        assert off < ENCODINGS[quantization].tolerance * np.abs(expected).max()


def test_parts_of_a_split_that_nothing_reads_are_not_split_off_for_gpus():
    inputs = keras.Input((24,))
    network = keras.Model(inputs, layers.Dense(5)(keras.ops.split(layers.Dense(24)(inputs), [6, 13], axis=1)[1]))
    for client in ("any", "gpu", "web"):
        assert not {"SPLIT", "SPLIT_V"} & set(versions(export.to_tflite(network, client=client).content))
    assert "SPLIT_V" in versions(export.to_tflite(network, client="cpu").content)


@pytest.mark.parametrize("quantization", [None, "int8"])
def test_several_axes_are_reversed_one_by_one_for_old_runtimes(quantization):
    inputs = keras.Input((5, 4, 3))
    network = keras.Model(inputs, layers.Dense(5)(layers.Flatten()(keras.ops.flip(inputs, axis=(1, 2, 3)))))
    data = examples_for(network)
    expected = network.predict(data, verbose=0)
    for client, count in (("any", 3), ("tflite", 3), ("cpu", 1)):
        artifact = export.to_tflite(network, quantization, representative_data=data, client=client)
        model = parse(artifact.content)
        assert [operation_of(model, operator) for operator in model.subgraphs[0].operators].count("REVERSE_V2") == count
        off = np.abs(LiteRTModel(artifact).run([data])[0] - expected).max()
        assert off < ENCODINGS[quantization].tolerance * np.abs(expected).max()


@pytest.mark.parametrize("quantization", long_but({None, "int8"}.__contains__, CLIENTS["any"].encodings))
def test_slices_for_gpus_drop_no_axis(quantization):
    inputs = keras.Input((5, 4, 6))
    maps = layers.Conv2D(8, 3, padding="same")(inputs)
    parts = [maps[:, -1, 1], maps[:, 2:4, 0, 1:], maps[..., -2], keras.ops.unstack(maps, axis=2)[1]]
    outputs = layers.Dense(5)(layers.Concatenate()([layers.Flatten()(part) for part in parts]))
    network = keras.Model(inputs, outputs)
    data = examples_for(network)
    expected = network.predict(data, verbose=0)
    for client in ("any", "gpu", "web", "cpu"):
        artifact = export.to_tflite(network, quantization, representative_data=data, client=client)
        model = parse(artifact.content)
        dropping = [
            operator
            for operator in model.subgraphs[0].operators
            if operation_of(model, operator) == "UNPACK" or getattr(operator.builtinOptions, "shrinkAxisMask", 0)
        ]
        assert len(dropping) == (4 if client == "cpu" else 0) and artifact.caveats == ()
        off = np.abs(LiteRTModel(artifact).run([data])[0] - expected).max()  # resized
        assert off < ENCODINGS[quantization].tolerance * np.abs(expected).max()


@pytest.mark.parametrize("quantization", long_but({"dynamic_range", "int8"}.__contains__, CLIENTS["any"].encodings))
def test_convolutions_of_one_place_and_integer_weights_have_no_strides_for_gpus(quantization):
    inputs = keras.Input((9, 12, 4))
    x = layers.Conv2D(32, 3, 2, padding="same", activation="relu")(inputs)
    # Of 1,024 weights, from which on "dynamic_range" makes integers of them.
    x = layers.Add()([layers.Conv2D(32, 1, 2)(x), layers.Conv2D(32, 3, 2, padding="same")(x)])
    x = layers.Conv1D(32, 1, 3)(layers.Reshape((9, 32))(x))
    network = keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))
    data = examples_for(network)
    expected = network.predict(data, verbose=0)
    for client in ("any", "gpu", "web", "cpu"):
        artifact = export.to_tflite(network, quantization, representative_data=data, client=client)
        model = parse(artifact.content)
        (graph,) = model.subgraphs
        strided = [
            operator
            for operator in graph.operators
            if operation_of(model, operator) == "CONV_2D"
            and list(graph.tensors[operator.inputs[1]].shape)[1:3] == [1, 1]
            and max(operator.builtinOptions.strideH, operator.builtinOptions.strideW) > 1
        ]
        assert len(strided) == (0 if quantization in ("dynamic_range", "int8") and client != "cpu" else 2)
        off = np.abs(LiteRTModel(artifact).run([data])[0] - expected).max()
        assert off < ENCODINGS[quantization].tolerance * np.abs(expected).max()


def test_file_with_an_operation_that_a_client_lacks_somewhere_says_so():
    inputs = keras.Input((6,), dtype="int32")
    network = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Embedding(20, 4)(inputs))))
    for client in ("any", "gpu", "web"):
        (caveat,) = export.to_tflite(network, client=client).caveats
        assert caveat.startswith("GPUs look up no tables, as those of Embedding")
    (caveat,) = export.to_tflite(network, "weight_only_int8", client="web").caveats
    assert caveat.startswith("GPUs look up no tables, as those of Embedding")
    assert export.to_tflite(network, client="cpu").caveats == ()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("quantization", CLIENTS["micro"].encodings)
def test_tflite_micro_runs_what_is_made_for_it(name, quantization, networks, files):
    artifact = files(name, quantization, "micro")
    packages = {"LiteRT": "ai-edge-litert", "tflite-micro": "tflite-micro"}
    litert, micro = (f"{title} {importlib.metadata.version(package)}" for title, package in packages.items())
    assert artifact.verified_by == (litert, micro)
    x = examples_for(networks[name], 5)
    (outputs,) = MicroModel(artifact.content).run([x])
    expected = networks[name].predict(x, verbose=0)
    assert np.abs(outputs - expected).max() < ENCODINGS[quantization].tolerance / 4 * np.abs(expected).max()


@pytest.mark.parametrize("quantization", CLIENTS["micro"].encodings)
def test_nearest_upsampling_joins_copies_for_tflite_micro(quantization):
    inputs = keras.Input((4, 3, 5))
    x = layers.UpSampling1D(10)(layers.Reshape((6, 20))(layers.UpSampling2D((2, 1))(inputs)))
    x = layers.UpSampling2D((2, 3))(layers.Reshape((10, 24, 5))(x))
    network = keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3)(x))))
    data = examples_for(network)
    artifact = export.to_tflite(network, quantization, representative_data=data, client="micro")
    assert len(artifact.verified_by) == 2 and "TILE" not in versions(artifact.content)
    expected = network.predict(data, verbose=0)
    off = np.abs(MicroModel(artifact.content).run([data[:5]])[0] - expected[:5]).max()
    assert off < ENCODINGS[quantization].tolerance / 4 * np.abs(expected).max()
    assert "TILE" in versions(export.to_tflite(network, quantization, representative_data=data).content)


@pytest.mark.parametrize("client", ["any", "micro"])
def test_inputs_and_outputs_are_integers_on_request(client, networks):
    data = examples_for(networks["lenet"])
    artifact = export.to_tflite(networks["lenet"], "int8", representative_data=data, client=client, integer_only=True)
    interpreter = Interpreter(model_content=artifact.content)
    for detail in (*interpreter.get_input_details(), *interpreter.get_output_details()):
        assert detail["dtype"] == np.int8 and detail["quantization"][0] > 0
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(versions(artifact.content))
    labels = networks["lenet"].predict(data, verbose=0).argmax(axis=1)
    assert export.evaluate_tflite(artifact, data, labels).accuracy > 0.9
    with pytest.raises(ValueError, match=r"quantization='int8' with `integer_only`.*'float16', integer_only=True"):
        export.to_tflite(networks["lenet"], "float16", integer_only=True)


def test_file_that_tflite_micro_refuses_is_an_error_with_its_reason():
    inputs = keras.Input((4, 4, 4, 2))
    network = keras.Model(inputs, layers.Conv3D(2, 2)(inputs))
    with pytest.raises(export.ConversionError, match=r"not for client='micro': tflite-micro has no operation CONV_3D"):
        export.to_tflite(network, client="micro")
    unknowing = dataclasses.replace(CLIENTS["micro"], refuses={})
    with pytest.raises(export.ConversionError, match=r"tflite-micro cannot run the file: .*CONV_3D"):
        export.to_tflite(network, client=unknowing)


@pytest.mark.parametrize(
    "layer, operation, quantizations",
    [
        (layers.UpSampling1D(11), "TILE", (None, "int8")),
        (layers.Activation("gelu"), "GELU", (None, "int8")),
        (layers.Embedding(20, 4), r"integers \(SELECT_V2\), as Embedding does", (None, "int8")),
    ],
)
def test_what_tflite_micro_lacks_is_said_without_running_it(layer, operation, quantizations, monkeypatch):
    monkeypatch.setattr("cvhn_tf.export.verification.micro.is_available", lambda: False)
    is_table = isinstance(layer, layers.Embedding)
    shape, dtype = ((6,), "int32") if is_table else ((6, 4), "float32")
    network = keras.Sequential([keras.Input(shape, dtype=dtype), layer, layers.Flatten(), layers.Dense(3)])
    data = np.random.default_rng(0).integers(0, 20, (40, 6)) if is_table else examples_for(network)
    for quantization in quantizations:
        with pytest.raises(export.ConversionError, match=rf"not for client='micro': tflite-micro .*{operation}.*'cpu'"):
            export.to_tflite(network, quantization, representative_data=data, client="micro")


@pytest.mark.parametrize("layer", [layers.LSTM, layers.GRU, layers.SimpleRNN])
@pytest.mark.parametrize("quantization", [None, "int8"])
def test_unrolled_layers_begin_with_constants_in_files_for_one_example(layer, quantization):
    network = keras.Sequential([keras.Input((4, 5)), layer(6, unroll=True), layers.Dense(3)])
    data = examples_for(network)
    artifact = export.to_tflite(network, quantization, representative_data=data, client=("any", "micro"))
    assert len(artifact.verified_by) == 2  # by tflite-micro too
    assert not {"FILL", "SHAPE"} & set(versions(artifact.content))
    expected = network.predict(data, verbose=0)
    batch = LiteRTModel(artifact).run([data])[0]  # resized
    assert np.abs(batch - expected).max() < ENCODINGS[quantization].tolerance * np.abs(expected).max()


def test_file_for_tflite_micro_says_if_it_was_not_run_there(networks, monkeypatch):
    monkeypatch.setattr("cvhn_tf.export.verification.micro.is_available", lambda: False)
    artifact = export.to_tflite(networks["steps"], client="micro")
    assert len(artifact.verified_by) == 1 and "pip install 'cvhn-tf[micro]'" in artifact.caveats[-1]


def test_arena_is_the_least_in_which_all_tensors_find_a_place(files):
    for quantization in (None, "int8"):
        content = files("separable", quantization, "micro").content
        size = arena_bytes(content)
        MicroModel(content, arena_bytes=size)
        with pytest.raises(RuntimeError, match=r"\w"):
            MicroModel(content, arena_bytes=size - 16)  # too little by so few bytes is told, and ends no process
    assert arena_bytes(files("separable", "int8", "micro").content) < arena_bytes(
        files("separable", None, "micro").content
    )


def test_clients_and_what_ran_the_file_stand_in_its_metadata(files):
    annotated = export.annotate(files("lenet", None, "micro"))
    assert annotated.metadata["clients"] == ["micro"]
    assert annotated.metadata["verified_by"] == list(annotated.verified_by)
    assert len(annotated.metadata["verified_by"]) == 2


@pytest.mark.parametrize("option", ["cpu,phone", "phone", ""])
def test_command_line_knows_the_clients(option, tmp_path):
    from command_line import run

    from cvhn_tf_cli.arguments import CLIENTS as names

    assert names == tuple(CLIENTS)
    result = run("export", tmp_path / "none.keras", "--client", option)
    assert result.exit_code == 2 and "Expected `--client` to be one of any, cpu" in result.output


@pytest.mark.parametrize("quantization", [None, "int8"])
def test_first_step_of_unrolled_layers_is_a_constant(quantization):
    keras.utils.set_random_seed(0)
    for layer in (layers.GRU(4, bias_initializer="normal", unroll=True), layers.LSTM(4, unroll=True)):
        network = keras.Sequential([keras.Input((2, 5)), layer, layers.Dense(3)])
        data = examples_for(network)
        artifact = export.to_tflite(network, quantization, representative_data=data)
        model = parse(artifact.content)
        (graph,) = model.subgraphs
        made = {int(i) for operator in graph.operators for i in operator.outputs} | {int(i) for i in graph.inputs}
        for operator in graph.operators:
            assert made.intersection(map(int, operator.inputs)), operation_of(model, operator)
        assert artifact.relative_error < 0.05


def test_splits_whose_parts_are_joined_are_slices_for_gpus():
    inputs = keras.Input((4, 4, 6))
    first, second = keras.ops.split(layers.Conv2D(8, 1)(inputs), 2, axis=-1)
    for joined, client, is_split in (
        (first + second, "any", False),
        (first + second, "cpu", True),
        (first * keras.ops.sigmoid(second), "any", True),
    ):
        network = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(joined)))
        assert ("SPLIT" in versions(export.to_tflite(network, client=client).content)) == is_split


def test_what_gpus_lack_or_compute_wrongly_is_said():
    inputs = keras.Input((6,))
    x = layers.Dense(6)(inputs)
    logs, largest = keras.Model(inputs, keras.ops.log_softmax(x)), keras.Model(inputs, keras.ops.top_k(x, 2)[0])
    (caveat,) = export.to_tflite(logs).caveats
    assert caveat.startswith("GPUs have no LOG_SOFTMAX")
    for client in ("any", "gpu", "web"):
        with pytest.raises(
            export.ConversionError, match=r"TOPK_V2.*wrongly\. .*client='cpu' or client='tflite' takes it"
        ):
            export.to_tflite(largest, client=client)
    pictures = keras.Input((4, 4, 2))
    grown = keras.Model(pictures, layers.UpSampling2D()(layers.Conv2D(3, 1)(pictures)))
    assert export.to_tflite(grown, client=("gpu", "micro")).caveats == ()


@pytest.mark.parametrize(
    ("client", "words"),
    [
        (("cpu", "gpu"), r"\['cpu', 'gpu'\]: LiteRT's GPU accelerator was not seen to compute it right"),
        (["tflite", "cpu"], r"\['tflite', 'cpu'\]: TFLite 2.10 to 2.16 reads integers of 4 bits as of 8"),
    ],
)
def test_errors_name_several_clients_as_they_are_given_and_tell_the_cause_of_the_one_that_has_it(client, words):
    with pytest.raises(ValueError, match=f"for client={words}"):
        export.to_tflite(lenet(), "dynamic_int4", client=client)
