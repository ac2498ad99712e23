"""The clients, one row each: where it comes from, and how it is run."""

import dataclasses
import importlib.metadata
import pathlib
import shutil
from collections.abc import Callable, Sequence

from benchmarks.clients import environments
from benchmarks.clients.environments import UnavailableError

_RUNNERS = pathlib.Path(__file__).parent / "runners"


@dataclasses.dataclass(frozen=True)
class Client:
    """A client that files are run in.

    Args:
        name: What `--clients` calls it.
        title: Head of its column.
        takes: Names of `to_tflite(client=…)` whose files it has to compute right.
        command: Makes its environment in a folder, and returns the command that takes the folder of the files, a file
            for results, and names of files.
        spares: Encodings that are not run in it, since it has faults with them that end it.
        is_gpu: Whether it is a GPU, of which caveats of files may say that it refuses them.
        longest_s: Seconds after which a run of all files counts as hanging.
    """

    name: str
    title: str
    takes: tuple[str, ...]
    command: Callable[[pathlib.Path], Sequence[str]]
    spares: tuple[str, ...] = ()
    is_gpu: bool = False
    longest_s: float = 600


def _python(kind, name=None, *packages, system_packages=False):
    def command(folder):
        executable = environments.own(folder)
        if name is not None:
            executable = environments.python(folder / name, *packages, system_packages=system_packages)
        return [executable, str(_RUNNERS / "python.py"), kind]

    return command


def _arm64(*packages):
    def command(folder):
        pinned = [f"{package}=={importlib.metadata.version(package)}" for package in packages]  # as in this environment
        return [*environments.arm64(folder / "arm64", *pinned), str(_RUNNERS / "python.py"), "interpreter"]

    return command


_LITERT_JS = "@litertjs/core@2.5.3"


def _node(folder):
    node = environments.node(folder / "litert-js", _LITERT_JS)
    return [node, str(_RUNNERS / "node.mjs"), str(folder / "litert-js" / "node_modules")]


def _chromium(kind):
    def command(folder):
        chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if chromium is None:
            raise UnavailableError("Chromium is not installed.")
        environments.node(folder / "litert-js", _LITERT_JS)
        packages = str(folder / "litert-js" / "node_modules")
        return [environments.own(folder), str(_RUNNERS / "browser.py"), chromium, packages, kind]

    return command


def _gpu(folder):
    """LiteRT's accelerator for GPUs, by the implementation of Vulkan on the processor that Chromium has with it."""
    for home in map(pathlib.Path, ("/usr/lib/chromium", "/usr/lib64/chromium-browser", "/opt/google/chrome")):
        driver = home / "vk_swiftshader_icd.json"
        if driver.is_file():
            variables = [f"LD_LIBRARY_PATH={home}", f"VK_ICD_FILENAMES={driver}", f"VK_DRIVER_FILES={driver}"]
            return ["env", *variables, *_python("gpu")(folder)]
    raise UnavailableError("Chromium's implementation of Vulkan, SwiftShader, is not installed.")


_CPU, _WEB = ("any", "cpu"), ("any", "web")
CLIENTS = [
    Client("litert", "LiteRT Interpreter", _CPU, _python("interpreter")),
    Client("litert-compiled", "LiteRT CompiledModel, CPU", _CPU, _python("compiled-model")),
    Client("litert-arm64", "LiteRT Interpreter, ARM64", _CPU, _arm64("ai-edge-litert", "numpy")),
    Client("litert-1.1", "LiteRT 1.1", _CPU, _python("interpreter", "litert-1.1", "ai-edge-litert==1.1.2", "numpy<2")),
    Client(
        "litert-1.0",
        "LiteRT 1.0",
        ("any",),
        _python("interpreter", "litert-1.0", "ai-edge-litert==1.0.1", "numpy<2"),
        spares=("dynamic_int4",),
    ),
    Client(
        "tflite",
        "TFLite 2.14",
        ("any", "tflite"),
        _python("tflite-runtime", "tflite", "tflite-runtime==2.14.0", "numpy<2"),
    ),
    Client("node", "LiteRT.js wasm, Node.js", _WEB, _node),
    Client("chromium", "LiteRT.js wasm, Chromium", _WEB, _chromium("wasm")),
    Client("webgpu", "LiteRT.js WebGPU", _WEB, _chromium("webgpu"), is_gpu=True),
    Client("webgpu-jspi", "LiteRT.js WebGPU, JSPI", _WEB, _chromium("webgpu-jspi"), is_gpu=True),
    Client("gpu", "LiteRT CompiledModel, GPU", ("any", "gpu"), _gpu, is_gpu=True),
    Client("micro", "tflite-micro", ("micro",), _python("micro", "micro", "tflite-micro==0.dev20261023182759")),
    Client("mediapipe", "MediaPipe ImageClassifier", (), _python("mediapipe", "mediapipe", "mediapipe==1.2.3")),
    Client("openvino", "OpenVINO", (), _python("openvino", "openvino", "openvino==2026.4.1")),
    Client("opencv", "OpenCV", (), _python("opencv", "opencv", "opencv-python-headless==5.0.0.93")),
    Client(
        "onnx",
        "tf2onnx, onnxruntime",
        (),
        _python("onnx", "onnx", "tf2onnx==1.17.0", "onnxruntime==1.32.0", system_packages=True),
    ),
]
