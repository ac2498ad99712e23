"""Workers of `MultiWorkerMirroredStrategy` as processes of this machine, on its loopback."""

import json
import os
import socket
import subprocess


def start_workers(command, count, **options):
    """Starts a command once for each worker, with its TF_CONFIG.

    Args:
        command: List of strings, or a function from the worker's number to one.
        count: Number of workers.
        **options: Arguments of `subprocess.Popen`.

    Returns:
        List of `subprocess.Popen`.
    """
    processes = []
    for index, config in enumerate(worker_configs(count)):
        arguments = command(index) if callable(command) else command
        processes.append(subprocess.Popen(arguments, env={**os.environ, "TF_CONFIG": config}, **options))
    return processes


def worker_configs(count):
    """The TF_CONFIG of each of some workers of this machine."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(count)]}
    return [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}) for index in range(count)]


def free_ports(count):
    """Ports of this machine that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
