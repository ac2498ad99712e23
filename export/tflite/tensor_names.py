"""Short names of the tensors in a TFLite file; as the converter gives them they are a tenth of a small file."""

import itertools


def shorten_names(model) -> None:
    """Leaves the network's own name out of those of a `ModelT`'s tensors, and all but the first of fused operations.

    `net_1/act/Relu;net_1/conv/convolution` becomes `act/Relu`, and the next of this name `act/Relu_1`. Inputs and
    outputs keep their names, and none gets what another one was called.
    """
    for graph in model.subgraphs:
        before = {tensor.name for tensor in graph.tensors}
        scopes = {name.partition(b"/")[0] for name in before if b"/" in name}
        own = scopes.pop() + b"/" if len(scopes) == 1 else b""
        kept = {int(place) for place in (*graph.inputs, *graph.outputs)}
        given = {graph.tensors[place].name for place in kept}
        for place, tensor in enumerate(graph.tensors):
            if place not in kept:
                short = tensor.name.partition(b";")[0].removeprefix(own)
                tensor.name = next(
                    name
                    for name in _numbered(short)
                    if name not in given and (name not in before or name == tensor.name)
                )
                given.add(tensor.name)


def _numbered(name):
    """The name, then with 1, 2 and so on."""
    return itertools.chain([name], (b"%s_%d" % (name, i) for i in itertools.count(1)))
