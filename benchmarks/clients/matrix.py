"""Makes files for every client in every encoding, runs them in the clients, and writes the matrix into docs/clients.md.

Each client gets an environment of its own below build/clients, which later runs find there. One that cannot be had is
passed over, with a sentence. The exit status is 1 if a client refuses what was made for it, or computes it wrongly.

python -m benchmarks.clients.matrix --clients tflite,node
"""

import argparse
import datetime
import json
import pathlib
import sys

from benchmarks.clients import cells, page
from benchmarks.clients.table import CLIENTS
from benchmarks.machine import describe_machine

FOLDER = pathlib.Path("build/clients")
RESULTS = pathlib.Path("benchmarks/results/clients")


def main():
    names = [client.name for client in CLIENTS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", help=f"of {', '.join(names)}; by default all. Of some, nothing is written")
    parser.add_argument("--reuse-files", action="store_true", help="run the files of the last time")
    parser.add_argument("--write-page", action="store_true", help="write the page anew of the last results, and end")
    args = parser.parse_args()
    chosen = args.clients.split(",") if args.clients else names
    if unknown := set(chosen) - set(names):
        parser.error(f"no such client: {', '.join(sorted(unknown))}")
    if args.write_page:
        summary = json.loads((RESULTS / "summary.json").read_text())
        page.write_page(summary, cells.read(RESULTS / "table.csv"))
        return 0

    if not args.reuse_files:
        from benchmarks.clients.files import make_files

        make_files(FOLDER / "files")
    summary, found = run_clients([client for client in CLIENTS if client.name in chosen])
    if chosen == names:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
        cells.write(found, RESULTS / "table.csv")
        page.write_page(summary, found)
    sentences = page.failures(found)
    print(*sentences, sep="\n")
    return 1 if sentences else 0


def run_clients(clients):
    """Versions, and the cells of all clients."""
    from benchmarks.clients.runs import run

    cases = json.loads((FOLDER / "files" / "cases.json").read_text())
    versions, found = {}, []
    for client in clients:
        spared = {
            name: {"left_out": True} for name, file in cases["files"].items() if file["encoding"] in client.spares
        }
        done = run(client, [name for name in cases["files"] if name not in spared], FOLDER)
        print(f"{client.title}: {done.version or done.problem}", flush=True)
        versions[client.name] = {"version": done.version, "problem": done.problem}
        if done.version is not None:
            of_client = cells.cells_of(client.name, cases, {**done.outcomes, **spared}, client.is_gpu)
            found += of_client
            for cell in of_client:
                print(f"  {cell.made_for:7} {cell.encoding:17} {cell}", flush=True)
    date = datetime.date.today().isoformat()
    return {"date": date, "machine": describe_machine(), "clients": versions}, found


if __name__ == "__main__":
    sys.exit(main())
