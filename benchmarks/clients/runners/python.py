"""Runs files with a client that is a Python package: `python python.py KIND FOLDER RESULTS FILE…`.

It stands by itself, since it runs in environments that have the client and NumPy only. A line of JSON is added to
RESULTS for the version, and for each file once it has run: the largest difference from Keras as a share of its largest
output, None if it is not a number, or what the client said when it refused.
"""

import importlib
import importlib.metadata
import json
import os
import sys

import numpy as np


def interpreter(path, module="ai_edge_litert.interpreter"):
    model = importlib.import_module(module).Interpreter(path)
    model.allocate_tensors()

    def run(x):
        model.set_tensor(model.get_input_details()[0]["index"], x)
        model.invoke()
        return model.get_tensor(model.get_output_details()[0]["index"])

    return run


def tflite_runtime(path):
    return interpreter(path, "tflite_runtime.interpreter")


def compiled_model(path, accelerator="CPU"):
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator

    model = CompiledModel.from_file(path, HardwareAccelerator[accelerator])
    (source,), (sink,) = model.create_input_buffers(0), model.create_output_buffers(0)

    def run(x):
        source.write(x)
        model.run_by_index(0, [source], [sink])
        return sink.read(10, np.float32)

    run.partly = accelerator != "CPU" and not model.is_fully_accelerated()
    return run


def gpu(path):
    return compiled_model(path, "GPU")


def micro(path):
    from tflite_micro import runtime

    model = runtime.Interpreter.from_file(path, arena_size=1 << 24)

    def run(x):
        model.set_input(x, 0)
        model.invoke()
        return model.get_output(0)

    return run


def openvino(path):
    import openvino

    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: model(x)[0]


def opencv(path):
    import cv2

    model = cv2.dnn.readNetFromTFLite(path)

    def run(x):
        # It wants channels in front.
        model.setInput(np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x)
        return model.forward()

    return run


def onnx(path):
    import onnxruntime
    import tf2onnx

    tf2onnx.convert._convert_common(None, tflite_path=path, opset=18, output_path=path + ".onnx")
    session = onnxruntime.InferenceSession(path + ".onnx", providers=["CPUExecutionProvider"])
    os.remove(path + ".onnx")
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})[0]


def mediapipe(path):
    import flatbuffers
    import mediapipe
    from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata
    from mediapipe.tasks.metadata import schema_py_generated as schema
    from mediapipe.tasks.python import BaseOptions, vision

    with open(path, "rb") as file:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(file.read()))
    (graph,) = model.subgraphs
    if list(graph.tensors[graph.inputs[0]].shape)[3:] != [3]:
        raise NotMeantFor("an image of three colours")
    # It runs no file that does not say how bytes become floats.
    image, scores = metadata.TensorMetadataT(), metadata.TensorMetadataT()
    image.name, scores.name = b"image", b"scores"
    image.content = metadata.ContentT()
    image.content.contentPropertiesType = metadata.ContentProperties.ImageProperties
    image.content.contentProperties = metadata.ImagePropertiesT()
    image.content.contentProperties.colorSpace = metadata.ColorSpaceType.RGB
    unit = metadata.ProcessUnitT()
    unit.optionsType = metadata.ProcessUnitOptions.NormalizationOptions
    unit.options = metadata.NormalizationOptionsT()
    unit.options.mean, unit.options.std = [128.0], [50.0]
    image.processUnits = [unit]
    described = metadata.ModelMetadataT()
    described.subgraphMetadata = [metadata.SubGraphMetadataT()]
    described.subgraphMetadata[0].inputTensorMetadata = [image]
    described.subgraphMetadata[0].outputTensorMetadata = [scores]
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(packed(flatbuffers, described, b"M001"), "uint8")
    entry.name, entry.buffer = b"TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    options = BaseOptions(model_asset_buffer=packed(flatbuffers, model, b"TFL3"))
    classifier = vision.ImageClassifier.create_from_options(vision.ImageClassifierOptions(base_options=options))

    def run(x):
        data = np.round(50 * x[0] + 128).astype("uint8")
        (found,) = classifier.classify(
            mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=data)
        ).classifications
        return [category.score for category in sorted(found.categories, key=lambda category: category.index)]

    return run


def packed(flatbuffers, table, identifier):
    builder = flatbuffers.Builder()
    builder.Finish(table.Pack(builder), identifier)
    return bytes(builder.Output())


class NotMeantFor(Exception):
    """A client takes no inputs such as those of a file, whoever made it."""


# Kind -> how it opens a file, and the packages whose versions count.
KINDS = {
    "interpreter": (interpreter, ["ai-edge-litert"]),
    "compiled-model": (compiled_model, ["ai-edge-litert"]),
    "gpu": (gpu, ["ai-edge-litert"]),
    "tflite-runtime": (tflite_runtime, ["tflite-runtime"]),
    "micro": (micro, ["tflite-micro"]),
    "mediapipe": (mediapipe, ["mediapipe"]),
    "openvino": (openvino, ["openvino"]),
    "opencv": (opencv, ["opencv-python-headless"]),
    "onnx": (onnx, ["tf2onnx", "onnxruntime"]),
}


def difference(run, network):
    expected = np.array(network["outputs"], "float32")
    largest = 0.0
    for x, y in zip(network["inputs"], expected, strict=True):
        output = np.array(run(np.array(x, "float32").reshape(network["shape"]))).reshape(-1)
        largest = max(largest, float(np.abs(output - y).max())) if np.isfinite(output).all() else float("nan")
        if largest != largest:
            return None
    return largest / float(np.abs(expected).max())


def main(kind, folder, results, *files):
    load, packages = KINDS[kind]
    with open(os.path.join(folder, "cases.json")) as file:
        cases = json.load(file)

    def write(**line):
        with open(results, "a") as file:
            file.write(json.dumps(line) + "\n")

    write(version=", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages))
    for name in files:
        try:
            run = load(os.path.join(folder, name))
            outcome = {"difference": difference(run, cases["networks"][cases["files"][name]["network"]])}
            if getattr(run, "partly", False):
                outcome["partly"] = True
        except NotMeantFor:
            outcome = {"left_out": True}
        except Exception as error:
            lines = map(str.strip, (str(error).strip() or repr(error)).splitlines())
            outcome = {"refused": " / ".join(lines)[:400]}
        write(file=name, **outcome)


if __name__ == "__main__":
    main(*sys.argv[1:])
