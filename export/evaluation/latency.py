"""The time of a file for one example, in the program that will run it, where that is at hand on this machine."""

import dataclasses
import importlib.metadata

from cvhn_tf.export.verification import web
from cvhn_tf.export.verification.litert import open_file

_WEB = ("web",)


@dataclasses.dataclass(frozen=True)
class Latency:
    """How long a file takes for one example.

    Args:
        ms: Median time in ms, after a warm-up.
        client: What ran it, with its version, such as `"LiteRT 2.3.0, one thread of this machine"`.
    """

    ms: float
    client: str


def latency_of(content, x, client) -> Latency:
    """The latency of a file.

    Args:
        content: The file's bytes.
        x: Examples, as in `evaluate_tflite`.
        client: `Client`. Of that for web pages alone, the time is that in LiteRT.js in Node.js, where it is at hand;
            of all others that in LiteRT on this processor, which says nothing of a GPU or a microcontroller.

    Raises:
        ValueError: If LiteRT.js cannot run the file.
    """
    litert = open_file(content)
    arrays = litert.take_inputs(x)
    if client.names != _WEB or not web.is_available():
        version = importlib.metadata.version("ai-edge-litert")
        return Latency(litert.latency_ms(arrays), f"LiteRT {version}, one thread of this machine")
    by_place = {detail["index"]: array for detail, array in zip(litert.input_details, arrays, strict=True)}
    model = web.WebModel(content)
    try:
        ms = model.latency_ms([by_place[detail["index"]] for detail in model.input_details])
    except RuntimeError as error:
        raise ValueError(
            f"Expected a file that LiteRT.js can run, with client='web'. Received: {len(content):,} bytes ({error})"
        ) from error
    return Latency(ms, f"{web.version()} in Node.js, WebAssembly on one thread of this machine")
