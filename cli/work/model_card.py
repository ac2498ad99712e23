"""The model card: what a TFLite file is, how good it is and how it was made, for people."""

from cvhn_tf.files.atomic import write_atomically
from cvhn_tf_cli.terminal import make_table, show


def passed_over(artifact) -> dict[str, str]:
    """The figure of what an encoding has passed over, where there is anything."""
    if not artifact.unquantized:
        return {}
    return {"unquantized": f"{artifact.unquantized_bytes:,} bytes that the encoding has passed over"}


def report_file(output, artifact, figures, command, dataset=None, examples=None, metric="accuracy"):
    """Writes the card beside a TFLite file, and prints the same figures and what is to be said of the file.

    Arguments as in `write_model_card`.
    """
    write_model_card(output, artifact, figures, command, dataset, examples, metric)
    table = make_table(f"{output}", "", "")
    for row in figures.items():
        table.add_row(*row)
    show(table)
    for caveat in artifact.caveats:
        show(f"{caveat}.")


def write_model_card(output, artifact, figures, command, dataset=None, examples=None, metric="accuracy"):
    """Writes the card beside a TFLite file, under its name with the ending `.md`.

    Args:
        output: Path of the TFLite file.
        artifact: `TFLiteArtifact` with metadata.
        figures: Dict of what was measured, in words.
        command: The command line that made the file.
        dataset: `Dataset` that it was measured on, or None.
        examples: Number of its test images that measured the file; all by default.
        metric: Name of what it was measured by.
    """
    inputs, outputs = (
        ", ".join(f"`{tensor['name']}` {tensor['shape']} {tensor['dtype']}" for tensor in artifact.metadata[key])
        for key in ("inputs", "outputs")
    )
    lines = [f"# {output.name}", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {figure} |" for name, figure in figures.items()]
    lines += [
        f"| inputs | {inputs} |",
        f"| outputs | {outputs} |",
        f"| difference from Keras | {artifact.relative_error:.2g} of the outputs' root mean square, on "
        f"{artifact.verified_examples:,} examples |",
        f"| made for | {', '.join(artifact.clients)} |",
        f"| run by | {', '.join(artifact.verified_by)} |",
        f"| made by | cvhn-tf {artifact.metadata['version']} |",
        "",
    ]
    if artifact.unquantized:
        lines += ["The encoding has passed over:", "", "| tensor | type | bytes | why |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{tensor.name}` | {tensor.dtype} | {tensor.size_bytes:,} | {tensor.reason} |"
            for tensor in artifact.unquantized
        ]
        lines.append("")
    for caveat in artifact.caveats:
        lines += [f"{caveat}.", ""]
    if dataset is None:
        lines += ["No data set was given, so accuracy was not measured.", ""]
    else:
        count = examples or len(dataset.x_test)
        lines += [
            f"{metric[:1].upper()}{metric[1:]} is that on {count:,} test images of {dataset.name}: `dense {metric}` of "
            f"the whole network at this complexity in Keras, `test {metric}` of this file in LiteRT. Latency is the "
            "median time for one image on one thread of the machine that made the file.",
            "",
            f"Classes: {', '.join(dataset.classes)}",
            "",
        ]
    lines += ["Made by:", "", "```sh", command, "```", ""]
    write_atomically(output.with_suffix(".md"), "\n".join(lines).encode())
