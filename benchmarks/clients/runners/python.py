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

    def run(inputs, sizes):
        for detail, x in zip(model.get_input_details(), inputs, strict=True):
            model.set_tensor(detail["index"], x)
        model.invoke()
        return [model.get_tensor(detail["index"]) for detail in model.get_output_details()]

    return run


def tflite_runtime(path):
    return interpreter(path, "tflite_runtime.interpreter")


def compiled_model(path, accelerator="CPU"):
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator

    model = CompiledModel.from_file(path, HardwareAccelerator[accelerator])
    sources, sinks = model.create_input_buffers(0), model.create_output_buffers(0)

    def run(inputs, sizes):
        for source, x in zip(sources, inputs, strict=True):
            source.write(x)
        model.run_by_index(0, sources, sinks)
        return [sink.read(size, np.float32) for sink, size in zip(sinks, sizes, strict=True)]

    run.partly = accelerator != "CPU" and not model.is_fully_accelerated()
    return run


def gpu(path):
    return compiled_model(path, "GPU")


def micro(path):
    from tflite_micro import runtime

    model = runtime.Interpreter.from_file(path, arena_size=1 << 24)

    def run(inputs, sizes):
        for place, x in enumerate(inputs):
            model.set_input(x, place)
        model.invoke()
        return [np.array(model.get_output(place)) for place in range(len(sizes))]

    return run


def openvino(path):
    import openvino

    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda inputs, sizes: [model(inputs)[place] for place in range(len(sizes))]


def opencv(path):
    import cv2

    model = cv2.dnn.readNetFromTFLite(path)

    def run(inputs, sizes):
        (x,) = inputs
        # It wants channels in front.
        model.setInput(np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x)
        return [model.forward()]

    return run


def onnx(path):
    import onnxruntime
    import tf2onnx

    tf2onnx.convert._convert_common(None, tflite_path=path, opset=18, output_path=path + ".onnx")
    session = onnxruntime.InferenceSession(path + ".onnx", providers=["CPUExecutionProvider"])
    os.remove(path + ".onnx")
    names = [given.name for given in session.get_inputs()]
    return lambda inputs, sizes: session.run(None, dict(zip(names, inputs, strict=True)))


def mediapipe(path):
    import flatbuffers
    import mediapipe
    from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata
    from mediapipe.tasks.metadata import schema_py_generated as schema
    from mediapipe.tasks.python import BaseOptions, vision

    with open(path, "rb") as file:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(file.read()))
    (graph,) = model.subgraphs
    if [list(graph.tensors[i].shape)[3:] for i in graph.inputs] != [[3]]:
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

    def run(inputs, sizes):
        data = np.round(50 * inputs[0][0] + 128).astype("uint8")
        (found,) = classifier.classify(
            mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=data)
        ).classifications
        return [[category.score for category in sorted(found.categories, key=lambda category: category.index)]]

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
    """The largest difference of an output from Keras, as a share of the output's largest number; None if none is."""
    expected = [np.array(output, "float32") for output in network["outputs"]]
    largest = np.zeros(len(expected))
    for example in range(len(expected[0])):
        inputs = [np.array(x["examples"][example], x["dtype"]).reshape(x["shape"]) for x in network["inputs"]]
        for place, output in enumerate(run(inputs, [y.shape[1] for y in expected])):
            off = np.abs(np.array(output, "float32").reshape(-1) - expected[place][example]).max()
            if not np.isfinite(off):
                return None
            largest[place] = max(largest[place], off)
    scales = [max(float(np.abs(y).max()), 1e-6) for y in expected]
    return float(max(largest / scales))


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
