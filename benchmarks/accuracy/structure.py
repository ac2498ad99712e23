"""One fit of a target with choices against each of its structures trained alone.

Three stages, each a choice of 1×1, depthwise-separable 3×3, 3×3 and, where it is not `--quick`, 5×5 convolutions. Every
structure is trained alone for as many steps as the one fit; their accuracies and multiply-adds are the true front.
At several budgets the network of the one fit that fits, its normalization recalibrated, and after a fine-tuning, is
compared with the best of them. Its λ is chosen on one half of the test images; all accuracies are those of the other.

python -m benchmarks.accuracy.structure --quick --output benchmarks/results/structure_digits
python -m benchmarks.accuracy.structure --dataset mnist --epochs 12 --output benchmarks/results/structure
"""

import argparse
import itertools
import json
import pathlib
import time

import keras
import numpy as np
from keras import layers

import cvhn_tf
from benchmarks.machine import describe_machine
from cvhn_tf import datasets, export
from cvhn_tf.files.atomic import write_atomically


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits", choices=datasets.names())
    parser.add_argument("--quick", action="store_true", help="three candidates a stage: 27 structures")
    parser.add_argument("--epochs", type=int, default=6, help="of ten copies of the digits, or of another data set")
    parser.add_argument("--finetune-epochs", type=int, default=3)
    parser.add_argument("--price", type=float, default=0.1)
    parser.add_argument("--paths", default="all", choices=("all", "one"))
    parser.add_argument(
        "--complexities", type=float, nargs="+", default=[0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0]
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    return parser.parse_args(arguments)


def searchable(input_shape, num_classes, candidates):
    """The target: each stage a choice, the second and third with stride 2."""

    def normalized(name, x):
        return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x))

    images = x = keras.Input(input_shape, name="images")
    for stage, (filters, strides) in enumerate(((8, 1), (16, 2), (16, 2)), 1):
        arguments = {"strides": strides, "padding": "same", "use_bias": False}
        kinds = [
            layers.Conv2D(filters, 1, name=f"stage_{stage}_1x1", **arguments),
            layers.SeparableConv2D(filters, 3, name=f"stage_{stage}_separable", **arguments),
            layers.Conv2D(filters, 3, name=f"stage_{stage}_3x3", **arguments),
            layers.Conv2D(filters, 5, name=f"stage_{stage}_5x5", **arguments),
        ][:candidates]
        x = cvhn_tf.Choice(name=f"stage_{stage}")([normalized(layer.name, layer(x)) for layer in kinds])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(num_classes, activation="softmax", name="classes")(x))


def accuracy(network, x, y):
    return float(np.mean(network.predict(x, batch_size=1000, verbose=0).argmax(-1) == y))


def main(arguments=None):
    args = parse(arguments)
    keras.utils.set_random_seed(args.seed)
    data = datasets.load(args.dataset)
    copies = 10 if args.dataset == "digits" else 1
    x, y = (np.concatenate([array] * copies) for array in (data.x_train, data.y_train))
    batch_size = 64 if args.dataset == "digits" else 128
    steps = args.epochs * -(-len(x) // batch_size)
    choosing, reporting = ((data.x_test[i::2], data.y_test[i::2]) for i in (0, 1))
    target = searchable(data.input_shape, data.num_classes, 3 if args.quick else 4)

    start = time.perf_counter()
    model = cvhn_tf.VariationalHypernetwork(
        target, price=args.price, paths=args.paths, train_size=len(x), seed=args.seed
    )
    model.compile(cvhn_tf.default_optimizer(steps), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=batch_size, epochs=args.epochs, verbose=0)
    fit_seconds = time.perf_counter() - start
    searched = []
    for complexity in args.complexities:
        network = export.recalibrate(model.at(complexity), x[:1000])
        structure = model.most_probable_structure(complexity)
        probabilities = {
            name: float(q.probs_parameter().numpy().max()) for name, q in model.structure(complexity).items()
        }
        finetuned = export.finetune(network, (x, y), epochs=args.finetune_epochs, batch_size=batch_size)
        searched.append(
            {
                "complexity": complexity,
                "structure": structure,
                "probability_of_the_most_probable": probabilities,
                "multiply_adds": model.structure_cost(complexity),
                "chosen_by": accuracy(network, *choosing),
                "accuracy": accuracy(network, *reporting),
                "finetuned_chosen_by": accuracy(finetuned, *choosing),
                "finetuned_accuracy": accuracy(finetuned, *reporting),
            }
        )
        print(searched[-1], flush=True)

    start = time.perf_counter()
    alone = []
    names, sizes = model._structure.names, model._structure.sizes
    for paths in itertools.product(*map(range, sizes)):
        structure = dict(zip(names, paths, strict=True))
        keras.utils.set_random_seed(args.seed)
        network = cvhn_tf.VariationalHypernetwork(
            searchable(data.input_shape, data.num_classes, sizes[0]), seed=args.seed
        ).at(1.0, structure)
        schedule = keras.optimizers.schedules.CosineDecay(3e-3, steps)
        network.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
        network.fit(x, y, batch_size=batch_size, epochs=args.epochs, verbose=0)
        multiply_adds = model.structure_cost(1.0, structure)
        alone.append(
            {"structure": structure, "multiply_adds": multiply_adds, "accuracy": accuracy(network, *reporting)}
        )
        print(alone[-1], flush=True)
    alone_seconds = time.perf_counter() - start

    costs = sorted(row["multiply_adds"] for row in alone)
    budgets = [float(np.quantile(costs, share)) for share in (0.1, 0.3, 0.5, 0.7, 1.0)]
    rows = []
    for budget in budgets:
        within = sorted(row["accuracy"] for row in alone if row["multiply_adds"] <= budget)
        fitting = [row for row in searched if row["multiply_adds"] <= budget]
        row = {"budget": budget, "structures": len(within), "best_alone": within[-1]}
        for kind in ("", "finetuned_"):
            best = max(fitting, key=lambda found: found[f"{kind}chosen_by"], default=None)
            ours = best and best[f"{kind}accuracy"]
            row[f"{kind}ours"] = ours
            row[f"{kind}above_share"] = ours and float(np.mean([ours > other for other in within]))
        rows.append(row)
        print(row, flush=True)
    result = {
        "settings": {name: str(value) for name, value in vars(args).items()},
        "machine": describe_machine(),
        "fit_seconds": fit_seconds,
        "alone_seconds": alone_seconds,
        "time_ratio": fit_seconds / alone_seconds,
        "budgets": rows,
        "searched": searched,
        "alone": alone,
    }
    args.output.mkdir(parents=True, exist_ok=True)
    write_atomically(args.output / "results.json", (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
