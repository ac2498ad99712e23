"""Kills a training at random moments, starts it again, and compares the ends with a training let be.

A run is killed by SIGKILL at a random moment, started again by the same command, killed again, and so on until it has
come to its end. Weights, the optimizer's state, test accuracies and description lengths must be equal, bit by bit.

python -m benchmarks.robustness.kills --kills 20
"""

import argparse
import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import zipfile

import h5py
import numpy as np

OUTPUT = "model.keras"
BACKUP = "model.partial.keras"


def start(folder, arguments):
    """Starts `cvhn-tf train` in a folder of its own."""
    command = [sys.executable, "-m", "cvhn_tf_cli", "train", "--output", OUTPUT, *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Waits for the end of a training, and returns its figures: what it has printed about the model."""
    stdout, stderr = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"The training has failed with exit code {process.returncode}: {stderr}")
    return [line for line in stdout.splitlines() if not line.startswith("Going on")]


def wait_for(name, process, folder, written=None):
    """Waits for a file that the training writes, or for one other than that which was `written` before."""
    while _time_written(folder / name) in (None, written):
        if process.poll() is not None:
            raise RuntimeError(f"The training has ended without {name}: {process.stderr.read()}")
        time.sleep(0.01)


def _time_written(path):
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def run_whole(folder, arguments):
    """Runs a training without any kill.

    Returns:
        Its figures, and the seconds from its first backup to its model.
    """
    process = start(folder, arguments)
    wait_for(BACKUP, process, folder)
    begin = time.monotonic()
    wait_for(OUTPUT, process, folder)
    seconds = time.monotonic() - begin
    return finish(process), seconds


def kill(folder, arguments, seconds, backups=1):
    """Starts a training, or goes on with it, and kills it some seconds after the first backups that it writes.

    Returns:
        Whether the training was still going on.
    """
    process = start(folder, arguments)
    for _ in range(backups):
        wait_for(BACKUP, process, folder, written=_time_written(folder / BACKUP))
    time.sleep(seconds)
    process.kill()
    process.communicate()
    return not (folder / OUTPUT).exists()


def read_state(path):
    """All weights and the optimizer's state in a `.keras` file, by their places in it."""
    state = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: state.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return state


def is_equal(first, second):
    """Whether two states are equal, bit by bit."""
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--target", default="mlp_50")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument(
        "--pace", type=float, default=0.3, help="longest time to a kill, as a share of a whole training"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    args = parser.parse_args()
    arguments = ["--target", args.target, "--dataset", args.dataset, "--epochs", str(args.epochs), "--batch-size", "64"]
    moments = random.Random(args.seed)
    survived, kills, runs = 0, 0, 0
    with tempfile.TemporaryDirectory() as root:
        whole = pathlib.Path(root, "whole")
        whole.mkdir()
        figures, seconds = run_whole(whole, arguments)
        while kills < args.kills:
            folder = pathlib.Path(tempfile.mkdtemp(dir=root))
            of_run = 0
            while kills + of_run < args.kills and kill(folder, arguments, moments.uniform(0, args.pace * seconds)):
                of_run += 1
                print(f"run {runs} was killed {of_run} times", file=sys.stderr, flush=True)
            if of_run == 0:
                continue
            same = finish(start(folder, arguments)) == figures
            same = same and is_equal(read_state(folder / OUTPUT), read_state(whole / OUTPUT))
            same = same and [file.name for file in folder.iterdir()] == [OUTPUT]
            print(f"run {runs}: {'equal' if same else 'NOT equal'}", file=sys.stderr, flush=True)
            kills, survived, runs = kills + of_run, survived + same * of_run, runs + 1
    print(json.dumps({"kills": kills, "of_equal_runs": survived, "runs": runs, "arguments": vars(args)}))
    sys.exit(survived != args.kills)


if __name__ == "__main__":
    main()
