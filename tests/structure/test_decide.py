import keras
import numpy as np
import pytest
from keras import layers
from structure.random_choices import WIDTH, random_target, structures

import cvhn_tf
from cvhn_tf.architecture import architecture, make_network
from cvhn_tf.structure.choices import is_choice
from cvhn_tf.structure.decide import decide
from cvhn_tf.structure.usage import Usage, is_graph, nodes_of


def computed(network, x, paths):
    """What a network with choices gives along some paths, layer by layer."""
    values = {id(network.inputs[0]): x}
    for node in nodes_of(network):
        given = [values[id(tensor)] for tensor in node.input_tensors]
        layer = node.operation
        if is_choice(layer):
            chosen = [given[path] for path in paths[layer.name]]
            result = sum(chosen, np.zeros_like(given[0]))
        else:
            result = computed(layer, *given, paths) if is_graph(layer) else layer(*given).numpy()
        values[id(node.output_tensors[0])] = result
    return values[id(network.outputs[0])]


@pytest.mark.parametrize("seed", range(8))
def test_networks_compute_what_is_chosen_with_no_trace_of_the_rest(seed):
    target = random_target(seed)
    usage = Usage(target)
    x = np.random.default_rng(seed).normal(size=(4, WIDTH)).astype("float32")
    every = list(structures(usage))
    for i in np.random.default_rng(seed).permutation(len(every))[:6]:
        paths = dict(zip([choice.name for choice in usage.choices], every[i], strict=True))
        copy = make_network(architecture(target))
        copy.set_weights(target.get_weights())
        network = decide(copy, paths)
        np.testing.assert_allclose(network(x), computed(target, x, paths), atol=1e-5)
        assert not any(map(is_choice, network._flatten_layers()))
        chosen = [[float(k in of_choice) for k in range(n)] for of_choice, n in zip(every[i], usage.sizes, strict=True)]
        used, _ = usage.probabilities(chosen)
        expected = {
            layer.name for layer, share in zip(usage.layers, used, strict=True) if share and layer.name != "input"
        }
        dense = {layer.name for layer in network._flatten_layers() if isinstance(layer, layers.Dense)}
        assert dense == {name for name in expected if name.startswith(("layer_", "shared", "within", "head"))}
        again = make_network(architecture(network))
        again.set_weights(network.get_weights())
        np.testing.assert_array_equal(again(x), network(x))


def test_no_path_at_all_gives_zeros_without_this_package():
    inputs = keras.Input((4, 4, 2))
    paths = [layers.Conv2D(3, 1, name=f"path_{i}")(inputs) for i in range(2)]
    x = cvhn_tf.OptionalPaths(name="sum")(paths)
    network = decide(keras.Model(inputs, layers.Flatten()(x)), {"sum": ()})
    np.testing.assert_array_equal(network(np.ones((5, 4, 4, 2))), np.zeros((5, 48)))
    assert not network.weights
    assert "cvhn_tf" not in str(architecture(network))


def test_outputs_keep_the_name_of_their_choice():
    inputs = keras.Input((WIDTH,))
    x = cvhn_tf.Choice(name="answer")([layers.Dense(WIDTH)(inputs), inputs])
    for path in (0, 1):
        network = decide(make_network(architecture(keras.Model(inputs, {"a": x}))), {"answer": (path,)})
        assert network.output_names == ["answer"] and list(network.output) == ["a"]


def test_sums_have_names_of_their_own():
    inputs = keras.Input((WIDTH,))
    both = cvhn_tf.OptionalPaths(name="both")
    x = both([layers.Dense(WIDTH)(inputs), inputs])
    x = both([layers.Dense(WIDTH)(x), x])
    target = keras.Model(inputs, cvhn_tf.OptionalPaths(name="logits")([layers.Dense(WIDTH)(x), x]))
    model = cvhn_tf.VariationalHypernetwork(target)
    for chosen in ((True, True), (True, False), (False, False)):
        network = model.at(1.0, structure={"both": chosen, "logits": (True, True)})
        assert network.output_names == ["logits"]
        assert np.isfinite(network(np.ones((2, WIDTH)))).all()
