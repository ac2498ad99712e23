"""Networks that people have, stage by stage: fit, save, prune, compact, each encoding, pack.

Each network is a process of its own, so that its peak of memory is its own, and what ends one leaves the others. A
stage that fails is told by the first line of its error. Rows are kept as they come; a network that has one is not run
again. `--page` writes docs/applications.md from them.

python -m benchmarks.robustness.applications --page docs/applications.md
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from cvhn_tf.files.atomic import write_atomically

_ENCODINGS = ("float32", "float16", "dynamic_range", "int8", "weight_only_int8")


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", help="by default all that are known here")
    parser.add_argument("--limit", type=float, default=1800, help="seconds for each network")
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/applications/results.json")
    )
    parser.add_argument("--page", type=pathlib.Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main():
    args = parse()
    if args.measure:
        measure(args.measure, args.output)
        return
    from benchmarks.machine import describe_machine
    from benchmarks.robustness.known_networks import known_networks

    kept = json.loads(args.output.read_text()) if args.output.exists() else {"rows": {}}
    kept["machine"] = describe_machine()
    for name in known_networks() if args.networks is None else args.networks:
        if name in kept["rows"]:
            continue
        kept["rows"][name] = run(name, args)
        print(name, json.dumps(kept["rows"][name]), flush=True)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(args.output, (json.dumps(kept, indent=1) + "\n").encode())
    if args.page:
        write_atomically(args.page, page(kept).encode())


def run(name, args):
    """The row of one network, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "row.json"
        command = [sys.executable, "-m", __spec__.name, f"--measure={name}", f"--output={path}"]
        with open(pathlib.Path(folder) / "log", "w+") as log:
            try:
                code = subprocess.run(command, stdout=log, stderr=log, timeout=args.limit).returncode
            except subprocess.TimeoutExpired:
                code = f"stopped after {args.limit:g} s"
            row = json.loads(path.read_text()) if path.exists() else {"stages": {}}
            if code:
                row["ended"] = str(code)
                log.seek(0)
                print(log.read()[-2000:], file=sys.stderr)
        return row


def measure(name, path):
    """Runs the stages of a network; writes the row after each, so that what ends the process leaves what was seen."""
    import keras
    import numpy as np

    import cvhn_tf
    from benchmarks.robustness.known_networks import known_networks
    from benchmarks.speed.step_time_variants import peak_mb
    from cvhn_tf import export

    keras.utils.set_random_seed(0)
    known = known_networks()[name]
    target = known.make()
    row = {"weights": target.count_params(), "stages": {}}
    made = {}

    def stage(title, work, *needs):
        if any(need not in made for need in needs):
            return
        start = time.perf_counter()
        try:
            made[title], told = work()
        except Exception as error:
            told = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"}
        row["stages"][title] = {"seconds": round(time.perf_counter() - start, 2), **told}
        row["peak_gb"] = round(peak_mb() * 2**20 / 1e9, 2)
        write_atomically(path, json.dumps(row).encode())

    rng = np.random.default_rng(0)
    x, y = known.draw(target, rng, 32), rng.integers(0, 10, 32)

    def construct():
        return cvhn_tf.VariationalHypernetwork(target, seed=0), {}

    def fit():
        model = made["construct"]
        model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
        history = model.fit(x, y, batch_size=8, epochs=1, verbose=0)
        return model, {"loss": history.history["loss"][-1]}

    def load():
        model = made["fit"]
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "model.keras"
            model.save(file)
            size = file.stat().st_size
            loaded = keras.saving.load_model(file, safe_mode=True)
        difference = np.abs(loaded.predict(x, verbose=0) - model.predict(x, verbose=0)).max()
        return loaded, {"difference": float(difference), "bytes": size}

    def at():
        network = made["fit"].at(1.0)
        difference = np.abs(network.predict(x, verbose=0) - made["fit"].predict(x, verbose=0)).max()
        return network, {"difference": float(difference)}

    def prune():
        network = export.prune(made["fit"], 1.0, 0.5)
        zeros = sum(int(np.sum(np.asarray(w) == 0)) for w in network.trainable_weights)
        return network, {"zeros": zeros / sum(int(np.prod(w.shape)) for w in network.trainable_weights)}

    def units():
        return export.prune(made["fit"], 1.0, 0.5, structure="unit"), {}

    def compact():
        pruned = made["prune units"]
        network = export.compact(pruned)
        difference = np.abs(network.predict(x, verbose=0) - pruned.predict(x, verbose=0)).max()
        left = network.count_params() / pruned.count_params()
        return network, {"difference": float(difference), "left": round(left, 4)}

    def encode(encoding):
        artifact = export.to_tflite(
            made["prune"], None if encoding == "float32" else encoding, representative_data=x, client="cpu"
        )
        return artifact, {"bytes": artifact.size_bytes}

    def pack():
        packed = export.pack(made["fit"], 1.0, 0.5)
        return packed, {"bytes": packed.size_bytes}

    stage("construct", construct)
    stage("fit", fit, "construct")
    stage("save and load", load, "fit")
    stage("at", at, "fit")
    stage("prune", prune, "fit")
    stage("prune units", units, "fit")
    stage("compact", compact, "prune units")
    for encoding in _ENCODINGS:
        stage(encoding, lambda encoding=encoding: encode(encoding), "prune")
    stage("pack", pack, "fit")
    os._exit(0)  # TensorFlow's threads have nothing more to say


def page(kept):
    """The page of the documentation: a table of all networks, and each error once."""
    notes = []

    def cell(row, stage, tell):
        told = row["stages"].get(stage)
        if told is None:
            return "–"
        if "error" not in told:
            return tell(told)
        # Of one cause in several encodings, the first.
        error = re.sub(r" with quantization=\S+:", ":", told["error"].partition("; ")[0])
        if error not in notes:
            notes.append(error)
        return f"[{notes.index(error) + 1}]"

    def same(told):
        return "same" if told["difference"] == 0 else f"{told['difference']:.0e}"

    def seconds(told):
        return f"{told['seconds']:.0f}"

    def kilobytes(told):
        return f"{told['bytes'] / 1000:,.0f}"

    columns = {
        "made, s": ("construct", seconds),
        "`fit`, s": ("fit", seconds),
        "saved and loaded": ("save and load", same),
        "`at`": ("at", same),
        "`prune`": ("prune", lambda told: f"{told['zeros']:.0%}"),
        "units: left": ("compact", lambda told: f"{told['left']:.0%}"),
        **{encoding: (encoding, kilobytes) for encoding in _ENCODINGS},
        "packed": ("pack", kilobytes),
    }
    # A stage that is newer than all rows has no column yet.
    seen = {stage for row in kept["rows"].values() for stage in row["stages"]}
    columns = {title: column for title, column in columns.items() if column[0] in seen}
    lines = [f"| network | weights | {' | '.join(columns)} | peak, GB |", "| --- " * (len(columns) + 3) + "|"]
    for name, row in kept["rows"].items():
        cells = [cell(row, stage, tell) for stage, tell in columns.values()]
        ended = f" (ended by {row['ended']})" if "ended" in row else ""
        lines.append(
            f"| {name}{ended} | {row.get('weights', 0):,} | {' | '.join(cells)} | {row.get('peak_gb', 0):.1f} |"
        )
    of_units = "| units: left | parameters that `compact` left where units with half of the weights were to go |"
    notes = [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    machine = kept["machine"]
    return "\n".join(
        [
            "# Networks that people have",
            "",
            "`python -m benchmarks.robustness.applications` takes families of keras.applications, and small backbones "
            "of keras-hub with a pooled classifier, through all stages, with random weights and 32 random examples; "
            "this page is made from what it saw. It tells whether they work, not what they lose: that is under "
            "[results](results.md).",
            "",
            "| column | meaning |",
            "| --- | --- |",
            "| made, `fit` | seconds to make the hypernetwork; for four steps of eight examples, tracing included |",
            "| saved and loaded, `at` | largest difference of its outputs from those of the hypernetwork |",
            "| `prune` | share of zeros among trainable weights where half of what may be pruned was to go |",
            *[of_units] * ("units: left" in columns),
            '| encodings, packed | kB of the verified file of half the weights, by `client="cpu"`; of the packed one |',
            "| peak | of the process, 0.7 GB of it the libraries |",
            "| [1], – | the error below; not measured, or not reached by a process that ended: −9 for want of memory |",
            "",
            *lines,
            "",
            *notes,
            "",
            f"{machine['processor']}, {machine['cores']} cores, shared with other work: times are no more than a "
            f"rough measure. TensorFlow {machine['tensorflow']}, Keras {machine['keras']}.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
