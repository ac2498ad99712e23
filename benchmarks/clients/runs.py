"""Running a client on all files, in a process of its own, or one for each file if a file ends that."""

import dataclasses
import json
import pathlib
import subprocess
from collections.abc import Mapping, Sequence

from benchmarks.clients.environments import UnavailableError
from benchmarks.clients.table import Client


@dataclasses.dataclass(frozen=True)
class Run:
    """What a client did.

    Args:
        version: Its version, in words; None if it could not be had.
        problem: Why it could not be had, a sentence.
        outcomes: File -> `difference` (None if not a number), with `partly` if the GPU left operations to the
            processor; `refused` with what it said; or `left_out` if its inputs are none that the client takes.
    """

    version: str | None
    problem: str | None = None
    outcomes: Mapping[str, dict] = dataclasses.field(default_factory=dict)


def run(client: Client, files: Sequence[str], folder: pathlib.Path, work: pathlib.Path | None = None) -> Run:
    """Sets a client up in a folder, and runs files.

    Args:
        client: `Client`.
        files: Names of files.
        folder: Folder of the clients.
        work: Folder with the files in its folder `files`, and for results; by default that of the clients.
    """
    work = work or folder
    try:
        command = client.command(folder)
    except UnavailableError as error:
        return Run(None, str(error))
    version, outcomes, end = _lines(client, command, files, work)
    if version is None:
        return Run(None, f"It did not start: {end or 'it wrote nothing'}")
    if len(outcomes) < len(files):  # and what ended it may have spoilt more than the file it ended with
        outcomes = {}
        for file in files:
            _, alone, end = _lines(client, command, [file], work)
            outcomes |= alone or {file: {"refused": f"ends the process ({end or 'without a word'})"}}
    return Run(version, None, outcomes)


def _lines(client, command, files, folder):
    """Version, outcomes and how it ended, of one process for some files."""
    results = folder / f"{client.name}.jsonl"
    results.unlink(missing_ok=True)
    end = _end([*command, str(folder / "files"), str(results), *files], client.longest_s)
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    version = next((line["version"] for line in lines if "version" in line), None)
    problem = next((line["problem"] for line in lines if "problem" in line), end)
    return version, {line.pop("file"): line for line in lines if "file" in line}, problem


def _end(command, longest_s):
    """How a process ended, in words; empty if well."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=longest_s)
    except subprocess.TimeoutExpired:
        return f"after {longest_s:g} s"
    if result.returncode == 0:
        return ""
    said = [line for line in result.stderr.splitlines() if line.strip()]
    return f"status {result.returncode}: {said[-1][:200]}" if said else f"status {result.returncode}"
