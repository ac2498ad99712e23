"""A file as C++ sources: the same bytes, aligned, with the operations and the memory that a firmware has to have."""

import re
import subprocess

import keras
import numpy as np
import pytest
from keras import layers
from optional_tools import find_tool
from places import ROOT

from cvhn_tf import export
from cvhn_tf.export.delivery.c_array import _method
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse
from cvhn_tf.export.verification.micro import MicroModel


@pytest.fixture(scope="module")
def artifact():
    keras.utils.set_random_seed(0)
    stack = [
        layers.Conv2D(4, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(3, "softmax"),
    ]
    network = keras.Sequential([keras.Input((8, 8, 1)), *stack])
    x = np.random.default_rng(0).normal(size=(20, 8, 8, 1)).astype("float32")
    return export.to_tflite(network, "int8", representative_data=x, client="micro")


@pytest.mark.optional_tool("g++")
def test_sources_compile_to_the_bytes_of_the_file_aligned_to_16(artifact, tmp_path):
    header, source = export.to_c_array(artifact, tmp_path / "digits")
    assert (header.name, source.name) == ("digits.h", "digits.cc")
    main = tmp_path / "main.cc"
    main.write_text(
        '#include <cstdint>\n#include <cstdio>\n#include "digits.h"\n'
        "struct Resolver { int added = 0; "
        + "".join(f"void Add{name}() {{ ++added; }} " for name in methods(header))
        + "};\nint main() {\n"
        "  Resolver resolver;\n  digits_add_operations(resolver);\n"
        "  if (reinterpret_cast<std::uintptr_t>(digits_tflite) % 16) return 1;\n"
        "  if (resolver.added != digits_operations) return 2;\n"
        "  return std::fwrite(digits_tflite, 1, digits_tflite_size, stdout) != digits_tflite_size;\n}\n"
    )
    compiler = [find_tool("g++"), "-std=c++11", "-Wall", "-Werror", "-Wno-sign-compare"]
    subprocess.run([*compiler, source, main, "-o", tmp_path / "main"], check=True)
    assert subprocess.run([tmp_path / "main"], check=True, capture_output=True).stdout == artifact.content


# As much of tflite-micro's interfaces as the page uses: its headers are in no package.
MICRO = """
#pragma once
#include <cstddef>
#include <cstdint>
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
struct TfLiteTensor { union { int8_t* int8; } data; size_t bytes; };
namespace tflite {
struct Model;
const Model* GetModel(const void*);
struct MicroOpResolver {};
template <unsigned int count> struct MicroMutableOpResolver : MicroOpResolver { METHODS };
struct MicroInterpreter {
  MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t*, size_t);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor* input(size_t);
  TfLiteTensor* output(size_t);
};
}
"""


@pytest.mark.optional_tool("g++")
def test_lines_of_the_page_on_deployment_compile_with_the_sources(artifact, tmp_path):
    (lines,) = re.findall(r"^```cpp\n(.*?)^```$", (ROOT / "docs/how-to/deploy.md").read_text(), re.M | re.S)
    header, _ = export.to_c_array(artifact, tmp_path / "digits")
    folder = tmp_path / "tensorflow" / "lite" / "micro"
    folder.mkdir(parents=True)
    added = "".join(f"TfLiteStatus Add{name}(); " for name in methods(header))
    for name in ("micro_interpreter.h", "micro_mutable_op_resolver.h"):
        (folder / name).write_text('#include "../../../micro.h"\n')
    (tmp_path / "micro.h").write_text(MICRO.replace("METHODS", added))
    (tmp_path / "main.cc").write_text(lines)
    compiler = [find_tool("g++"), "-std=c++17", "-Wall", "-Werror", "-fsyntax-only", f"-I{tmp_path}"]
    subprocess.run([*compiler, tmp_path / "main.cc"], check=True)


def methods(header):
    return re.findall(r"resolver\.Add(\w+)\(\);", header.read_text())


def test_header_names_each_operation_once_and_the_arena_in_which_the_file_runs(artifact, tmp_path):
    header, _ = export.to_c_array(artifact, tmp_path / "digits.h")
    model = parse(artifact.content)
    operations = {operation_of(model, operator) for operator in model.subgraphs[0].operators}
    assert sorted(methods(header)) == sorted(map(_method, operations))
    assert {"Conv2D", "MaxPool2D", "FullyConnected", "Quantize", "Dequantize"} <= set(methods(header))
    (arena,) = re.findall(r"digits_arena_bytes = (\d+);", header.read_text())
    MicroModel(artifact.content, arena_bytes=int(arena))
    (count,) = re.findall(r"digits_operations = (\d+);", header.read_text())
    assert int(count) == len(operations)


@pytest.mark.parametrize(
    "operation, method",
    [
        ("DEPTHWISE_CONV_2D", "DepthwiseConv2D"),
        ("L2_POOL_2D", "L2Pool2D"),
        ("BATCH_MATMUL", "BatchMatMul"),
        ("PADV2", "PadV2"),
        ("GATHER_ND", "GatherNd"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "UnidirectionalSequenceLSTM"),
        ("RELU6", "Relu6"),
        ("SELECT_V2", "SelectV2"),
    ],
)
def test_methods_have_the_names_of_the_resolver(operation, method):
    assert _method(operation) == method


def test_what_is_not_for_firmware_is_refused_and_nothing_is_written(artifact, tmp_path, monkeypatch):
    network = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"made with client='micro'. Received: one for \('any',\)"):
        export.to_c_array(export.to_tflite(network), tmp_path / "digits")
    with pytest.raises(ValueError, match="Received: artifact="):
        export.to_c_array(network, tmp_path / "digits")
    with pytest.raises(ValueError, match="a name that C allows"):
        export.to_c_array(artifact, tmp_path / "my-digits.cc")
    monkeypatch.setattr("cvhn_tf.export.verification.micro.is_available", lambda: False)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'cvhn-tf\[micro\]'"):
        export.to_c_array(artifact, tmp_path / "digits")
    assert list(tmp_path.iterdir()) == []
