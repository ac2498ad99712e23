"""The files that clients are tried on: every network, made for each client in each encoding that the client takes."""

import hashlib
import json
import pathlib
import shutil

import numpy as np

from benchmarks.clients.networks import BY_CHANNELS, examples, networks
from cvhn_tf.export.clients.table import CLIENTS
from cvhn_tf.export.conversion.convert import to_tflite_from
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.verification.inputs import outputs_of

_EXAMPLES = 3


def described(model, inputs: list) -> dict:
    """What runners need of a network: its inputs and Keras's outputs, flat, a list for each example.

    Args:
        model: Keras model.
        inputs: List of arrays, one for each input.
    """
    count = len(inputs[0])
    rows = [outputs_of(model, [array[i : i + 1] for array in inputs]) for i in range(count)]
    return {
        "inputs": [
            {"dtype": str(x.dtype), "shape": [1, *x.shape[1:]], "examples": x.reshape(count, -1).tolist()}
            for x in inputs
        ],
        "outputs": [np.concatenate(output).reshape(count, -1).tolist() for output in zip(*rows, strict=True)],
    }


def make_files(folder: pathlib.Path) -> None:
    """Files with Keras's outputs on a few examples, in a folder that is made anew; `cases.json` lists them.

    What is the same for several clients is there once. In `cases.json`, `networks` is as of `described`; `files` says
    what a file holds, and by how much its outputs may differ as a share of the largest one; `made` says what it was
    made for.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    cases = {"networks": {}, "files": {}, "made": []}
    for name, model in networks().items():
        x, _ = examples(model, _EXAMPLES)
        cases["networks"][name] = described(model, [x])
        y = np.array(cases["networks"][name]["outputs"][0])
        assert y.std(axis=0).mean() > 0.1 * np.abs(y).max(), f"{name}: outputs that hardly depend on the input"
        sparse, graphs = name.startswith("sparse"), FrozenGraphs()
        for client in CLIENTS.values():
            for quantization in client.encodings:
                if sparse and not _reads_sparse(client, quantization, name):
                    continue
                calibration, _ = examples(model, 100, seed=2)
                artifact = to_tflite_from(graphs, model, quantization, sparse, calibration, client.name)
                file = f"{name}-{quantization}-{hashlib.sha256(artifact.content).hexdigest()[:8]}.tflite"
                artifact.save(folder / file)
                tolerance = ENCODINGS[quantization].tolerance / 4
                cases["files"][file] = {
                    "network": name,
                    "encoding": artifact.encoding,
                    "tolerance": tolerance,
                    "caveats": artifact.caveats,
                }
                cases["made"].append({"client": client.name, "encoding": artifact.encoding, "file": file})
    (folder / "cases.json").write_text(json.dumps(cases))


def _reads_sparse(client, quantization, network):
    if client.reads_by_channels_alone:
        return network == BY_CHANNELS and quantization is None
    return client.sparse is None and ENCODINGS[quantization].integer_bits is None
