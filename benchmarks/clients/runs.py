"""Running a client on all files, in processes of its own: one, and another for each file that ends it."""

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


def run(client: Client, files: Sequence[str], folder: pathlib.Path) -> Run:
    """Sets a client up in a folder, and runs the files of its folder `files`."""
    try:
        command = client.command(folder)
    except UnavailableError as error:
        return Run(None, str(error))
    results = folder / f"{client.name}.jsonl"
    version, outcomes, left = None, {}, list(files)
    while left:
        results.unlink(missing_ok=True)
        end = _end([*command, str(folder / "files"), str(results), *left], client.longest_s)
        lines = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
        problem = next((line["problem"] for line in lines if "problem" in line), None)
        version = next((line["version"] for line in lines if "version" in line), version)
        if version is None or problem is not None:
            return Run(None, f"It did not start: {problem or end or 'it wrote nothing'}")
        outcomes |= {line.pop("file"): line for line in lines if "file" in line}
        left = [file for file in files if file not in outcomes]
        if left:
            outcomes[left[0]] = {"refused": f"ends the process ({end or 'without a word'})"}
            left = left[1:]
    return Run(version, None, outcomes)


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
