"""The work of `compare`: many TFLite files measured, the best kept, and a report on all of them."""

from cvhn_tf import export as stages
from cvhn_tf_cli.terminal import make_table, progress, show
from cvhn_tf_cli.work.export import calibration_images, name_encoding

_LONGEST_TABLE = 20


def compare(model, dataset, folder, *, complexities, sparsities, quantizations, client, command, metric="accuracy"):
    """Compares, then writes and prints what came of it. `complexities` may be None, as in `cvhn_tf.export.compare`.

    `command` is the command line that asked for it, for the report.
    """
    with progress("Exporting and measuring", 1, "files") as advance:
        comparison = stages.compare(
            model,
            (dataset.x_test, dataset.y_test),
            complexities=complexities,
            sparsities=sparsities,
            quantizations=quantizations,
            client=client,
            representative_data=calibration_images(dataset),
            labels=dataset.classes,
            metric=metric,
            progress=lambda done, total, *_: advance(done, "", total),
        )
    if not comparison.rows:
        raise stages.ConversionError(f"None of the files works in LiteRT: {comparison.skipped[0].reason}")
    comparison.to_csv(folder / "table.csv")
    comparison.to_json(folder / "table.json")
    comparison.to_markdown(folder / "table.md")
    comparison.plot(folder / "plot.png")
    for stale in folder.glob("complexity-*_sparsity-*_*.tflite"):
        stale.unlink()
        stale.with_suffix(".json").unlink(missing_ok=True)
    kept = _rows_to_keep(comparison.rows, comparison.metric)
    files = {row: _file_name(row) for row in kept}
    for row, name in files.items():
        comparison.artifact_of(row).save(folder / name)
    comparison.report(folder / "report.html", command, files)
    _show_comparison(comparison, kept, folder)


def _rows_to_keep(rows, metric):
    """The Pareto front, and for each complexity the smallest file within one percentage point of its best.

    Of another metric than accuracy, within a hundredth of its value.
    """
    kept = [row for row in rows if row.pareto]
    for complexity in dict.fromkeys(row.complexity for row in rows):
        same = [row for row in rows if row.complexity == complexity]
        good = metric.lowered(max(metric.score(row) for row in same), 0.01)
        kept.append(min((row for row in same if metric.score(row) >= good), key=lambda row: row.size_bytes))
    return list(dict.fromkeys(kept))


def _file_name(row) -> str:
    return f"complexity-{row.complexity:.4g}_sparsity-{row.sparsity:g}_{name_encoding(row, '_')}.tflite"


def _show_comparison(comparison, kept, folder):
    metric = comparison.metric
    rows = sorted(comparison.rows, key=lambda row: (row.size_bytes, -metric.score(row)))
    shown = rows if len(rows) <= _LONGEST_TABLE else [row for row in rows if row in kept]
    searched = any(row.choices for row in rows)
    table = make_table(
        f"Smallest files first; ★: no smaller file is as {'accurate' if metric.name == 'accuracy' else 'good'}",
        *(
            "",
            "complexity",
            "sparsity",
            "encoding",
            "bits",
            "size_bytes",
            "gzip_bytes",
            "unquantized",
            metric.name,
            "latency_ms",
            *(("multiply_adds", "choices") if searched else ()),
        ),
    )
    for row in shown:
        table.add_row(
            "★" if row.pareto else "",
            f"{row.complexity:.3g}",
            f"{row.sparsity:.3g}",
            name_encoding(row),
            f"{row.description_length_bits:,.0f}",
            f"{row.size_bytes:,}",
            f"{row.gzip_bytes:,}",
            f"{row.unquantized_bytes:,}",
            metric.number(metric.of(row)),
            f"{row.latency_ms:.4f}",
            *((f"{row.multiply_adds or 0:,}", row.choices) if searched else ()),
        )
    show(table)
    clients = sorted({row.latency_client for row in rows if row.latency_client})
    if clients:
        show(f"Latencies: {'; '.join(clients)}.")
    if len(shown) < len(rows):
        show(f"The Pareto front and the best of each complexity; all {len(rows)} rows are in {folder / 'table.md'}.")
    if comparison.rise:
        show(comparison.rise)
    if comparison.skipped:
        show(f"{len(comparison.skipped)} files failed their check and were left out.")
    show(
        f"Wrote {folder}: {len(kept)} .tflite files, a .json file beside each, report.html, plot.png and table.csv, "
        ".json and .md."
    )
