"""docs/clients.md has the package's own table of clients, and the cells of its matrix say what came out."""

import math

import pytest
from places import ROOT

from benchmarks.clients import cells, page

CASES = {
    "made": [{"client": "any", "encoding": "int8", "file": f"{name}.tflite"} for name in ("a", "b", "c")],
    "files": {f"{name}.tflite": {"network": name, "tolerance": 0.1} for name in ("a", "b", "c")},
}
RIGHT, WRONG, NAN, REFUSED = (
    {"difference": 4e-7},
    {"difference": 0.9},
    {"difference": None},
    {"refused": "no such thing"},
)


def cell_of(*outcomes):
    (cell,) = cells.cells_of("tflite", CASES, dict(zip(CASES["files"], outcomes, strict=True)))
    return cell


@pytest.mark.parametrize(
    "outcomes, text",
    [
        ((RIGHT, {"difference": 0.02}, RIGHT), "2e-2"),
        ((RIGHT, RIGHT, {"left_out": True}), "4e-7"),
        ((REFUSED, REFUSED, REFUSED), "NO"),
        ((RIGHT, WRONG, REFUSED), "4e-7, NO (1 of 3), WRONG 0.9 (1 of 3)"),
        ((WRONG, NAN, WRONG), "WRONG nan"),
        ((RIGHT, {**RIGHT, "partly": True}, RIGHT), "4e-7†"),
    ],
)
def test_a_cell_says_what_came_out(outcomes, text):
    assert str(cell_of(*outcomes)) == text


def test_only_what_was_made_for_a_client_fails_it():
    cell = cell_of(RIGHT, NAN, REFUSED)
    assert page.failures([cell]) == [
        "TFLite 2.14 refuses c made for `any` in int8.",
        "TFLite 2.14 computes wrongly b made for `any` in int8.",
    ]
    cell.client = "openvino"
    assert page.failures([cell]) == []


def test_what_caveats_tell_of_gpus_fails_none():
    told = {**CASES, "files": {name: {**file, "caveats": ["Not on GPUs"]} for name, file in CASES["files"].items()}}
    outcomes = dict(zip(CASES["files"], (RIGHT, WRONG, REFUSED), strict=True))
    (cell,) = cells.cells_of("webgpu", told, outcomes, is_gpu=True)
    assert str(cell) == "4e-7, NO (1 of 3), WRONG 0.9 (1 of 3)‡"
    assert page.failures([cell]) == ["LiteRT.js WebGPU computes wrongly b made for `any` in int8."]
    (cell,) = cells.cells_of("node", told, outcomes)
    assert len(page.failures([cell])) == 2


def test_cells_come_back_from_a_file(tmp_path):
    written = [cell_of(RIGHT, WRONG, REFUSED), cell_of(RIGHT, RIGHT, RIGHT)]
    cells.write(written, tmp_path / "table.csv")
    assert cells.read(tmp_path / "table.csv") == written
    assert math.isnan(cell_of(NAN, WRONG, RIGHT).wrong_by)


def test_page_has_the_clients_of_the_package():
    """`python -m benchmarks.clients.matrix --write-page` writes them."""
    text = (ROOT / page.PAGE).read_text()
    assert "\n".join(page._rows()) in text
