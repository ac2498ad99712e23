"""What figures were measured on: written beside every result."""

import importlib.metadata
import os
import platform

_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "ai-edge-litert", "numpy", "cvhn-tf")


def describe_machine() -> dict:
    """Kind of machine and versions of the packages that the figures depend on; no names of hosts or people."""
    import tensorflow as tf

    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "gpus": [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
