"""The experiment that the method was published with, rerun: accuracy at each complexity and share of weights pruned.

Beside each other stand what this package measures, what the authors published (`authors_*.csv`), and the package's own
defaults on the same target, data, epochs and batch. Each of the authors' methods is a prior and a layout:

    base  penalty λ ‖w‖² / N, no noise             separate   a network for each complexity
    var   prior N(0, 1), its KL weighed by λ       linear     one hypernetwork, two sets of weights
    rep   prior N(0, 1/λ), its KL weighed by 1     piecewise  one hypernetwork, six sets of weights

As theirs: 784-50-10 network, 50 epochs, batches of 256 in a fixed order, pixels in [-1, 1], Adam at 5e-4, gradients
clipped at 1, one draw of the weights a step, five complexities a step, log-uniform on [1e-3, 1e2], no warm-up of the
KL, initial log σ of −3; pruning of each layer by μ²/σ² (base: |μ|), biases kept. The defaults are measured with all
layers pruned together too, as this package does by default. Otherwise than theirs:

- A batch is shared out between the complexities of a step, the smallest getting twice as much as the largest. The
  authors' five each see all of it, at five times the work.
- The complexities of a step come from five strata, and not independently.
- Gradients are divided by 1 + λ, so that large complexities do not drown small ones where they share weights. With one
  complexity alone Adam does not notice.
- log σ moves at a quarter of the speed of μ.
- All sets of weights start from the same draw, and biases at zero. The authors draw each set apart, and biases from
  N(0, 1).
- Separate networks train for as long as hypernetworks. The authors' notebooks for them (base, var) say 25 epochs.
- On CIFAR-10 the target is a smaller one, `convnet`, whose batch normalization is recalibrated for each pruned network,
  and the epochs are fewer: compare methods there, not figures.

Every training is a process of its own on one thread, `--jobs` of them side by side. Finished trainings are kept and not
repeated, so an interrupted run goes on where it was.

python -m benchmarks.published.paper
python -m benchmarks.published.paper --quick
python -m benchmarks.published.paper --dataset cifar10 --epochs 20
"""

import argparse
import concurrent.futures
import dataclasses
import json
import pathlib
import subprocess
import sys

from benchmarks.published import report, training

FOLDER = pathlib.Path(__file__).parent
RESULTS = FOLDER.parent / "results"
PRIORS = ("base", "var", "rep")
# What has to be equal for a kept training to be a part of a run.
SETTINGS = ("dataset", "target", "epochs", "batch_size", "examples", "lowest_pixel")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What is run on a data set unless options say otherwise.

    Attributes:
        target: Name of the target network.
        layouts: The layouts that each prior is trained in.
        complexities: Complexities of the separate networks, at which hypernetworks are measured too.
        shown: Those of them that are printed and drawn.
        epochs: Number of epochs.
        starts: Number of trainings of each kind.
        examples: Number of training examples; None for all.
    """

    target: str
    layouts: tuple[str, ...]
    complexities: tuple[float, ...]
    shown: tuple[float, ...]
    epochs: int
    starts: int
    examples: int | None = None

    @property
    def methods(self):
        return ["defaults", *(f"{prior}-{layout}" for prior in PRIORS for layout in self.layouts)]


MNIST = Experiment(
    target="mlp_50",
    layouts=("separate", "linear", "piecewise"),
    complexities=(1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0),
    shown=(0.01, 1.0, 100.0),
    epochs=50,
    starts=5,
)
CIFAR10 = Experiment(
    target="convnet",
    layouts=("separate", "linear"),
    complexities=(0.01, 0.1),
    shown=(0.01, 0.1),
    epochs=10,
    starts=1,
)
DIGITS = dataclasses.replace(MNIST, complexities=(0.01, 1.0), shown=(0.01, 1.0))

EXPERIMENTS = {"mnist": MNIST, "cifar10": CIFAR10, "digits": DIGITS}
QUICK_EXPERIMENTS = {
    "mnist": dataclasses.replace(MNIST, complexities=MNIST.shown, epochs=20, starts=1),
    # Too short to learn much: it shows that the run works.
    "cifar10": dataclasses.replace(CIFAR10, epochs=1, examples=20_000),
    "digits": dataclasses.replace(DIGITS, epochs=20, starts=1),
}


def main(arguments=None):
    args = parse(arguments)
    if args.train is not None:
        training.use_one_thread()
        train(args)
        return
    jobs = [
        (name, start) for start in range(args.starts) for method in args.methods for name in trainings(args, method)
    ]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        results = dict(zip(jobs, pool.map(lambda job: run(args, *job), jobs), strict=True))
    of_method = {
        method: [results[name, start] for name in trainings(args, method) for start in range(args.starts)]
        for method in args.methods
    }
    keys = (*SETTINGS, "starts", "methods", "complexities", "quick", "note")
    shown = [value for value in EXPERIMENTS[args.dataset].shown if value in args.complexities]
    report.report(
        of_method,
        complexities=args.complexities,
        shown=shown or args.complexities,
        authors=report.read_authors(FOLDER / f"authors_{args.dataset}.csv"),
        arguments={key: getattr(args, key) for key in keys},
        folder=args.output,
    )


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=EXPERIMENTS, default="mnist")
    parser.add_argument("--target", help="mlp_50 unless given, on cifar10 convnet")
    parser.add_argument("--epochs", type=positive, help="50 unless given, on cifar10 10")
    parser.add_argument("--batch-size", type=positive, default=256)
    parser.add_argument("--examples", type=positive, help="train on the first of them only")
    parser.add_argument("--lowest-pixel", type=int, choices=(-1, 0), default=-1, help="what black is; white is 1")
    parser.add_argument("--starts", type=positive, help="trainings of each kind; 5 unless given, on cifar10 1")
    parser.add_argument("--methods", nargs="+", help="some of them only: base-separate, var-linear, defaults, …")
    parser.add_argument(
        "--complexities", type=complexity, nargs="+", help="of separate networks, and where hypernetworks are measured"
    )
    parser.add_argument("--quick", action="store_true", help="fewer complexities and epochs, one start")
    parser.add_argument("--note", default="", help="text that is kept in the summary")
    parser.add_argument("--jobs", type=positive, default=2, help="trainings side by side")
    parser.add_argument("--output", type=pathlib.Path, help="benchmarks/results/paper_DATASET unless given")
    parser.add_argument("--train", help=argparse.SUPPRESS)  # one training, in a process of its own
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)

    experiment = (QUICK_EXPERIMENTS if args.quick else EXPERIMENTS)[args.dataset]
    for key in ("target", "epochs", "examples", "starts", "methods", "complexities"):
        setattr(args, key, getattr(args, key) or getattr(experiment, key))
    args.methods, args.complexities = list(dict.fromkeys(args.methods)), sorted(set(args.complexities))
    args.output = args.output or RESULTS / f"paper_{args.dataset}{'_quick' if args.quick else ''}"
    if unknown := set(args.methods) - set(experiment.methods):
        parser.error(f"expected --methods from {experiment.methods}, received {sorted(unknown)}")
    return args


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, received {value}")
    return value


def complexity(text):
    low, high = training.COMPLEXITY_RANGE
    value = float(f"{float(text):g}")  # as it stands in the names of trainings
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"expected a complexity in [{low:g}, {high:g}], received {value:g}")
    return value


def trainings(args, method):
    """The names of the trainings of a method: one, or one for each complexity."""
    if method.endswith("-separate"):
        return [f"{method}_{value:g}" for value in args.complexities]
    return [method]


def path_of(args, name, start):
    return args.output / "trainings" / f"{name}-{start}.json"


def run(args, name, start):
    """The result of a training, which is made if it was not kept."""
    path = path_of(args, name, start)
    if not path.exists():
        options = {"train": name, "seed": start, "output": args.output, **{key: getattr(args, key) for key in SETTINGS}}
        command = [f"--{key.replace('_', '-')}={value}" for key, value in options.items() if value is not None]
        command = [sys.executable, "-m", __spec__.name, *command, "--complexities", *map(str, args.complexities)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)  # TensorFlow's notices are of no interest
        if done.returncode:
            raise SystemExit(f"{done.stderr[-4000:]}\nThe training {name} {start} failed.")
    result = json.loads(path.read_text())
    measured = {row["complexity"] for row in result["rows"]}
    wanted = {float(name.partition("_")[2])} if "_" in name else set(args.complexities)
    if result["settings"] != {key: getattr(args, key) for key in SETTINGS} or not wanted <= measured:
        raise SystemExit(
            f"{path} was kept from another run, at {sorted(measured)} with {result['settings']}: "
            "remove it, or choose another --output."
        )
    print(f"{name} {start}: {result['seconds']:.0f} s", flush=True)
    return result


def train(args):
    """Makes the training `args.train` and keeps its result."""
    settings = {key: getattr(args, key) for key in SETTINGS}
    result = training.train(args.train, args.seed, args.complexities, **settings)
    path = path_of(args, args.train, args.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"settings": settings, **result}, indent=1) + "\n")
    temporary.replace(path)


if __name__ == "__main__":
    main()
