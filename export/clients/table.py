"""The clients, one row each. What stands here was seen in the clients themselves: docs/clients.md has the versions."""

from collections.abc import Iterable
from typing import Any

from cvhn_tf.export.clients.client import Client, common
from cvhn_tf.export.tflite.encodings import ENCODINGS

_FLOAT_AND_CLASSIC: tuple[str | None, ...] = (None, "float16", "dynamic_range", "int8")
_NO_EXPANSION = "LiteRT's GPU accelerator has no operation that expands integers to float weights"
# Of those that networks of Keras become; as the package tflite-micro registers operations.
_NOT_IN_MICRO = (
    *(
        "CONV_3D",
        "CONV_3D_TRANSPOSE",
        "GELU",
        "ONE_HOT",
        "POW",
        "RANGE",
        "REDUCE_ANY",
        "REDUCE_PROD",
        "REVERSE_SEQUENCE",
    ),
    *("RFFT2D", "SCATTER_ND", "SELECT", "SIGN", "TILE", "TOPK_V2", "WHERE", "BIDIRECTIONAL_SEQUENCE_LSTM"),
)
_WRONG_ON_GPUS = {
    "CONV_2D/GROUPS": "GPUs take convolutions in groups for convolutions of all channels",
    "TOPK_V2": "GPUs compute the largest numbers (TOPK_V2, as of top_k) wrongly",
}
_NOT_ON_GPUS = (
    "LiteRT's accelerator refuses the file unless the CPU may run that part, and LiteRT.js runs it in WebAssembly"
)
_LACKED_BY_GPUS = {
    "EMBEDDING_LOOKUP": f"GPUs look up no tables, as those of Embedding: {_NOT_ON_GPUS} alone",
    "WHILE": f"GPUs run no loops, as those of recurrent layers without unroll=True: {_NOT_ON_GPUS} alone",
    "FIVE_AXES": f"GPUs take no tensors of more than four axes: {_NOT_ON_GPUS} alone",
    "STRIDED_SLICE/STEPS": (
        f"GPUs cut nothing out of the axis of examples, as TimeDistributed does: {_NOT_ON_GPUS} alone"
    ),
    "LOG_SOFTMAX": f"GPUs have no LOG_SOFTMAX: {_NOT_ON_GPUS} alone",
    "ONE_HOT": f"GPUs have no ONE_HOT: {_NOT_ON_GPUS} alone",
    "ARG_MIN": (
        "LiteRT's GPU accelerator has no ARG_MIN, and refuses the file unless the CPU may run that part; argmax of -x "
        "gives the same"
    ),
    "SAME_INPUTS": f"GPUs join no tensor with itself, as in x − x: {_NOT_ON_GPUS} alone",
    "SHAPE": (
        "LiteRT's GPU accelerator refuses sizes that are found in a run, as those of transposed convolutions and of "
        "recurrent layers for any number of examples: client='any' makes a file for one"
    ),
}
# Which the accelerator computes wrongly where the file leaves parts unread, and refuses where an axis is dropped.
_CUTS = ("SPLIT", "SPLIT_V", "UNPACK", "STRIDED_SLICE")

CPU = Client(
    names=("cpu",),
    title="LiteRT from 1.1 on, on a CPU",
    encodings=tuple(ENCODINGS),  # 1.0 too, but for 'dynamic_int4' with convolutions
    sparse_cost=24.0,  # 20 to 22 on x86 with AVX-512, by benchmarks/speed/sparse_dense.py
    runtime=(2, 18),
)
GPU = Client(
    names=("gpu",),
    title="LiteRT's GPU accelerator",
    encodings=_FLOAT_AND_CLASSIC,
    causes={"weight_only_int8": _NO_EXPANSION, "weight_only_int4": _NO_EXPANSION},
    refuses=_WRONG_ON_GPUS,
    lacks=_LACKED_BY_GPUS,
    sliced=_CUTS,
    strides=False,
    sparse="LiteRT's GPU accelerator takes sparse weights for dense ones, or refuses them",
    by_channels=False,
    free_sizes=False,
    runtime=(2, 18),
    speed=None,
)
WEB = Client(
    names=("web",),
    title="LiteRT.js",
    encodings=tuple(ENCODINGS),
    refuses={
        **_WRONG_ON_GPUS,
        "DEPTHWISE_CONV_2D/EXPANDED": (
            "LiteRT.js computes depthwise convolutions of several filters for each channel wrongly on WebGPU where "
            "integer weights are expanded"
        ),
        "EMBEDDING_LOOKUP/EXPANDED": (
            "LiteRT.js looks up rows of an odd number of 4-bit weights wrongly: expanded on WebGPU, and by themselves"
        ),
    },
    lacks={
        **_LACKED_BY_GPUS,
        "GATHER": "LiteRT.js refuses GATHER on WebGPU, but not in WebAssembly",
        "CONV_2D/INT4_BEHIND": (
            "LiteRT.js leaves convolutions by 4-bit weights to the processor: on WebGPU it may refuse the file in "
            "browsers without JSPI, where one comes behind other operations"
        ),
    },
    sliced=("GATHER", *_CUTS),
    strides=False,
    sparse="LiteRT.js takes sparse weights for dense ones on WebGPU",
    free_batch=False,
    resizes=False,
    free_sizes=False,
    runtime=(2, 18),
)
TFLITE = Client(
    names=("tflite",),
    title="TFLite 2.10 to 2.16",
    encodings=(*_FLOAT_AND_CLASSIC, "weight_only_int8"),
    causes={
        "weight_only_int4": "TFLite 2.10 to 2.16 has no integers of 4 bits",
        "dynamic_int4": "TFLite 2.10 to 2.16 reads integers of 4 bits as of 8",
    },
    runtime=(2, 10),
)
MICRO = Client(
    names=("micro",),
    title="tflite-micro",
    encodings=(None, "int8"),
    causes={
        "float16": "tflite-micro has no operation that expands float16 weights",
        "dynamic_range": "tflite-micro multiplies no floats with integers",
        "weight_only_int8": "tflite-micro reads the scales of all channels as one",
        "weight_only_int4": "tflite-micro has no operation that expands integers of 4 bits",
        "dynamic_int4": "tflite-micro multiplies no floats with integers",
    },
    refuses={
        **{operation: f"tflite-micro has no operation {operation}" for operation in _NOT_IN_MICRO},
        "EXP/INT8": "tflite-micro has EXP, as of exponential, selu or softplus, for floats only",
        "SQRT/INT8": "tflite-micro has square roots, as of a standard deviation, for floats only",
        "SELECT_V2/INT32": "tflite-micro cannot choose between integers (SELECT_V2), as Embedding does",
        "SPACE_TO_BATCH_ND": "tflite-micro computes dilated convolutions in part from memory that was never written",
    },
    sparse="tflite-micro takes sparse weights for dense ones",
    by_channels=False,
    free_batch=False,
    free_sizes=False,
    runtime=(2, 18),
    speed=None,
)
ANY = common("LiteRT and TFLite from 2.10 on, on CPU, GPU and web", (CPU, TFLITE, GPU, WEB), names=("any",))

CLIENTS: dict[str, Client] = {client.name: client for client in (ANY, CPU, GPU, WEB, TFLITE, MICRO)}
"""By the names that `client` takes. `"any"` takes what all of them but tflite-micro compute right."""


def as_client(client: Any) -> Client:
    """The `Client` of a name, or the common one of several names.

    Raises:
        ValueError: If there is no such client, or nothing that all of several compute right.
    """
    if isinstance(client, Client):
        return client
    names = [client] if isinstance(client, str) else list(client) if isinstance(client, Iterable) else [client]
    if not names or not all(isinstance(name, str) and name in CLIENTS for name in names):
        raise ValueError(
            f"Expected `client` to be of {tuple(CLIENTS)}, or several of them. Received: client={client!r}"
        )
    if len(names) == 1:
        return CLIENTS[names[0]]
    chosen = [CLIENTS[name] for name in names]
    return common(" and ".join(one.title for one in chosen), chosen)
