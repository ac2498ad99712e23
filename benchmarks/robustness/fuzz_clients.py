"""Random small architectures, made for clients and run in them: which files are wrong there, and which are refused.

Files for `any` in all of its encodings, for `web` in those that it has beside, and for `micro`. Each client of
`benchmarks/clients` that has to take them runs them, in the environment that `make test-clients` sets up for it. A file
is wrong if it is off by more than its encoding allows and by more than twice what LiteRT's interpreter is off. What is
refused counts by itself where the file's caveats say that GPUs do not take it.

python -m benchmarks.robustness.fuzz_clients --architectures 300
python -m benchmarks.robustness.fuzz_clients --architectures 40 --width 4 --clients litert webgpu gpu
"""

import argparse
import collections
import json
import pathlib
import shutil
import time

from benchmarks.clients.files import described
from benchmarks.clients.runs import run
from benchmarks.clients.table import CLIENTS
from benchmarks.robustness.fuzz_report import finish
from benchmarks.robustness.random_families import architecture, inputs_for
from cvhn_tf import export
from cvhn_tf.export.clients.table import CLIENTS as MADE_FOR
from cvhn_tf.export.conversion.convert import to_tflite_from
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.tflite.encodings import ENCODINGS

FOLDER = pathlib.Path("build/fuzz-clients")
CLIENTS_FOLDER = pathlib.Path("build/clients")
# The first is the one that the others are compared with.
RUN_IN = ("litert", "litert-arm64", "tflite", "node", "webgpu", "gpu", "micro")
_EXAMPLES = 3
_CALIBRATION_EXAMPLES = 40
# Clients start anew after so many architectures.
_BATCH = 10
# A refusal that the file's caveats tell of.
_AS_SAID = "refused, as said"


def make_files(numbers, width, folder, refused) -> dict:
    """Files of some architectures in a folder made anew, with `cases.json`; refusals are counted into `refused`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    web = tuple(set(MADE_FOR["web"].encodings) - set(MADE_FOR["any"].encodings))
    jobs = [("any", MADE_FOR["any"].encodings), ("web", web), ("micro", MADE_FOR["micro"].encodings)]
    cases = {"networks": {}, "files": {}}
    for number in numbers:
        model, family = architecture(number, width)
        name, graphs = f"{number}-{family}", FrozenGraphs()
        calibration = inputs_for(model, _CALIBRATION_EXAMPLES, seed=number)
        cases["networks"][name] = described(model, [x[:_EXAMPLES] for x in calibration])
        for client, quantizations in jobs:
            for quantization in quantizations:
                try:
                    artifact = to_tflite_from(graphs, model, quantization, "auto", _given(model, calibration), client)
                except export.ConversionError as error:
                    refused[client, str(quantization)].append(f"{name}: {str(error)[-300:]}")
                    continue
                file = f"{name}-{client}-{quantization}.tflite"
                artifact.save(folder / file)
                cases["files"][file] = {
                    "network": name,
                    "client": client,
                    "tolerance": ENCODINGS[quantization].tolerance,
                    "caveats": artifact.caveats,
                }
    (folder / "cases.json").write_text(json.dumps(cases))
    return cases


def _given(model, arrays):
    return arrays if len(arrays) > 1 else arrays[0]


def run_files(cases, clients, folder, counts, wrong, versions):
    """Runs the files in those of some clients that have to take them, and counts what came out."""
    expected = {}
    for client in (client for client in CLIENTS if client.name in clients):
        # LiteRT's interpreter runs all, to tell what a client makes wrong from what an encoding does.
        runs_all = client.name == RUN_IN[0]
        files = [file for file, case in cases["files"].items() if runs_all or case["client"] in client.takes]
        if not files:
            continue
        done = run(client, files, CLIENTS_FOLDER, folder)
        versions[client.name] = done.version or done.problem
        for file, outcome in done.outcomes.items():
            case = cases["files"][file]
            word = _judged(outcome, case, expected.get(file))
            if word == "refused":  # which may be what one before it has left behind
                outcome = run(client, [file], CLIENTS_FOLDER, folder).outcomes[file]
                word = _judged(outcome, case, expected.get(file))
            if runs_all:
                expected[file] = outcome.get("difference")
            counts[client.name][word] += 1
            if word not in ("right", _AS_SAID):
                wrong.append({"client": client.name, "file": file, "outcome": word, **outcome, "said": case["caveats"]})


def _judged(outcome, case, in_litert):
    if "refused" in outcome:
        said = set(case["caveats"]).intersection(MADE_FOR[case["client"]].lacks.values())
        return _AS_SAID if said else "refused"
    off = outcome["difference"]
    if off is not None and off <= max(case["tolerance"], 2 * (in_litert or 0.0)):
        return "right"
    return "wrong"


def fuzz(architectures, first, seconds, width=1, clients=RUN_IN, progress=print) -> dict:
    """Makes and runs so many architectures, or as many as there is time for, in some clients, LiteRT among them."""
    counts, refused = collections.defaultdict(collections.Counter), collections.defaultdict(list)
    wrong, versions, start, number = [], {}, time.monotonic(), first
    while number < first + architectures and time.monotonic() - start < seconds:
        batch = range(number, min(number + _BATCH, first + architectures))
        cases = make_files(batch, width, FOLDER / "files", refused)
        before = len(wrong)
        run_files(cases, clients, FOLDER, counts, wrong, versions)
        number = batch.stop
        for found in wrong[before:]:
            progress(json.dumps(found), flush=True)
        told = {name: dict(counter) for name, counter in counts.items()}
        progress(f"{number - first} architectures, {time.monotonic() - start:.0f} s: {told}", flush=True)
    return {
        "architectures": number - first,
        "first": first,
        "width": width,
        "clients": versions,
        "outcomes": {name: dict(counter) for name, counter in counts.items()},
        "not_made": {" ".join(key): messages for key, messages in refused.items()},
        "wrong": wrong,
        "seconds": round(time.monotonic() - start, 1),
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="number of the first of them")
    parser.add_argument("--width", type=int, default=1, help="so many times the channels and units")
    parser.add_argument("--clients", nargs="+", default=RUN_IN, choices=RUN_IN, help="LiteRT is always among them")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no others after these")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("fuzz-clients.json"))
    options = parser.parse_args(arguments)
    clients = {RUN_IN[0], *options.clients}
    found = fuzz(options.architectures, options.first, options.seconds, options.width, clients)
    return finish(found, options.output)


if __name__ == "__main__":
    raise SystemExit(main())
