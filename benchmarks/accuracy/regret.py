"""One hypernetwork against networks trained at each complexity alone: what it costs, and the time it saves.

The headline is the ratio of objectives, NLL + λ · KL / N, one fit over separate fits, on test data: of the posterior
means (`objective`), and of one draw of the weights for each example as training has it (`objective_sampled`). Beside it
stand KL and accuracy, and a plot of description length against NLL.

Every training is a process of its own on one thread, `--jobs` of them side by side; equal epochs, optimizer, prior and
estimator. Finished trainings are kept and not repeated, so an interrupted run goes on where it was.

python -m benchmarks.accuracy.regret --starts 3 --output benchmarks/results/regret
python -m benchmarks.accuracy.regret --quick --output quick-regret
"""

import argparse
import concurrent.futures
import csv
import io
import json
import pathlib
import subprocess
import sys
import time

import numpy as np

from benchmarks import parameterization

COMPLEXITIES = [10 ** (i / 2 - 2) for i in range(9)]
QUICK = {"dataset": "digits", "target": "mlp_50", "epochs": 20, "batch_size": 32, "starts": 1}
PARAMETERIZATION = ("parameterization", "parameterization_arguments")
RECORDED = ("dataset", "target", "epochs", "batch_size", "starts", "prior", *PARAMETERIZATION)
SPARSITIES = (0.0, 0.9, 0.95, 0.98, 0.985, 0.99)


def main():
    args = parse()
    args.output.mkdir(parents=True, exist_ok=True)
    if args.train is not None:
        train(args)
        return
    if args.quick:
        vars(args).update(QUICK)
    trainings = ["hypernetwork", *(f"{complexity:.3g}" for complexity in COMPLEXITIES)]
    jobs = [(name, start) for start in range(args.starts) for name in trainings]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda job: run(args, *job), jobs))
    report(args, {job: json.loads(path_of(args, *job).read_text()) for job in jobs})


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--target", default="lenet_300_100")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side")
    parser.add_argument("--prior", default="automatic_relevance")
    parameterization.add_options(parser)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/regret"))
    parser.add_argument(
        "--quick", action="store_true", help="a small network on the digits, one start: to try the script"
    )
    parser.add_argument("--train", help=argparse.SUPPRESS)  # one training, in a process of its own
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def path_of(args, name, start):
    return args.output / "trainings" / f"{name}-{start}.json"


def run(args, name, start):
    path = path_of(args, name, start)
    if not path.exists():
        common = [f"--{key}={getattr(args, key)}" for key in ("dataset", "target", "epochs", "prior", "output")]
        common += parameterization.as_options(args)
        command = [sys.executable, "-m", __spec__.name, *common, f"--batch-size={args.batch_size}"]
        subprocess.run([*command, f"--train={name}", f"--seed={start}"], check=True)
    print(f"{name} {start}: {json.loads(path.read_text())['seconds']:.0f} s", flush=True)


def train(args):
    """Trains the hypernetwork, or a network at one complexity, and measures it at its complexities."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import cvhn_tf
    from cvhn_tf import datasets, export, targets

    keras.utils.set_random_seed(args.seed)
    data = datasets.load(args.dataset)
    options, complexities = {"parameterization": parameterization.make(args)}, COMPLEXITIES
    if args.train != "hypernetwork":
        # One set of weights, and a range so narrow that it is one complexity.
        complexities = [min(COMPLEXITIES, key=lambda complexity: abs(complexity - float(args.train)))]
        bounds = (complexities[0] * 0.9999, complexities[0] * 1.0001)
        options = {"complexity_range": bounds, "parameterization": "constant"}
    target = targets.get(args.target, data.input_shape, data.num_classes)
    model = cvhn_tf.VariationalHypernetwork(target, prior=args.prior, seed=args.seed, **options)
    steps = args.epochs * -(-len(data.x_train) // args.batch_size)
    model.compile(cvhn_tf.default_optimizer(steps), "sparse_categorical_crossentropy")
    start = time.perf_counter()
    model.fit(data.x_train, data.y_train, batch_size=args.batch_size, epochs=args.epochs, verbose=0)
    seconds = time.perf_counter() - start

    def accuracy(network):
        outputs = network.predict(data.x_test, batch_size=1000, verbose=0)
        return float(np.mean(outputs.argmax(1) == data.y_test))

    def nll_of(outputs):
        likelihood = np.asarray(outputs)[np.arange(len(outputs)), data.y_test]
        return float(-np.mean(np.log(np.maximum(likelihood, 1e-12))))

    rows = []
    for complexity in complexities:
        nll = nll_of(model.at(complexity).predict(data.x_test, batch_size=1000, verbose=0))
        parts = [data.x_test[i : i + 1000] for i in range(0, len(data.x_test), 1000)]
        sampled = nll_of(np.concatenate([model(part, complexity=complexity, training=True) for part in parts]))
        kl_bits = model.description_length(complexity)
        of_kl = complexity * kl_bits * np.log(2) / len(data.x_train)
        row = {
            "complexity": complexity,
            "nll": nll,
            "nll_sampled": sampled,
            "kl_bits": kl_bits,
            # What training minimises, on test data: accuracy hides weights that say nothing.
            "objective": nll + of_kl,
            "objective_sampled": sampled + of_kl,
        }
        for sparsity in SPARSITIES:
            row[f"accuracy_{1 - sparsity:.1%}"] = accuracy(export.prune(model, complexity, sparsity))
        rows.append(row)
    path = path_of(args, args.train, args.seed)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"seconds": seconds, "rows": rows}, indent=1) + "\n")
    temporary.replace(path)


def report(args, results):
    """Writes table.csv, summary.json and plot.png, and prints the first two."""
    from benchmarks.machine import describe_machine

    starts = range(args.starts)
    table = []
    for i, complexity in enumerate(COMPLEXITIES):
        row = {"complexity": complexity}
        for key in results["hypernetwork", 0]["rows"][0]:
            if key != "complexity":
                row[f"separate_{key}"] = np.mean([results[f"{complexity:.3g}", s]["rows"][0][key] for s in starts])
                row[f"one_{key}"] = np.mean([results["hypernetwork", s]["rows"][i][key] for s in starts])
        for key in ("objective", "objective_sampled"):
            row[f"ratio_{key}"] = row[f"one_{key}"] / row[f"separate_{key}"]
        row["regret_points"] = 100 * (row["separate_accuracy_100.0%"] - row["one_accuracy_100.0%"])
        table.append({key: float(f"{value:.6g}") for key, value in row.items()})
    with open(args.output / "table.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, table[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    seconds = {name: sum(results[name, s]["seconds"] for s in starts) for name, _ in results}
    separate_seconds = sum(value for name, value in seconds.items() if name != "hypernetwork")
    summary = {
        **{f"{key}_worst": max(row[key] for row in table) for key in ("ratio_objective", "ratio_objective_sampled")},
        **{
            f"{key}_mean": float(np.mean([row[key] for row in table]))
            for key in ("ratio_objective", "ratio_objective_sampled")
        },
        "ratio_objective_by_complexity": {f"{row['complexity']:.3g}": row["ratio_objective"] for row in table},
        "kl_bits_span_one": table[0]["one_kl_bits"] / table[-1]["one_kl_bits"],
        "kl_bits_span_separate": table[0]["separate_kl_bits"] / table[-1]["separate_kl_bits"],
        "regret_points_mean": float(np.mean([row["regret_points"] for row in table])),
        "regret_points_worst": max(row["regret_points"] for row in table),
        "training_seconds_one": seconds["hypernetwork"] / args.starts,
        "training_seconds_nine_separate": separate_seconds / args.starts,
        "training_time_ratio": seconds["hypernetwork"] / separate_seconds,
        "best_accuracy_by_weights_kept": {
            key.removeprefix("one_accuracy_"): max(row[key] for row in table)
            for key in table[0]
            if key.startswith("one_accuracy_")
        },
        "arguments": {key: value for key, value in vars(args).items() if key in RECORDED},
        "machine": describe_machine(),
    }
    (args.output / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    (args.output / "plot.png").write_bytes(plot(table))
    for row in table:
        print("  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    print(json.dumps(summary, indent=1))


def plot(table):
    """Draws description length against NLL, a PNG: a point for each λ, and how well the one fit knows the trade."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for key, label, style in (("separate", "a training for each λ", "x--"), ("one", "one hypernetwork", "o-")):
        axes.plot([row[f"{key}_kl_bits"] for row in table], [row[f"{key}_nll"] for row in table], style, label=label)
        for row in (table[0], table[-1]):
            at = (row[f"{key}_kl_bits"], row[f"{key}_nll"])
            axes.annotate(f"λ = {row['complexity']:g}", at, (4, 4), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="description length, bits", ylabel="NLL of the means, test data, nats")
    axes.grid(alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
