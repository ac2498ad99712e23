"""`cvhn-tf export`: one TFLite file."""

import pathlib
from typing import Annotated

import typer

from cvhn_tf_cli.arguments import (
    CLIENTS,
    DATASETS,
    QUANTIZATIONS,
    SCOPES,
    STRUCTURES,
    as_metric_name,
    check_accuracy_loss,
    check_budgets,
    check_choice,
    check_least_step,
    check_metric,
    check_metric_loss,
    check_sparsity,
    check_tflite_output,
    parse_names,
)
from cvhn_tf_cli.commands.shared import ANY, Client, Metric, Model, command_line
from cvhn_tf_cli.loading import load_dataset, load_model


def export(
    model: Model,
    complexity: Annotated[
        float | None,
        typer.Option(
            help="λ, in the range that the model was trained for; unless there is a budget 1, or the middle of a range "
            "without it."
        ),
    ] = None,
    description_bits: Annotated[
        float | None,
        typer.Option(help="Instead of --complexity: take the λ whose description has this length, before pruning."),
    ] = None,
    sparsity: Annotated[
        float | None, typer.Option(help="Share of the weights to prune, in [0, 1); 0 unless there is a budget.")
    ] = None,
    structure: Annotated[
        str | None,
        typer.Option(
            help="What is pruned as one: weight, unit (whole units and filters) or block (1×4); weight unless there is "
            "a budget."
        ),
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(
            help="Without a budget: what is ranked together, all layers (global) or each by itself (layer), which "
            "makes units faster; global by default."
        ),
    ] = None,
    encoding: Annotated[
        str,
        typer.Option(
            "--encoding",
            "--quantization",
            help=f"auto (the smallest file that is good enough) or one of {', '.join(QUANTIZATIONS)}.",
        ),
    ] = "auto",
    max_accuracy_loss: Annotated[
        float | None,
        typer.Option(
            help="Without a budget: accuracy that may be lost against float32, on training images; 0.001 by default "
            "with auto, which takes no file that loses more. Without a data set its outputs may differ by 5% instead. "
            "Of another encoding a file that loses more, by default 0.01, says so."
        ),
    ] = None,
    step: Annotated[
        float | None,
        typer.Option(
            help="Without a budget: least step, in standard deviations of the weights, to which weights are rounded "
            "before they become 8-bit or 4-bit integers; 0 leaves rounding to the converter; 0.5 by default."
        ),
    ] = None,
    max_bytes: Annotated[int | None, typer.Option(help="Budget: largest size of the file.")] = None,
    max_gzip_bytes: Annotated[int | None, typer.Option(help="Budget: largest size after gzip.")] = None,
    max_description_bits: Annotated[
        float | None, typer.Option(help="Budget: largest description length, before pruning.")
    ] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Budget: longest time for one example on one thread of this machine.")
    ] = None,
    max_arena_bytes: Annotated[
        int | None, typer.Option(help="Budget: largest memory for tensors in tflite-micro; with --client micro.")
    ] = None,
    max_multiply_adds: Annotated[
        int | None, typer.Option(help="Budget: most multiply-adds of the network for one example.")
    ] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(help="Budget: least accuracy, in [0, 1]; the smallest file of it is written.")
    ] = None,
    min_metric: Annotated[
        float | None,
        typer.Option(help="Budget: least value of a --metric of which large ones are good, as --min-accuracy."),
    ] = None,
    max_metric: Annotated[
        float | None,
        typer.Option(help="Budget: largest value of a --metric of which small ones are good, likewise."),
    ] = None,
    max_metric_loss: Annotated[
        float | None,
        typer.Option(
            help="Without a budget: as --max-accuracy-loss, of another --metric, as a share of it; 0.01 by default."
        ),
    ] = None,
    metric: Metric = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set to choose and measure the file on, to calibrate int8 with and to fine-tune on: "
            + ", ".join(DATASETS)
            + ".",
            show_default=False,
        ),
    ] = None,
    finetune_epochs: Annotated[
        int,
        typer.Option(min=0, help="Passes over the training images to train on what pruning leaves; needs --dataset."),
    ] = 0,
    polyphase: Annotated[
        bool,
        typer.Option(
            "--polyphase",
            help="Compute narrow convolutions before pooling in phases: faster, and some kB more. A latency "
            "budget does so by itself.",
        ),
    ] = False,
    fast_sparse: Annotated[
        bool,
        typer.Option(
            "--fast-sparse",
            help="Bring networks of 1×1 convolutions into the form in which their zeros take no time on ARM and in "
            "WebAssembly; goes with --structure pointwise and --client cpu or web.",
        ),
    ] = False,
    client: Client = ANY,
    integer_only: Annotated[
        bool,
        typer.Option(
            "--integer-only",
            help="With --encoding int8 and without a budget: inputs and outputs of the file are integers too, on "
            "scales that it tells.",
        ),
    ] = False,
    output: Annotated[pathlib.Path, typer.Option(help="File to write.")] = pathlib.Path("model.tflite"),
):
    """Write one TFLite file, of a given complexity and sparsity or the best within budgets.

    A .json file with its metadata and a .md model card come beside it.

    With budgets, what is not given of complexity, sparsity, structure and encoding is searched for on half of the test
    images of the data set; the other half measures the file. A report on all that was tried is written beside it.
    """
    budgets = {
        "--max-bytes": max_bytes,
        "--max-gzip-bytes": max_gzip_bytes,
        "--max-description-bits": max_description_bits,
        "--max-latency-ms": max_latency_ms,
        "--max-arena-bytes": max_arena_bytes,
        "--max-multiply-adds": max_multiply_adds,
        "--min-accuracy": min_accuracy,
        "--min-metric": min_metric,
        "--max-metric": max_metric,
    }
    budgets = {option: value for option, value in budgets.items() if value is not None}
    check_choice("--encoding", encoding, ("auto", *QUANTIZATIONS))
    clients = parse_names("--client", client, CLIENTS)
    metric = as_metric_name(metric)
    if sparsity is not None:
        check_sparsity("--sparsity", sparsity)
    if structure is not None:
        check_choice("--structure", structure, STRUCTURES)
    if scope is not None:
        check_choice("--scope", scope, SCOPES)
    unsearched = {
        "--scope": scope,
        "--step": step,
        "--max-accuracy-loss": max_accuracy_loss,
        "--max-metric-loss": max_metric_loss,
        "--finetune-epochs": finetune_epochs or None,
        "--polyphase": polyphase or None,
        "--fast-sparse": fast_sparse or None,
        "--integer-only": integer_only or None,
    }
    check_budgets(budgets, dataset, unsearched)
    check_metric(
        metric,
        dataset,
        {"--min-accuracy": min_accuracy, "--max-accuracy-loss": max_accuracy_loss},
        {"--min-metric": min_metric, "--max-metric": max_metric, "--max-metric-loss": max_metric_loss},
    )
    if integer_only and encoding != "int8":
        raise ValueError(f"Expected `--encoding int8` with `--integer-only`. Received: --encoding={encoding}")
    if complexity is not None and description_bits is not None:
        raise ValueError(
            "Expected `--complexity` or `--description-bits`, of which one tells the other. "
            f"Received: --complexity={complexity:g} and --description-bits={description_bits:g}"
        )
    if max_accuracy_loss is not None:
        check_accuracy_loss(max_accuracy_loss)
    if max_metric_loss is not None:
        check_metric_loss(max_metric_loss)
    if step is not None:
        check_least_step(step)
    if dataset is not None:
        check_choice("--dataset", dataset, DATASETS)
    elif encoding == "int8":
        raise ValueError(
            "Expected `--dataset`, whose images calibrate int8, with `--encoding int8`. Received: no --dataset"
        )
    elif finetune_epochs:
        raise ValueError("Expected `--dataset` to fine-tune on with `--finetune-epochs`. Received: no --dataset")
    check_tflite_output(output)
    hypernetwork = load_model(model)
    if complexity is not None:
        hypernetwork.complexity_range.check(complexity)
    if description_bits is not None:
        complexity = hypernetwork.complexity_for(description_bits)
    images = None if dataset is None else load_dataset(dataset, hypernetwork)
    if budgets:
        from cvhn_tf_cli.work import budget

        given = {"--complexity": complexity, "--sparsity": sparsity, "--structure": structure, "--dataset": dataset}
        chosen = {"--encoding": encoding, "--client": ",".join(clients), "--metric": metric, "--output": output}
        budget.export_within(
            hypernetwork,
            output,
            budgets=budgets,
            complexity=complexity,
            sparsity=sparsity,
            structure=structure,
            encoding=encoding,
            client=clients,
            metric=metric or "accuracy",
            dataset=images,
            command=command_line("export", model, budgets | given | chosen),
        )
    else:
        from cvhn_tf_cli.work import export as work

        if max_accuracy_loss is None and metric is None:
            max_accuracy_loss = 0.001 if encoding == "auto" else 0.01
        settings = {
            "complexity": hypernetwork.complexity_range.default_complexity if complexity is None else complexity,
            "sparsity": sparsity or 0.0,
            "structure": structure or "weight",
            "scope": scope or "global",
            "encoding": encoding,
            "step": 0.5 if step is None else step,
            "max_accuracy_loss": max_accuracy_loss,
            "finetune_epochs": finetune_epochs,
        }
        options = {f"--{name.replace('_', '-')}": value for name, value in settings.items()}
        if metric is not None:
            options |= {"--metric": metric, "--max-metric-loss": max_metric_loss}
        options |= {"--client": ",".join(clients), "--dataset": dataset, "--output": output}
        given = {"--polyphase": polyphase, "--fast-sparse": fast_sparse, "--integer-only": integer_only}
        flags = [flag for flag, is_given in given.items() if is_given]
        command = command_line("export", model, options, flags=flags)
        settings |= {
            "client": clients,
            "polyphase": polyphase,
            "fast_sparse": fast_sparse,
            "integer_only": integer_only,
            "metric": metric or "accuracy",
            "max_metric_loss": max_metric_loss,
        }
        work.export(hypernetwork, output, dataset=images, command=command, **settings)
