"""The report of `paper.py`: this run's accuracies beside the authors', as table, picture and summary."""

import csv
import json

import numpy as np

from benchmarks.published.plot import plot_accuracies
from benchmarks.published.training import SPARSITIES, column_of


def read_authors(path):
    """Dict from (method, complexity, sparsity) to accuracy; empty without the file."""
    if not path.exists():
        return {}
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return {
        (row["method"], float(row["complexity"]), float(row["sparsity"])): float(row["accuracy"])
        for row in csv.DictReader(lines)
    }


def report(results, *, complexities, shown, authors, arguments, folder):
    """Writes table.csv, plot.png and summary.json, and prints the accuracies and the summary.

    Args:
        results: Dict from method to the results of its trainings, of all starts and, if separate, complexities.
        complexities: The complexities of the table.
        shown: Those of them that are printed and drawn.
        authors: What `read_authors` returned.
        arguments: Dict of the arguments of the run, for the summary.
        folder: Path of the folder to write to.
    """
    table = make_table(results, complexities, authors)
    with open(folder / "table.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, table[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    here, theirs = ({complexity: {} for complexity in shown} for _ in range(2))
    for row in table:
        if row["complexity"] in shown:
            here[row["complexity"]] |= curves_here(row)
            theirs[row["complexity"]][row["method"]] = curve_of_authors(row)
    (folder / "plot.png").write_bytes(plot_accuracies(here, theirs))
    summary = json.dumps(summarize(results, table, arguments), indent=1, ensure_ascii=False)
    (folder / "summary.json").write_text(summary + "\n")
    for complexity in shown:
        print(f"\nλ = {complexity:g}: accuracy by weights pruned (the authors')")
        print(" " * 25 + "".join(f"{sparsity:<15.0%}" for sparsity in SPARSITIES))
        for row in table:
            if row["complexity"] == complexity:
                for name, curve in curves_here(row).items():
                    print(f"{name:25}" + "".join(f"{cell:15}" for cell in cells(curve, curve_of_authors(row))))
    print(f"\n{summary}")


def make_table(results, complexities, authors):
    """A row for each method and complexity: means over starts, standard deviations where there are several."""
    table = []
    for method, trainings in results.items():
        for complexity in complexities:
            rows = [row for training in trainings for row in training["rows"] if row["complexity"] == complexity]
            line = {"method": method, "complexity": complexity, "starts": len(rows)}
            for key in rows[0]:
                if key != "complexity":
                    values = [row[key] for row in rows]
                    line[f"{key}_mean"] = float(f"{np.mean(values):.6g}")
                    line[f"{key}_stddev"] = float(f"{np.std(values, ddof=1):.6g}") if len(values) > 1 else None
            for sparsity in SPARSITIES:
                line[f"authors_{column_of(sparsity)}"] = authors.get((method, complexity, sparsity))
            table.append(line)
    return table


def curve_here(row, scope="layer"):
    """Dict from sparsity to mean accuracy in this run."""
    return {sparsity: row[f"{column_of(sparsity, scope)}_mean"] for sparsity in SPARSITIES}


def curves_here(row):
    """The curve of a method; the package's defaults have a second one, since by default they prune over all layers."""
    curves = {row["method"]: curve_here(row)}
    if row["method"] == "defaults":
        curves["defaults, all layers"] = curve_here(row, "global")
    return curves


def curve_of_authors(row):
    """Dict from sparsity to the authors' accuracy, where they have one."""
    values = {sparsity: row[f"authors_{column_of(sparsity)}"] for sparsity in SPARSITIES}
    return {sparsity: accuracy for sparsity, accuracy in values.items() if accuracy is not None}


def cells(here, theirs):
    for sparsity, accuracy in here.items():
        yield f"{accuracy:.3f}" + (f" ({theirs[sparsity]:.3f})" if sparsity in theirs else "")


def summarize(results, table, arguments):
    """Dict of arguments, distance from the authors' figures, times and machines."""
    points_above = {}
    for row in table:
        here = curve_here(row)
        differences = [100 * (here[sparsity] - accuracy) for sparsity, accuracy in curve_of_authors(row).items()]
        points_above.setdefault(row["method"], []).extend(differences)
    seconds = {method: np.mean([training["seconds"] for training in of]) for method, of in results.items()}
    every = [training for trainings in results.values() for training in trainings]
    machines = [training["machine"] for training in every]
    return {
        "arguments": arguments,
        "mean_points_above_authors": {method: float(np.mean(of)) for method, of in points_above.items() if of},
        "seconds_a_training": {method: float(value) for method, value in seconds.items()},
        "steps_a_second": {method: of[0]["steps"] / float(seconds[method]) for method, of in results.items()},
        "seconds_of_all_trainings": sum(training["seconds"] for training in every),
        "machines": [machine for i, machine in enumerate(machines) if machine not in machines[:i]],
    }
