"""`cvhn-tf train`: one hypernetwork for all complexities."""

import pathlib
from typing import Annotated

import typer

from cvhn_tf_cli.arguments import (
    DATASETS,
    SEARCHABLE,
    STRATEGIES,
    STRUCTURE_COSTS,
    TARGETS,
    check_choice,
    check_cluster,
    check_learning_rate,
    check_model_output,
    check_source,
    check_structure_options,
)
from cvhn_tf_cli.commands.shared import Seed, TrainingData
from cvhn_tf_cli.loading import load_dataset, load_trained, start_tensorflow
from cvhn_tf_cli.terminal import show


def train(
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="File to write, ending in .keras.  [default: model.keras, with --from hypernetwork.keras]",
            show_default=False,
        ),
    ] = None,
    dataset: TrainingData = "digits",
    target: Annotated[
        str | None,
        typer.Option(help=f"One of {', '.join(TARGETS)}.  [default: lenet_300_100]", show_default=False),
    ] = None,
    source: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--from",
            help="Trained Keras model to start from, instead of a --target: a .keras file whose outputs are "
            "probabilities of the dataset's classes.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 40,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples per training step.")] = 256,
    complexity_range: Annotated[
        tuple[float, float], typer.Option(metavar="LOW HIGH", help="Complexities to train for, 0 < LOW < HIGH.")
    ] = (0.01, 100.0),
    learning_rate: Annotated[
        float | None, typer.Option(help="Largest learning rate; by default the schedule's own.", show_default=False)
    ] = None,
    structure_cost: Annotated[
        str | None,
        typer.Option(
            help=f"What a structure costs, {' or '.join(STRUCTURE_COSTS)}, for targets whose parts are chosen: "
            f"{', '.join(SEARCHABLE)}.  [default: multiply_adds]",
            show_default=False,
        ),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(help="Nats that all parts together cost at complexity 1.  [default: 0.05]", show_default=False),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            help="Cost up to which a structure pays nothing, in its own unit.  [default: 0]", show_default=False
        ),
    ] = None,
    seed: Seed = 0,
    strategy: Annotated[
        str,
        typer.Option(
            help="auto (multiworker if TF_CONFIG names several workers, mirrored if there are several "
            "GPUs, else none) or one of " + ", ".join(STRATEGIES) + "."
        ),
    ] = "auto",
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew where an unfinished training is.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
):
    """Train a variational hypernetwork of a target network and save it.

    Until it is complete, the model as far as it has come is in a file beside it that ends in .partial.keras. A training
    that was stopped or killed goes on from there when it is started again, and ends as it would have. SIGTERM
    lets it finish its epoch and save, with exit code 143.
    """
    check_choice("--dataset", dataset, DATASETS)
    output = output or pathlib.Path("hypernetwork.keras" if source else "model.keras")
    target = check_source(source, target, output)
    structure = {"structure_cost": structure_cost, "price": price, "budget": budget}
    check_structure_options(structure, target)
    check_learning_rate(learning_rate)
    check_model_output(output)
    check_choice("--strategy", strategy, ("auto", *STRATEGIES))
    check_cluster(strategy)
    start_tensorflow()
    from cvhn_tf.workers import is_chief
    from cvhn_tf_cli.work import strategies
    from cvhn_tf_cli.work import train as work

    distribution = strategies.make(strategy, quiet)
    images = load_dataset(dataset)
    trained = None if source is None else load_trained(source, images)
    model = work.train(
        images,
        target if trained is None else trained,
        output,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        complexity_range=complexity_range,
        learning_rate=learning_rate,
        quiet=quiet,
        strategy=distribution,
        restart=restart,
        **{name: value for name, value in structure.items() if value is not None},
    )
    if quiet or not is_chief(distribution):
        return
    work.show_complexities(model, images, trained)
    show(f"Wrote {output}. Next: cvhn-tf compare {output} --dataset {dataset} --output report")
