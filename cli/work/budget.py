"""The work of `export` within budgets: the best file that a search finds, and a report on all that it tried."""

from cvhn_tf import export as stages
from cvhn_tf_cli.arguments import QUANTIZATIONS
from cvhn_tf_cli.terminal import show
from cvhn_tf_cli.work.export import calibration_images, dense_value
from cvhn_tf_cli.work.model_card import passed_over, report_file


def export_within(
    model, output, *, budgets, complexity, sparsity, structure, encoding, client, dataset, command, metric="accuracy"
):
    """Writes the best file within `budgets`, a dict of the command's options, to `output`, and prints its figures.

    What is None of complexity, sparsity and structure, and an encoding `"auto"`, is searched for. Every other test
    image of `dataset` takes part in the choice, and the rest measures the file.
    """
    found = stages.best(
        model,
        (dataset.x_test[::2], dataset.y_test[::2]),
        **{option.removeprefix("--").replace("-", "_"): value for option, value in budgets.items()},
        complexities=None if complexity is None else [complexity],
        sparsities=None if sparsity is None else [sparsity],
        structures=None if structure is None else [structure],
        quantizations=None if encoding == "auto" else [QUANTIZATIONS[encoding]],
        representative_data=calibration_images(dataset),
        labels=dataset.classes,
        client=client,
        metric=metric,
        verbose=True,
    )
    chosen, judge = found.chosen, found.metric
    others = slice(1, None, 2)
    measured = stages.evaluate_tflite(
        found.artifact, dataset.x_test[others], dataset.y_test[others], metric=found.metric
    )
    found.save(output)
    report = output.with_name(f"{output.stem}.report.html")
    found.report(report, command, {chosen: output.name})

    selected = judge.number(judge.of(chosen))
    dense = dense_value(model, chosen.complexity, dataset, judge, others)
    figures = {
        "size_bytes": f"{chosen.size_bytes:,}",
        "gzip_bytes": f"{chosen.gzip_bytes:,}",
        "complexity": f"{chosen.complexity:g}",
        "description length": f"{chosen.description_length_bits:,.0f} bits before pruning",
        "sparsity": f"{chosen.sparsity:g}",
        "structure": chosen.structure,
        "encoding": found.artifact.encoding,
        "client": ", ".join(found.artifact.clients),
        "latency": f"{chosen.latency_ms:.4f} ms in {chosen.latency_client}",
        f"dense {judge.name}": f"{judge.number(dense)} in Keras",
        f"selection {judge.name}": f"{selected} on the half of the test images that chose the file",
        f"test {judge.name}": f"{judge.number(judge.of(measured))} on the other half",
    }
    figures |= passed_over(found.artifact)
    report_file(output, found.artifact, figures, command, dataset, len(dataset.y_test[others]), judge.name)
    show(f"Wrote {output} and {report}, on {len(found.trace)} candidates.")
