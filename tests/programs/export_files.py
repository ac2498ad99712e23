"""Exports files of a saved model from several threads, each to a path of its own and all to one path.

python export_files.py MODEL FOLDER
"""

import concurrent.futures
import pathlib
import sys

import cvhn_tf
from cvhn_tf import export

JOBS = [
    (0.1, 0.0, None),
    (0.1, 0.9, None),
    (0.1, 0.5, "float16"),
    (10.0, 0.5, "dynamic_range"),
    (10.0, 0.5, "weight_only_int8"),
    (1.0, 0.5, "packed"),
]
ALL_TO = "all"


def make_file(model, complexity, sparsity, encoding):
    """A TFLite file, or a packed one."""
    if encoding == "packed":
        return export.pack(model, complexity, sparsity)
    return export.to_tflite(export.compact(export.prune(model, complexity, sparsity)), encoding, client="cpu")


def name_of(job):
    return "-".join(map(str, job))


def export_at_once(model, folder, threads=3):
    """Exports all jobs to files in a folder from several threads, and each to one file in common."""

    def run(job):
        made = make_file(model, *job)
        made.save(folder / ALL_TO)
        made.save(folder / name_of(job))

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, JOBS))


if __name__ == "__main__":
    export_at_once(cvhn_tf.load_model(sys.argv[1]), pathlib.Path(sys.argv[2]))
