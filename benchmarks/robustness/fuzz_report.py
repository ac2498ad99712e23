"""What a fuzzer does with its result."""

import json

from benchmarks.machine import describe_machine


def finish(result, path) -> int:
    """Writes the result, with the machine, and prints its outcomes; the exit status, 1 if anything came out wrong."""
    result["machine"] = describe_machine()
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["outcomes"]))
    return 1 if result["wrong"] else 0
