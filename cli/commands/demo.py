"""`cvhn-tf demo`: the whole chain on data that comes with scikit-learn."""

import pathlib
import shlex
from typing import Annotated

import typer

from cvhn_tf_cli.arguments import check_writable
from cvhn_tf_cli.commands.shared import Seed
from cvhn_tf_cli.loading import load_dataset, start_tensorflow
from cvhn_tf_cli.terminal import show


def demo(
    output: Annotated[pathlib.Path, typer.Option(help="Folder for the model, the files and the table.")] = pathlib.Path(
        "cvhn-demo"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 60,
    seed: Seed = 0,
):
    """Train on scikit-learn's 8×8 digits, export at many complexities, compare. Offline, under two minutes."""
    check_writable(output / "table.csv")
    start_tensorflow()
    from cvhn_tf_cli.work import compare, train

    model_path = output / "model.keras"
    digits = load_dataset("digits")
    # 1,437 images cannot pay for more than λ = 10.
    model = train.train(
        digits,
        "lenet_300_100",
        model_path,
        epochs=epochs,
        batch_size=64,
        seed=seed,
        complexity_range=(0.01, 10.0),
        restart=True,
    )
    train.show_complexities(model, digits)
    compare.compare(
        model,
        digits,
        output,
        complexities=[0.01, 0.1, 1.0, 3.0, 10.0],
        sparsities=[0.0, 0.9, 0.98, 0.99, 0.995],
        quantizations=[None, "dynamic_range"],
        client=["cpu"],
        command=f"cvhn-tf demo --epochs {epochs} --seed {seed} --output {shlex.quote(str(output))}",
    )
    show(
        "Next:\n"
        f"  cvhn-tf export {model_path} --complexity 3 --sparsity 0.97 --dataset digits --output digits.tflite\n"
        "  cvhn-tf train --dataset mnist --output mnist.keras\n"
        "  cvhn-tf compare mnist.keras --dataset mnist --output report"
    )
