"""One fit of a target with choices against each of its structures trained alone.

Three stages, each a choice of 1×1, depthwise-separable 3×3, 3×3 and, where it is not `--quick`, 5×5 convolutions. Every
structure is trained alone for as many steps as the one fit; their accuracies and multiply-adds are the true front.
They are kept in `alone.json`, so that a run that was killed, or one of another price, goes on from them.
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


def train_alone(args, target, data, x, y, batch_size, reporting):
    """Each structure trained by itself: the true front. What is in `alone.json` already is not trained again."""
    model = cvhn_tf.VariationalHypernetwork(target, price=args.price, train_size=len(x))
    names, sizes = zip(*((name, len(q.probs_parameter())) for name, q in model.structure(1.0).items()), strict=True)
    settings = {"dataset": args.dataset, "epochs": args.epochs, "seed": args.seed, "paths": list(sizes)}
    path = args.output / "alone.json"
    kept = json.loads(path.read_text()) if path.exists() else {"settings": settings, "alone": []}
    if kept["settings"] != settings:
        raise SystemExit(f"Expected settings {settings} as in {path}. Received: {kept['settings']}")
    for paths in itertools.product(*map(range, sizes)):
        structure = dict(zip(names, paths, strict=True))
        if any(row["structure"] == structure for row in kept["alone"]):
            continue
        keras.utils.set_random_seed(args.seed)
        # Weights of its own: those of a structure begin anew from the seed.
        fresh = searchable(data.input_shape, data.num_classes, sizes[0])
        network = cvhn_tf.VariationalHypernetwork(fresh, seed=args.seed).at(1.0, structure)
        schedule = keras.optimizers.schedules.CosineDecay(3e-3, args.epochs * -(-len(x) // batch_size))
        network.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
        start, processor = time.perf_counter(), time.process_time()
        network.fit(x, y, batch_size=batch_size, epochs=args.epochs, verbose=0)
        kept["alone"].append(
            {
                "structure": structure,
                "multiply_adds": model.structure_cost(1.0, structure),
                "accuracy": accuracy(network, *reporting),
                "seconds": time.perf_counter() - start,
                "processor_seconds": time.process_time() - processor,
            }
        )
        print(kept["alone"][-1], flush=True)
        write_atomically(path, (json.dumps(kept, indent=1) + "\n").encode())
        keras.backend.clear_session()
    return kept["alone"]


def fit_once(args, target, x, y, batch_size):
    """The one fit, and the seconds and processor seconds that it took."""
    model = cvhn_tf.VariationalHypernetwork(
        target, price=args.price, paths=args.paths, train_size=len(x), seed=args.seed
    )
    steps = args.epochs * -(-len(x) // batch_size)
    model.compile(cvhn_tf.default_optimizer(steps), "sparse_categorical_crossentropy")
    start, processor = time.perf_counter(), time.process_time()
    model.fit(x, y, batch_size=batch_size, epochs=args.epochs, verbose=0)
    return model, time.perf_counter() - start, time.process_time() - processor


def describe(args, model, complexity, x, y, batch_size, choosing, reporting):
    """The network at a λ: what it has, and its accuracy recalibrated, and then fine-tuned."""
    network = export.recalibrate(model.at(complexity), x[:1000])
    finetuned = export.finetune(network, (x, y), epochs=args.finetune_epochs, batch_size=batch_size)
    distributions = model.structure(complexity).items()
    return {
        "complexity": complexity,
        "structure": model.most_probable_structure(complexity),
        "probability_of_the_most_probable": {
            name: float(q.probs_parameter().numpy().max()) for name, q in distributions
        },
        "multiply_adds": model.structure_cost(complexity),
        "chosen_by": accuracy(network, *choosing),
        "accuracy": accuracy(network, *reporting),
        "finetuned_chosen_by": accuracy(finetuned, *choosing),
        "finetuned_accuracy": accuracy(finetuned, *reporting),
    }


def at_budgets(searched, alone):
    """For each of five budgets the best structure alone, and the network of the one fit."""
    costs = sorted(row["multiply_adds"] for row in alone)
    for budget in (float(np.quantile(costs, share)) for share in (0.1, 0.3, 0.5, 0.7, 1.0)):
        within = sorted(row["accuracy"] for row in alone if row["multiply_adds"] <= budget)
        fitting = [row for row in searched if row["multiply_adds"] <= budget]
        row = {"budget": budget, "structures": len(within), "best_alone": within[-1]}
        for kind in ("", "finetuned_"):
            best = max(fitting, key=lambda found: found[f"{kind}chosen_by"], default=None)
            ours = best and best[f"{kind}accuracy"]
            row[f"{kind}ours"] = ours
            row[f"{kind}above_share"] = ours and float(np.mean([ours > other for other in within]))
        yield row


def main(arguments=None):
    args = parse(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    data = datasets.load(args.dataset)
    copies = 10 if args.dataset == "digits" else 1
    x, y = (np.concatenate([array] * copies) for array in (data.x_train, data.y_train))
    batch_size = 64 if args.dataset == "digits" else 128
    choosing, reporting = ((data.x_test[i::2], data.y_test[i::2]) for i in (0, 1))
    target = searchable(data.input_shape, data.num_classes, 3 if args.quick else 4)
    alone = train_alone(args, target, data, x, y, batch_size, reporting)
    model, fit_seconds, fit_processor_seconds = fit_once(args, target, x, y, batch_size)
    searched = []
    for complexity in args.complexities:
        searched.append(describe(args, model, complexity, x, y, batch_size, choosing, reporting))
        print(searched[-1], flush=True)
    budgets = list(at_budgets(searched, alone))
    for row in budgets:
        print(row, flush=True)
    result = {
        "settings": {name: str(value) for name, value in vars(args).items()},
        "machine": describe_machine(),
        "fit_seconds": fit_seconds,
        "time_ratio": fit_seconds / sum(row["seconds"] for row in alone),
        "processor_time_ratio": fit_processor_seconds / sum(row["processor_seconds"] for row in alone),
        "budgets": budgets,
        "searched": searched,
    }
    write_atomically(args.output / "results.json", (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
