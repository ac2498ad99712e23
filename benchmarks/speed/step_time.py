"""Time and memory of a training step, against Keras's own `fit` of the same target; and the time of an export.

Each way of training is a process of its own. The processes of a group, plain Keras among them, take turns, one
measurement at a time, so that a noisy machine slows all alike. A measurement is one `fit` on random images: the wall
time from the end of its first steps (a tenth of all) to the end of its last. The first round, which traces, does not
count. `ratio` is that of the medians over the rounds to the plain Keras that took turns with it; lowest and highest are
those of a single round. `peak_mb` is the most memory that the process held, Python and TensorFlow included. All use
`--threads` threads, by default one for each core; the authors' way is measured on one thread too, and ours are compared
with the fastest of its rows.

**Equal work with the authors' way** (784-50-10, `authors_torch.py`). A pair is one example passed forward and backward
at one complexity. The authors' step passes its whole batch for each of 5 λ: 256 · 5 pairs. Ours has one λ, or shares
its batch out between several, each example seeing one: 256 pairs, and 256 · 5 with a batch five times as large.
`pairs_per_second` counts these; a pair of ours is dearer, since local reparameterization makes two linear passes. So
the ratio at equal work is that of pairs per second, fairest where both pass 256 · 5 pairs before they move the weights
once.
`steps_per_second` is the other count: steps of an equal statistical role, one update from one batch of 256 examples
and all λs of the step, so that an epoch has as many on both sides.

Without the package torch (`pip install torch`) the authors' rows are left out.

python -m benchmarks.speed.step_time
python -m benchmarks.speed.step_time --target lenet_5 --rounds 9
python -m benchmarks.speed.step_time --target mlp_50 --quick
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import statistics

from rich.console import Console
from rich.table import Table

from benchmarks.speed.step_time_variants import GROUPS, KERAS, SETTINGS, has_torch, measure, measure_export, variants_of

console = Console()
if not console.is_terminal:
    console.width = 120  # a log wraps by itself
# What a process costs before its first step; of large targets most of it is tracing.
_TIMEOUT_SECONDS = 1800


def parse(arguments=None):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--groups", nargs="+", choices=[*GROUPS, "export"], default=[*GROUPS, "export"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="of a measurement; by default what suits the target")
    parser.add_argument("--batch-size", type=int, help="by default what suits the target")
    parser.add_argument("--threads", type=int, default=cores)
    parser.add_argument("--exports", type=int, default=9, help="complexities that are exported")
    parser.add_argument("--quick", action="store_true", help="few variants, rounds and steps: to try the script")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/step_time"))
    args = parser.parse_args(arguments)
    if args.quick:
        args.rounds, args.steps, args.exports = 2, args.steps or 4, 1
    return args


def main():
    args = parse()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # a notice of each process would hide the figures
    for target in args.target:
        result = run(target, args)
        show(result)
        args.output.mkdir(parents=True, exist_ok=True)
        path = args.output / f"{target}.json"
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        console.print(f"Wrote {path}")


def run(target, args):
    """All measurements of a target, as a dict."""
    setting = SETTINGS[target]
    batch_size, steps = args.batch_size or setting.batch_size, args.steps or setting.steps
    rows = []
    for group in GROUPS:
        variants = list(variants_of(group, target, args.quick).items()) if group in args.groups else []
        for i in range(0, len(variants), setting.at_once):
            taking_turns = {"keras": KERAS, **dict(variants[i : i + setting.at_once])}
            measured = take_turns(target, taking_turns, batch_size, steps, args)
            rows += [{"group": group, **row} for row in summarize(taking_turns, measured, batch_size)]
    exports = _first_answer(measure_export, target, args.exports, args.threads) if "export" in args.groups else None
    from benchmarks.machine import describe_machine  # TensorFlow comes with it: only now, see `start`

    return {
        "target": target,
        "batch_size": batch_size,
        "steps": steps,
        "rounds": args.rounds,
        "threads": args.threads,
        "bar": setting.bar,
        "rows": rows,
        "against_authors": against_authors(rows),
        "export": exports,
        "machine": describe_machine(),
    }


def take_turns(target, variants, batch_size, steps, args):
    """Lists of (ms a step, peak MB) by variant, one for each round but the first."""
    processes = {}
    measured = {name: [] for name in variants}
    for round_ in range(args.rounds + 1):
        for name, variant in variants.items():
            console.print(f"{target}: round {round_} of {args.rounds}, {name}", highlight=False)
            if round_ == 0:  # now, so that only one of them works at a time
                processes[name] = start(measure, target, variant, batch_size, steps, args.threads)
            process, connection = processes[name]
            connection.send(True)
            answer = _receive(process, connection)
            if round_ > 0:
                measured[name].append(answer)
    for process, connection in processes.values():
        connection.send(False)
        process.join()
    return measured


def start(function, *arguments):
    """Starts `function(connection, *arguments)` in a process of its own; gives the process and our end.

    A process begins its count of memory at what its parent holds, so this one must stay small.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=function, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _first_answer(function, *arguments):
    process, connection = start(function, *arguments)
    answer = _receive(process, connection)
    process.join()
    return answer


def _receive(process, connection):
    try:
        if connection.poll(_TIMEOUT_SECONDS):
            return connection.recv()
    except EOFError:
        process.join()
    raise SystemExit(f"A measuring process gave no answer, exit code {process.exitcode}")


def summarize(variants, measured, batch_size):
    """Rows of medians, and of ratios to the variant named "keras"."""
    ms = {name: [answer[0] for answer in answers] for name, answers in measured.items()}
    medians = {name: statistics.median(times) for name, times in ms.items()}
    rows = []
    for name, variant in variants.items():
        ratios = [time / keras for time, keras in zip(ms[name], ms["keras"], strict=True)]
        rows.append(
            {
                "variant": name,
                "step_ms": medians[name],
                "ratio": medians[name] / medians["keras"],
                "lowest_ratio": min(ratios),
                "highest_ratio": max(ratios),
                "steps_per_second": 1e3 / medians[name],
                "pairs_per_second": 1e3 / medians[name] * variant.pairs(batch_size),
                "peak_mb": max(peak for _, peak in measured[name]),
                "all_step_ms": ms[name],
            }
        )
    return rows


def against_authors(rows):
    """How many times as fast as the authors' rows each of ours is, in pairs and in steps; their faster one counts."""
    rows = [row for row in rows if row["group"] == "authors" and row["variant"] != "keras"]
    theirs = [row for row in rows if row["variant"].startswith("authors")]
    if not theirs:
        return {}
    best = {key: max(row[key] for row in theirs) for key in ("pairs_per_second", "steps_per_second")}
    return {row["variant"]: {key: row[key] / best[key] for key in best} for row in rows if row not in theirs}


def show(result):
    table = Table(
        title=f"{result['target']}: batch {result['batch_size']}, {result['threads']} threads, median of "
        f"{result['rounds']} rounds of {result['steps']} steps",
        title_justify="left",
    )
    for column in ("", "ms a step", "ratio to Keras", "lowest to highest", "pairs/s", "peak MB"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for row in result["rows"]:
        if row["variant"] == "keras":
            table.add_section()
        table.add_row(
            row["variant"],
            f"{row['step_ms']:.2f}",
            f"{row['ratio']:.2f}",
            f"{row['lowest_ratio']:.2f} to {row['highest_ratio']:.2f}",
            f"{row['pairs_per_second']:,.0f}",
            f"{row['peak_mb']:,.0f}",
        )
    console.print(table, highlight=False)
    if result["bar"]:
        console.print(f"The defaults should take at most {result['bar']} times as long as Keras.", highlight=False)
    for variant, times in result["against_authors"].items():
        console.print(
            f"{variant}: {times['pairs_per_second']:.2f} times the authors' pairs/s (equal work), "
            f"{times['steps_per_second']:.2f} times their steps/s (equal role)",
            highlight=False,
        )
    if result["target"] == "mlp_50" and not has_torch():
        console.print("torch is not installed: the authors' way was left out.")
    if result["export"]:
        console.print(
            f"Export, ms for a complexity: at {result['export']['at_ms']:.1f}, "
            f"prune and to_tflite {result['export']['prune_and_to_tflite_ms']:.1f}; "
            f"peak {result['export']['peak_mb']:,.0f} MB",
            highlight=False,
        )


if __name__ == "__main__":
    main()
