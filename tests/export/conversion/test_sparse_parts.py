"""Sparse graphs that XNNPACK would compute by channels wrongly, on ARM and in WebAssembly, never begin such a part."""

import pytest
from ai_edge_litert import schema_py_generated as schema

from benchmarks.robustness.sparse_graphs import ELSEWHERE, RIGHT, WRONG, make_network
from cvhn_tf import export
from cvhn_tf.export.tflite.channel_parts import why_not_by_channels
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse


def operators(content, operation):
    model = parse(content)
    return [operator for operator in model.subgraphs[0].operators if operation_of(model, operator) == operation]


@pytest.mark.parametrize("graph", [*WRONG, "squeeze and excite"])
def test_no_part_begins_in_a_sparse_file(graph):
    artifact = export.to_tflite(make_network({**WRONG, **RIGHT}[graph]), sparse=True, client="cpu")
    assert artifact.sparse and artifact.relative_error < 1e-5 and operators(artifact.content, "DENSIFY")
    # Those before depthwise convolutions begin none.
    (pad,) = operators(artifact.content, "PADV2")
    assert pad.builtinOptionsType == schema.BuiltinOptions.PadV2Options
    assert why_not_by_channels(parse(artifact.content), True) is not None


@pytest.mark.parametrize("graph", ["plain", "residual", "swish"])
def test_a_part_that_is_computed_right_stays(graph):
    artifact = export.to_tflite(make_network(RIGHT[graph]), sparse=True, client="cpu")
    assert artifact.sparse and artifact.relative_error < 1e-5 and operators(artifact.content, "DENSIFY")
    assert operators(artifact.content, "PAD") and not operators(artifact.content, "PADV2")
    assert why_not_by_channels(parse(artifact.content), True) is None


@pytest.mark.parametrize("graph", ["stem with SAME", "stem 5x5", "stem padded behind"])
def test_graphs_that_begin_none_are_as_they_were(graph):
    artifact = export.to_tflite(make_network(ELSEWHERE[graph]), sparse=True, client="cpu")
    assert not operators(artifact.content, "PADV2")


def test_dense_files_are_as_they_were():
    network = make_network(WRONG["3x3 convolution"])
    for arguments in ({"client": "any"}, {"client": "cpu", "sparse": False}):
        content = export.to_tflite(network, **arguments).content
        assert operators(content, "PAD") and not operators(content, "PADV2")
