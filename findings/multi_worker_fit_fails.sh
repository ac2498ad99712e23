#!/usr/bin/env bash
set -euo pipefail

# Expected: Model.fit of Keras 3 works under tf.distribute.MultiWorkerMirroredStrategy as it does under
#   MirroredStrategy; in a cluster of one worker it does.
# Happens: with two workers fit raises a ValueError at once, whether the model has been built or not: Keras
#   tries to make a tensor of the two workers' PerReplica batch. Tests on a cluster of one worker do not show
#   it.
# Seen with: TensorFlow 2.21.0, Keras 3.15.1; two processes on the loopback interface.

packages=(tensorflow==2.21.0 keras==3.15.1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
if [ -z "${FINDINGS_VENV:-}" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "${packages[@]}"
fi

export TF_CPP_MIN_LOG_LEVEL=3 TMPDIR="$work"
cat >"$work/worker.py" <<'PYTHON'
import keras
import numpy as np
import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()
for built in (False, True):
    with strategy.scope():
        model = keras.Sequential(([keras.Input((3,))] if built else []) + [keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    x = np.ones((8, 3), "float32")
    try:
        model.fit(x, x[:, :1], batch_size=8, verbose=0)
        outcome = "trained"
    except ValueError as error:
        outcome = f"ValueError, {'PerReplica to a tensor' if 'PerReplica' in str(error) else str(error)[:100]}"
    print(f"{strategy.num_replicas_in_sync} workers, built {built}: {outcome}")
PYTHON
"$venv/bin/python" - "${packages[@]}" <<'PYTHON' 2>"$work/stderr" || { tail -n 20 "$work/stderr" >&2; exit 1; }
import sys
from importlib.metadata import version

for package in sys.argv[1:]:
    name, pinned = package.split("==")
    assert version(name) == pinned, f"{package} wanted, {version(name)} found"
    print(package)

import json
import os
import socket
import subprocess


def outcomes(workers):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(workers)]
    addresses = [f"localhost:{listener.getsockname()[1]}" for listener in sockets]
    for listener in sockets:
        listener.close()
    processes = []
    for index in range(workers):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(task)}
        command = [sys.executable, os.path.join(os.environ["TMPDIR"], "worker.py")]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    try:
        return [line for process in processes for line in process.communicate(timeout=120)[0].splitlines()]
    finally:
        for process in processes:
            process.kill()


one, two = outcomes(1), outcomes(2)
print(*one, *two, sep="\n")
as_described = (
    len(one) == 2
    and len(two) == 4
    and all(line.endswith("trained") for line in one)
    and all("PerReplica" in line for line in two)
)

print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
